// Channels through shared memory in Chromium: between the page and its worker where the page is isolated, refused where it is not.

import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { bundle } from "../../scripts/bundle.mjs";
import { openBrowser } from "./page.ts";

type PageModule = typeof import("./ring-channel.page.ts");

const root = process.cwd();
let folder = "";
let browser: Awaited<ReturnType<typeof openBrowser>>;

test.before(async () => {
  mkdirSync(join(root, "build"), { recursive: true });
  folder = mkdtempSync(join(root, "build/ring-"));
  const entryPoints = ["test/browser/ring-channel.page.ts"];
  await bundle({ entryPoints, platform: "browser", outfile: join(folder, "page.js") });
  browser = await openBrowser({ root });
});

test.after(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Calls a function of the page's module in a fresh page. */
async function inPage<F extends keyof PageModule>(
  name: F,
  { isolated, options }: { isolated: boolean; options: Parameters<PageModule[F]>[0] },
): Promise<Awaited<ReturnType<PageModule[F]>>> {
  const { use, close } = await browser.openPage({ isolated });
  const url = `/${relative(root, join(folder, "page.js")).replaceAll("\\", "/")}`;
  try {
    return await use(
      (page) =>
        page.evaluate(async ({ url, name, options }) => (await import(url))[name](options), { url, name, options }),
      { timeoutMs: 60_000 },
    );
  } finally {
    await close();
  }
}

test("an isolated page and its worker: messages from none to three times the ring come back as they were sent", async () => {
  const lengths = [0, 1, 16, 4097, 65_552, 1 << 20, 3 * (1 << 20) + 5, 16, 65_552, 65_552];
  const same = await inPage("echoed", { isolated: true, options: lengths });
  assert.equal(
    same,
    lengths.map(() => true),
  );
});

test("an isolated page has rings for its ranks; one that is not refuses them with what to do, and has ports", async () => {
  const isolated = await inPage("choices", { isolated: true, options: undefined });
  assert.equal([isolated.work, isolated.refusal, isolated.facts.length], [true, "", 2]);
  const open = await inPage("choices", { isolated: false, options: undefined });
  assert.equal([open.work, open.facts.length], [false, 2]);
  assert.match(open.refusal, /need shared memory.*cross-origin isolated.*take ports/);
});

test.run();

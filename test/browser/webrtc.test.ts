// Channels over WebRTC in Chromium: between two ranks of one page, and between a page and Node, either of which offers.

import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { bundle } from "../../scripts/bundle.mjs";
import { connectRanks, type Signalling } from "../../src/comm/webrtc.ts";
import { exchange, inbox, sizes } from "../unit/webrtc-messages.ts";
import { openBrowser } from "./page.ts";

type PageModule = typeof import("./webrtc.page.ts");

const root = process.cwd();
const timeoutMs = 120_000;
let folder = "";
let url = "";
let browser: Awaited<ReturnType<typeof openBrowser>>;

test.before(async () => {
  mkdirSync(join(root, "build"), { recursive: true });
  folder = mkdtempSync(join(root, "build/webrtc-"));
  const outfile = join(folder, "page.js");
  await bundle({ entryPoints: ["test/browser/webrtc.page.ts"], platform: "browser", outfile });
  url = `/${relative(root, outfile).replaceAll("\\", "/")}`;
  browser = await openBrowser({ root });
});

test.after(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
});

test("two ranks of one page: every size both ways, overhead below 1%, and all that was sent before close()", async () => {
  const { use, close } = await browser.openPage();
  try {
    const { wrong, overheadBytes, reason, last } = await use(
      (page) => page.evaluate(async (url) => ((await import(url)) as PageModule).together(), url),
      { timeoutMs },
    );
    assert.equal(wrong, [[], []]);
    const bytes = sizes.reduce((sum, size) => sum + size, 0);
    assert.ok(overheadBytes > 0 && overheadBytes < 0.01 * bytes, `${overheadBytes} bytes beside ${bytes}`);
    assert.is(reason, "it has closed its side");
    assert.equal(
      last,
      Array.from({ length: 300 }, (_, i) => i & 255),
    );
  } finally {
    await close();
  }
});

/** A page whose rank says what it has to say to `take`, and a rendezvous for Node's rank. */
async function pageAndNode() {
  const opened = await browser.openPage();
  const { page } = opened;
  let listener: ((from: number, data: unknown) => void) | undefined;
  const signalling = (rank: number): Signalling => ({
    // It may not listen yet, or be gone.
    send: (_, data) =>
      void page
        .evaluate((data) => (globalThis as unknown as { hear?(data: unknown): void }).hear?.(data), data)
        .catch(() => undefined),
    listen: (take) => {
      listener = (_, data) => take(1 - rank, data);
    },
  });
  await page.exposeFunction("say", (data: unknown) => listener?.(0, data));
  return { ...opened, signalling };
}

for (const rank of [0, 1])
  test(`a page and Node, whose rank is ${rank}: every size both ways, and the goodbye`, async () => {
    const { use, close, signalling } = await pageAndNode();
    try {
      const inPage = use(
        (page) =>
          page.evaluate(async ({ url, rank }) => ((await import(url)) as PageModule).besideNode(rank), {
            url,
            rank: 1 - rank,
          }),
        { timeoutMs },
      );
      const inNode = (async () => {
        const channels = await connectRanks({ rank, size: 2, signalling: signalling(rank), timeoutMs: 60_000 });
        const channel = channels[1 - rank]!;
        const wrong = await exchange(channel, { box: inbox(channel), mine: 100 * rank, theirs: 100 * (1 - rank) });
        channel.close();
        return wrong;
      })();
      const [page, wrong] = await Promise.all([inPage, inNode]);
      assert.equal(wrong, []);
      assert.equal(page.wrong, []);
      assert.is(page.reason, "it has closed its side");
    } finally {
      await close();
    }
  });

test("a page that is closed is noticed in Node", async () => {
  const { use, close, signalling } = await pageAndNode();
  const greeting = use((page) => page.evaluate(async (url) => ((await import(url)) as PageModule).greet(1), url), {
    timeoutMs,
  });
  const [, channel] = await connectRanks({ rank: 0, size: 2, signalling: signalling(0), timeoutMs: 60_000 });
  const { count, closed } = inbox(channel!);
  await count(1);
  await greeting;
  const started = performance.now();
  await close();
  assert.match(await closed, /^it has closed its side$|^it ended without a goodbye, or the network between failed$/);
  console.log(`noticed after ${((performance.now() - started) / 1000).toFixed(1)} s`);
});

test.run();

// Products in WebGL2 through gpu.js, in Chromium on software: refused where the loops are faster, right where they are used.

import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { bundle } from "../../scripts/bundle.mjs";
import { openBrowser } from "./page.ts";

type PageModule = typeof import("./webgl-products.page.ts");

const root = process.cwd();
const timeoutMs = 120_000;
let folder = "";
let browser: Awaited<ReturnType<typeof openBrowser>>;

const urlOf = (name: string): string => `/${relative(root, join(folder, name)).replaceAll("\\", "/")}`;

test.before(async () => {
  mkdirSync(join(root, "build"), { recursive: true });
  folder = mkdtempSync(join(root, "build/webgl-"));
  await bundle({
    entryPoints: ["test/browser/webgl-products.page.ts"],
    platform: "browser",
    outfile: join(folder, "page.js"),
  });
  await bundle({
    stdin: { contents: `export { GPU, input } from "gpu.js";`, resolveDir: root },
    platform: "browser",
    external: [],
    outfile: join(folder, "gpu.js"),
  });
  browser = await openBrowser({ root });
});

test.after(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Calls a function of the page's module in a fresh page, where "gpu.js" resolves as an application's import map would have it. */
async function inPage<F extends keyof PageModule>(name: F): Promise<Awaited<ReturnType<PageModule[F]>>> {
  const { use, close } = await browser.openPage();
  try {
    return await use(
      (page) =>
        page.evaluate(
          async ({ name, pageUrl, gpuUrl }) => {
            const map = document.createElement("script");
            map.type = "importmap";
            map.textContent = JSON.stringify({ imports: { "gpu.js": gpuUrl } });
            document.head.append(map);
            return (await import(pageUrl))[name]();
          },
          { name, pageUrl: urlOf("page.js"), gpuUrl: urlOf("gpu.js") },
        ),
      { timeoutMs },
    );
  } finally {
    await close();
  }
}

test("measured slower than the loops, WebGL2 is not used and the description says why; faster, it is", async () => {
  const { honest, honestMs, winning } = await inPage("choices");
  assert.is(winning.used, true, winning.description);
  assert.match(
    winning.description,
    /^products from 128x128x128 on in WebGL2 \(.+\), .+ ms against .+ ms at 128x128x128$/,
  );
  // Which of the two is faster is the machine's business; that the words agree with the choice is ours.
  const words = honest.used
    ? /^products from \S+ on in WebGL2/
    : /^products in plain loops: WebGL2 \(.+\) is slower, .+ ms against/;
  assert.match(honest.description, words);
  console.log(`${honest.description}; decided in ${(honestMs / 1000).toFixed(1)} s`);
});

test("products in WebGL2 equal those of the loops within the bound of an f32 sum, and do not come from the loops", async () => {
  const { calls, errors, adapter } = await inPage("agreement");
  assert.is(calls, 3);
  assert.match(adapter, /products from .* in WebGL2/);
  for (const { name, error, bound, bitwiseEqual } of errors) {
    assert.ok(error <= bound, `${name}: off by ${error}, bound ${bound}`);
    // f32 sums differ from the loops' f64 sums somewhere among 17,000 elements: equal bits would mean nothing was drawn.
    assert.is(bitwiseEqual, false, name);
  }
});

test.run();

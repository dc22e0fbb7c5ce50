// Every test of test/gpu/ once more, in Chromium on its own WebGPU: the same files, bundled for a page. But for tuning's, which choose between
// kernels meant for GPUs: these run on lavapipe, and tuning.test.ts beside this file shows what a page does otherwise.

import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { bundle } from "../../scripts/bundle.mjs";
import { openBrowser } from "./page.ts";
import type { PageResult } from "./uvu.ts";

const root = process.cwd();
const files = readdirSync("test/gpu").filter((name) => name.endsWith(".test.ts") && name !== "tuning.test.ts");
/** For one file of kernel tests: the slowest, products, takes 30 s on two quiet cores, and took over 120 on busy ones. */
const timeoutMs = 400_000;

const uvuInPage = {
  uvu: join(root, "test/browser/uvu.ts"),
  "uvu/assert": join(root, "node_modules/uvu/assert/index.mjs"),
  "uvu/diff": join(root, "node_modules/uvu/diff/index.mjs"),
};

let folder = "";
let browser: Awaited<ReturnType<typeof openBrowser>>;

test.before(async () => {
  folder = mkdtempSync(join(root, "build/page-"));
  browser = await openBrowser({ root });
});

test.after(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Bundles one file of kernel tests for a page. */
async function bundled(name: string): Promise<string> {
  const outfile = join(folder, name.replace(/\.ts$/, ".js"));
  await bundle({
    stdin: {
      contents: `import ${JSON.stringify(`./test/gpu/${name}`)};\nexport { runAll } from "./test/browser/uvu.ts";\n`,
      resolveDir: root,
    },
    platform: "browser",
    alias: uvuInPage,
    outfile,
    sourcemap: "inline",
  });
  return `/${relative(root, outfile).replaceAll("\\", "/")}`;
}

test("there are kernel tests to run", () => assert.ok(files.length > 0));

for (const name of files) {
  test(`${name}: every test passes in Chromium`, async () => {
    const url = await bundled(name);
    const { page, use, close } = await browser.openPage();
    const results: PageResult[] = [];
    await page.exposeFunction("reportResult", (result: PageResult) => void results.push(result));
    try {
      await use(
        (page) =>
          page.evaluate(async (url) => {
            const scope = globalThis as unknown as {
              SHARDGRAD_TEST_BACKEND: string;
              reportResult(result: PageResult): Promise<void>;
            };
            scope.SHARDGRAD_TEST_BACKEND = "webgpu";
            const { runAll } = await import(url);
            await runAll(scope.reportResult);
          }, url),
        { timeoutMs },
      );
    } catch (error) {
      const last = results.at(-1);
      const done = last ? `${results.length} tests had ended, the last: ${last.name}` : "no test had ended";
      throw new Error(`${error instanceof Error ? error.message : error}; ${done}`, { cause: error });
    } finally {
      await close();
    }
    const failed = results.filter(({ error }) => error !== undefined);
    const slowest = results.toSorted((a, b) => b.durationMs - a.durationMs)[0];
    assert.ok(results.length > 0, "no test ran");
    assert.is(failed.length, 0, failed.map(({ name, error }) => `${name}: ${error}`).join("\n"));
    console.log(
      `${name}: ${results.length} passed; slowest ${(slowest.durationMs / 1000).toFixed(1)} s, ${slowest.name}`,
    );
  });
}

test.run();

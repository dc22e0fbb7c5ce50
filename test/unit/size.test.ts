// The promise that the core stays small enough to load with a page.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { coreSize } from "../../scripts/build.mjs";

test("the core is at most 60 KB gzipped, shaders included", async () => {
  const { minifiedBytes, gzipBytes } = await coreSize();
  assert.ok(gzipBytes > 1000, `${gzipBytes} bytes: that is not the core`);
  assert.ok(gzipBytes <= 60_000, `${gzipBytes} bytes gzipped (${minifiedBytes} minified)`);
});

test.run();

// Very many kernels on ever other buffers between two reads: what one step of a large mesh on one device comes to.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { backendUnderTest, closeBackend } from "./harness.ts";

/** Pairs of them make 78,400 bind groups; lavapipe maps a page of memory for each, and Linux gives a process 65,530 mappings. */
const bufferCount = 280;
const length = 3;

test(`a kernel on each of ${bufferCount * bufferCount} pairs of buffers, with rests: all have run, and the process lives`, async () => {
  const backend = await backendUnderTest();
  const allocate = () => backend.allocate({ dtype: "f32", length, purpose: "scratch" });
  const sources = Array.from({ length: bufferCount }, allocate);
  const sums = Array.from({ length: bufferCount }, allocate);
  for (const [index, x] of sources.entries()) backend.write(x, Float32Array.of(index, 1, -index));
  for (const y of sums) backend.run("fill", { y, n: length, value: 0 });
  for (const x of sources) {
    for (const y of sums) backend.run("axpy", { x: x, y, n: length, alpha: 1 });
    await backend.rest();
  }
  // Whole numbers below 2^24 add exactly.
  const total = (bufferCount * (bufferCount - 1)) / 2;
  for (const y of sums) assert.equal(await backend.read(y), Float32Array.of(total, bufferCount, -total));
  for (const buffer of [...sources, ...sums]) backend.free(buffer);
});

test.after(closeBackend);
test.run();

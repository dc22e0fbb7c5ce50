// Calls that are almost like an earlier one: whatever a backend remembers of that must not be taken for them.

import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Backend } from "../../src/backend/backend.ts";
import type { DeviceBuffer, HostArray } from "../../src/backend/buffer.ts";
import { backendUnderTest, closeBackend } from "./harness.ts";

const upload = (backend: Backend, data: HostArray): DeviceBuffer => {
  const dtype = data instanceof Int32Array ? "i32" : "f32";
  const buffer = backend.allocate({ dtype, length: data.length, purpose: "scratch" });
  backend.write(buffer, data);
  return buffer;
};

test("the same numbers under other names, in another order, are another product", async () => {
  const backend = await backendUnderTest();
  const a = upload(backend, Float32Array.of(1, 2, 3, 4, 5, 6));
  const b = upload(backend, Float32Array.of(1, 10, 100, 1000, 10000, 100000));
  const y = upload(backend, new Float32Array(2));
  const form = { batch: 1, transposeA: false, transposeB: false, accumulate: false };
  for (let turn = 0; turn < 2; turn++) {
    backend.run("matmul", { a, b, y, m: 1, n: 2, k: 3, ...form }); // [1, 3] [3, 2]
    assert.equal(await backend.read(y), Float32Array.of(30201, 302010));
    backend.run("matmul", { a, b, y, n: 1, m: 2, k: 3, ...form }); // [2, 3] [3, 1]
    assert.equal(await backend.read(y), Float32Array.of(321, 654));
  }
  for (const buffer of [a, b, y]) backend.free(buffer);
});

test("the same numbers with a result of another type are another scale", async () => {
  const backend = await backendUnderTest();
  const x = upload(backend, Float32Array.of(1 / 3, 1, 3));
  const y = upload(backend, new Float32Array(3));
  const f16 = backend.adapter.features.includes("shader-f16");
  const rounded = f16 ? backend.allocate({ dtype: "f16", length: 3, purpose: "scratch" }) : undefined;
  for (let turn = 0; turn < 2; turn++) {
    backend.run("scale", { x, y, n: 3, alpha: 1 });
    assert.equal(await backend.read(y), Float32Array.of(1 / 3, 1, 3));
    if (!rounded) continue;
    backend.run("scale", { x, y: rounded, n: 3, alpha: 1 });
    // 1365 / 4096 is the f16 nearest to 1/3.
    assert.equal(await backend.read(rounded), Float32Array.of(1365 / 4096, 1, 3));
  }
  for (const buffer of [x, y, ...(rounded ? [rounded] : [])]) backend.free(buffer);
});

test("a gradient in place and one beside are the same numbers, in either order", async () => {
  const backend = await backendUnderTest();
  const [rows, cols] = [2, 3];
  const logits = Float32Array.of(0.5, -1, 2, 1, 0, -0.25);
  const max = upload(backend, Float32Array.of(2, 1));
  const sums = upload(backend, Float32Array.of(1.5, 0.5, 2, 0));
  const targets = upload(backend, Int32Array.of(0, 1));
  const dy = upload(backend, Float32Array.of(1));
  const shared = { max, sums, targets, dy, rows, cols, validCols: 3, colOffset: 0, scale: 0.5 };
  const results: HostArray[] = [];
  for (const inPlace of [false, true, false, true]) {
    const x = upload(backend, logits);
    const dx = inPlace ? x : upload(backend, new Float32Array(6));
    backend.run("crossEntropyGrad", { x, dx, ...shared });
    results.push(await backend.read(dx));
    if (!inPlace) assert.equal(await backend.read(x), logits);
    for (const buffer of new Set([x, dx])) backend.free(buffer);
  }
  for (const result of results) assert.equal(result, results[0]);
  for (const buffer of [max, sums, targets, dy]) backend.free(buffer);
});

test("10,000 calls that differ in one number alone, and then the first of them again", async () => {
  const backend = await backendUnderTest();
  const x = upload(backend, Float32Array.of(1));
  const y = upload(backend, Float32Array.of(0));
  const sum = upload(backend, Float32Array.of(0));
  // Halves: sums below 2^23 are exact.
  for (let i = 0; i < 10_000; i++) {
    backend.run("scale", { x, y, n: 1, alpha: i / 2 });
    backend.run("axpy", { x: y, y: sum, n: 1, alpha: i % 2 === 0 ? 1 : -1 });
  }
  assert.equal(await backend.read(sum), Float32Array.of(-2500));
  backend.run("scale", { x, y, n: 1, alpha: 0.5 });
  assert.equal(await backend.read(y), Float32Array.of(0.5));
  for (const buffer of [x, y, sum]) backend.free(buffer);
  assert.is(backend.memory.total, 0);
});

test.after(closeBackend);
test.run();

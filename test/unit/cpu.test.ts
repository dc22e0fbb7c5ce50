// The cpu backend's linear memory and buffers, and the published vectors of its random generator and erfc.

import * as fc from "fast-check";
import { test } from "uvu";
import { equal, is, match, ok, throws, unreachable } from "uvu/assert";
import { createCpuBackend } from "../../src/backend/cpu/backend.ts";
import { erfc } from "../../src/backend/cpu/kernels/erf.ts";
import { LinearMemory } from "../../src/backend/cpu/memory.ts";
import { OutOfMemoryError } from "../../src/backend/errors.ts";
import { philox } from "../../src/backend/philox.ts";

const page = 65536;

async function rejects(promise: Promise<unknown>, pattern: RegExp): Promise<void> {
  const error = await promise.then(
    () => unreachable("nothing was refused"),
    (reason: Error) => reason,
  );
  match(String(error), pattern);
}

test("linear memory: any order of allocating and freeing keeps pieces apart, aligned, and in the end whole", () => {
  const steps = fc.array(fc.record({ bytes: fc.integer({ min: 1, max: 3 * page }), drop: fc.nat() }), {
    maxLength: 60,
  });
  fc.assert(
    fc.property(steps, (plan) => {
      const { linear: memory } = LinearMemory.create(64 * page);
      const held: { start: number; bytes: number }[] = [];
      for (const { bytes, drop } of plan) {
        if (drop % 3 === 0 && held.length > 0) {
          const [piece] = held.splice(drop % held.length, 1);
          memory.free(piece.start, piece.bytes);
          continue;
        }
        let start: number;
        try {
          start = memory.allocate(bytes);
        } catch (error) {
          ok(error instanceof OutOfMemoryError);
          continue;
        }
        is(start % 16, 0);
        ok(start + bytes <= memory.byteLength);
        for (const other of held) ok(start + bytes <= other.start || other.start + other.bytes <= start, "overlap");
        held.push({ start, bytes });
      }
      for (const piece of held) memory.free(piece.start, piece.bytes);
      is(memory.freeBytes, memory.byteLength);
      is(memory.allocate(memory.byteLength), 0, "coalesced to one piece");
    }),
  );
});

test("linear memory: buffers begin at its base, also where that is all there is", () => {
  for (const initial of [2, 3]) {
    const store = new WebAssembly.Memory({ initial, maximum: 9 });
    const memory = new LinearMemory({ maxBytes: 9 * page, memory: store, base: 2 * page });
    equal([memory.allocate(page), memory.allocate(page), memory.allocate(page)], [2 * page, 3 * page, 4 * page]);
  }
});

test("linear memory: the first piece that is long enough is taken", () => {
  const { linear: memory } = LinearMemory.create(4 * page);
  const starts = [32, 64, 32, 16].map((bytes) => memory.allocate(bytes));
  memory.free(starts[0], 32);
  memory.free(starts[2], 32);
  is(memory.allocate(20), starts[0]);
  is(memory.allocate(20), starts[2]);
});

test("linear memory: beyond its maximum it says what was asked, what is free and what to do, and stays usable", () => {
  const { linear: memory } = LinearMemory.create(4 * page);
  const start = memory.allocate(3 * page);
  throws(() => memory.allocate(2 * page), /asked for 131072 bytes, .* at most 262144 bytes, .*; use a smaller/);
  memory.free(start, 3 * page);
  is(memory.allocate(4 * page), 0);
  for (const maxBytes of [0, page - 1, 2 ** 32 + 1, Number.NaN])
    throws(() => LinearMemory.create(maxBytes), /maxBytes is/);
});

test("a buffer keeps its contents while the memory grows under it", async () => {
  const backend = createCpuBackend();
  const data = Float32Array.from({ length: 1000 }, (_, i) => i / 7);
  const first = backend.allocate({ dtype: "f32", length: 1000, purpose: "weights" });
  backend.write(first, data);
  const second = backend.allocate({ dtype: "f32", length: 5_000_000, purpose: "activations" });
  equal(await backend.read(first), data);
  backend.run("scale", { x: first, y: second, n: 1000, alpha: 1 });
  equal(await backend.read(second, 1000), data);
  backend.dispose();
});

test("reading gives a fresh array, writing copies", async () => {
  const backend = createCpuBackend();
  const buffer = backend.allocate({ dtype: "i32", length: 4, purpose: "scratch" });
  const data = Int32Array.of(1, 2, 3, 4);
  backend.write(buffer, data);
  data.fill(9);
  const before = await backend.read(buffer);
  equal(before, Int32Array.of(1, 2, 3, 4));
  backend.write(buffer, Int32Array.of(7));
  equal(before, Int32Array.of(1, 2, 3, 4));
  equal(await backend.read(buffer, 2), Int32Array.of(7, 2));
  equal(await backend.read(buffer, 0), new Int32Array(0));
});

test("freeing twice, using what was freed and another backend's buffer are refused", async () => {
  const backend = createCpuBackend();
  const spec = { dtype: "f32", length: 4, purpose: "scratch" } as const;
  const freed = backend.allocate(spec);
  backend.free(freed);
  const foreign = createCpuBackend().allocate(spec);
  const own = backend.allocate(spec);
  for (const [bad, pattern] of [
    [freed, /was freed already/],
    [foreign, /belongs to another backend/],
    [{ ...own, id: 3 }, /belongs to another backend/],
  ] as const) {
    throws(() => backend.free(bad), pattern);
    throws(() => backend.write(bad, new Float32Array(4)), pattern);
    throws(() => backend.run("scale", { x: bad, y: own, n: 4, alpha: 1 }), pattern);
    await rejects(backend.read(bad), pattern);
  }
});

test("write and read refuse the wrong dtype and too many elements; allocate refuses no elements", async () => {
  const backend = createCpuBackend();
  const buffer = backend.allocate({ dtype: "f32", length: 4, purpose: "scratch" });
  throws(() => backend.write(buffer, new Int32Array(4)), /got 4 elements of i32, .* holds 4 of f32/);
  throws(() => backend.write(buffer, new Float32Array(5)), /got 5 elements of f32/);
  await rejects(backend.read(buffer, 5), /asked for 5 elements/);
  for (const length of [0, -1, 1.5, Number.NaN]) {
    throws(() => backend.allocate({ dtype: "f32", length, purpose: "scratch" }), /length is/);
  }
});

test("memory is accounted by purpose, and what the device holds apart", () => {
  const backend = createCpuBackend({ maxBytes: 2 ** 24 });
  is(backend.maxBufferBytes, 2 ** 24);
  const weights = backend.allocate({ dtype: "f32", length: 100, purpose: "weights" });
  const scratch = backend.allocate({ dtype: "i32", length: 50, purpose: "scratch" });
  is(backend.memory.bytes.weights, 400);
  is(backend.memory.bytes.scratch, 200);
  backend.free(scratch);
  is(backend.memory.total, 400);
  is(backend.memory.peak.total, 600);
  ok(backend.memory.reservedBytes >= 600);
  const tooLong = { dtype: "f32", length: 2 ** 22 + 1, purpose: "scratch" } as const;
  try {
    backend.allocate(tooLong);
    unreachable("too long");
  } catch (error) {
    ok(error instanceof OutOfMemoryError);
    is(error.call, "allocate");
  }
  backend.free(weights);
  is(backend.memory.total, 0);
});

test("dispose frees every buffer", () => {
  const backend = createCpuBackend();
  const buffer = backend.allocate({ dtype: "f32", length: 10, purpose: "weights" });
  backend.dispose();
  is(backend.memory.total, 0);
  throws(() => backend.free(buffer), /was freed already/);
});

test("philox 4x32-10: the known answers of Random123", () => {
  const words = new Uint32Array(4);
  const ones = 0xffffffff;
  const known = [
    [
      [0, 0, 0, 0],
      [0, 0],
      [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
    ],
    [
      [ones, ones, ones, ones],
      [ones, ones],
      [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    ],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    ],
  ];
  for (const [counter, key, expected] of known) {
    philox({ counter: Uint32Array.from(counter), key: Uint32Array.from(key) }, words);
    equal([...words], expected);
  }
});

test("erfc: 4 ulp of f64 around 0, and a relative error below 1e-13 in its tail", () => {
  // Values of Python's math.erfc; both sides of each piece's ends.
  const known = [
    [-3, 1.9999779095030015],
    [-0.4, 1.4283923550466684],
    [0, 1],
    [0.1, 0.8875370839817152],
    [0.46, 0.5153446099983203],
    [0.5, 0.4795001221869535],
    [1, 0.15729920705028513],
    [2, 0.004677734981047265],
    [3.9, 3.479224859723177e-8],
    [4.1, 6.700027654084918e-9],
    [6, 2.1519736712498916e-17],
    [9, 4.13703174651381e-37],
  ];
  for (const [x, expected] of known) {
    const bound = Math.abs(x) <= 0.5 ? 4 * Number.EPSILON : 1e-13;
    ok(Math.abs(erfc(x) - expected) <= bound * expected, `erfc(${x}) = ${erfc(x)}`);
  }
});

test.run();

// The cpu backend's threads: the same bits from any number of them, memory that grows under work under way, and every end a thread can
// come to. What the kernels compute is test/gpu's.

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { bundle } from "../../scripts/bundle.mjs";
import type { Backend } from "../../src/backend/backend.ts";
import { createWasmBackend } from "../../src/backend/wasm/backend.ts";
import { parseModelConfig } from "../../src/nn/config.ts";
import { makeCorpus } from "../../src/train/corpus.ts";
import { byteTokenizer } from "../../src/train/tokenizer.ts";
import { train } from "../../src/train/trainer.ts";

const threadsOf = ({ adapter }: Backend) => adapter.limits.threads;

async function messageOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "no error",
    (error: Error) => `${error.name}: ${error.message}`,
  );
}

/** Every loss and gradient norm of a few steps, and a sample: all kernels of a training take part. */
async function run(backend: Backend): Promise<string[]> {
  const tokens = new TextEncoder().encode("one fish, two fish, red fish, blue fish; ".repeat(20));
  const corpus = makeCorpus({ tokens: Int32Array.from(tokens), context: 19 });
  const config = parseModelConfig({
    ...{ model_type: "gpt2", vocab_size: 256, n_positions: 19, n_embd: 36, n_layer: 2, n_head: 3 },
  });
  const parameters = {
    ...{
      batch: 7,
      context: 19,
      steps: 4,
      learningRate: 1e-3,
      minLearningRate: 1e-4,
      warmup: 1,
      beta1: 0.9,
      beta2: 0.99,
    },
    ...{ weightDecay: 0.1, clip: 1, dropout: 0.1, accumulate: 1, recompute: false, seed: 3 },
    ...{ evalEvery: 0, evalBatches: 1, sampleTokens: 9 },
  };
  const seen: string[] = [];
  for await (const event of train({ backend, config, tokenizer: byteTokenizer(), corpus, parameters })) {
    if (event.event === "step") seen.push(`${event.loss} ${event.gradNorm}`);
    if (event.event === "sample") seen.push(event.text);
  }
  return seen;
}

test("one, two and five threads train to the same bits", async () => {
  const results: string[][] = [];
  for (const threads of [1, 2, 5]) {
    const backend = await createWasmBackend({ threads });
    assert.is(threadsOf(backend), threads);
    results.push(await run(backend));
    assert.is(backend.memory.total, 0);
    backend.dispose();
  }
  assert.is(results[0].length, 5);
  assert.equal(results[1], results[0]);
  assert.equal(results[2], results[0]);
});

test("many threads at many short passes: none is lost, none runs twice", async () => {
  const backend = await createWasmBackend({ threads: 4 });
  const length = 1 << 18;
  const x = backend.allocate({ dtype: "f32", length, purpose: "activations" });
  const y = backend.allocate({ dtype: "f32", length, purpose: "activations" });
  backend.run("fill", { y: x, n: length, value: 1 });
  backend.run("fill", { y, n: length, value: 0 });
  for (let i = 0; i < 3000; i++) backend.run("axpy", { x, y, n: length - (i % 7), alpha: 1 });
  const values = await backend.read(y);
  assert.is(values[0], 3000);
  assert.ok(values.subarray(0, length - 6).every((value) => value === 3000));
  backend.dispose();
});

/** Kernels, writes and reads drawn at random, no read awaited at once: every read must give what a plain array held at its place in the
 *  order. Whole numbers below 2^24 add exactly. */
async function drawnProgram(backend: Backend, seed: number): Promise<void> {
  // The last is too long to be copied through the ring; several threads share passes over it.
  const lengths = [3, 1000, 5000, 100_000];
  const buffers = lengths.map((length) => backend.allocate({ dtype: "f32", length, purpose: "activations" }));
  const expected = lengths.map((length) => new Float32Array(length));
  for (const [i, y] of buffers.entries()) backend.run("fill", { y, n: lengths[i], value: 0 });
  const reads: Promise<void>[] = [];
  let state = seed;
  const draw = (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  for (let step = 0; step < 400; step++) {
    const [from, to] = [draw(4), draw(4)];
    const n = Math.min(lengths[from], lengths[to]);
    const [x, y] = [expected[from], expected[to]];
    const what = draw(20);
    if (what < 8 && from !== to) {
      // Once in a while more than the ring takes.
      for (let times = draw(30) === 0 ? 4000 : 1; times > 0; times--) {
        backend.run("scale", { x: buffers[from], y: buffers[to], n, alpha: 1 });
        backend.run("axpy", { x: buffers[from], y: buffers[to], n, alpha: -1 });
      }
      y.fill(0, 0, n);
    } else if (what < 12 && from !== to && x.every((value) => Math.abs(value) < 2 ** 20)) {
      backend.run("axpy", { x: buffers[from], y: buffers[to], n, alpha: 1 });
      for (let i = 0; i < n; i++) y[i] += x[i];
    } else if (what < 15) {
      const data = Float32Array.from({ length: 1 + draw(lengths[to]) }, (_, i) => (step * 31 + i) % 1009);
      backend.write(buffers[to], data);
      y.set(data);
      data.fill(-1);
    } else if (what < 19) {
      const held = y.slice();
      reads.push(backend.read(buffers[to]).then((values) => assert.ok(values.every((value, i) => value === held[i]))));
    } else if (draw(2) === 0) await backend.sync();
    else await Promise.resolve();
  }
  await Promise.all(reads);
}

test("any order of kernels, writes and reads: each read gives what was there at its place, however it travels", async () => {
  const { waitAsync } = Atomics as unknown as { waitAsync: unknown };
  const ways: [name: string, remove: () => void, restore: () => void][] = [
    ["a ring", () => {}, () => {}],
    [
      "an engine that cannot wait without blocking",
      () => Object.assign(Atomics, { waitAsync: undefined }),
      () => Object.assign(Atomics, { waitAsync }),
    ],
    [
      "memory of one thread's own",
      () => Object.assign(globalThis, { crossOriginIsolated: false }),
      () => Reflect.deleteProperty(globalThis, "crossOriginIsolated"),
    ],
  ];
  for (const [name, remove, restore] of ways) {
    remove();
    const backend = await createWasmBackend({ threads: 3 });
    restore();
    assert.is(threadsOf(backend), name === "memory of one thread's own" ? 1 : 3);
    for (const seed of [1, 2, 3]) await drawnProgram(backend, seed);
    backend.dispose();
  }
});

test("what is read and freed at once, while a kernel runs, is read as it was, and what takes its place is written after", async () => {
  const backend = await createWasmBackend({ threads: 2 });
  const busy = backend.allocate({ dtype: "f32", length: 500_000, purpose: "scratch" });
  // Longer and shorter than what is copied through the ring; the last beyond what is copied in memory.
  const lengths = [20_000, 4000, 20_000, 9000, 20_000, 1_200_000];
  for (let round = 0; round < 20; round++) {
    for (let times = 0; times < 5; times++) backend.run("fill", { y: busy, n: 500_000, value: round });
    const filled = lengths.map((length, i) => {
      const y = backend.allocate({ dtype: "f32", length, purpose: "scratch" });
      backend.write(y, new Float32Array(length).fill(10 * round + i));
      return y;
    });
    // Not in the order in which they lie: a copy of one would be where another still is.
    const reads = filled.toReversed().map((y) => {
      const values = backend.read(y);
      backend.free(y);
      return values;
    });
    backend.run("fill", { y: busy, n: 500_000, value: 0 });
    for (const [i, values] of (await Promise.all(reads)).toReversed().entries())
      assert.ok(
        values.length === lengths[i] && values.every((value) => value === 10 * round + i),
        `round ${round}, buffer ${i}`,
      );
  }
  assert.is(backend.memory.total, 4 * 500_000);
  backend.dispose();
});

test("what is written while kernels still write to memory that was freed goes through other memory", async () => {
  const backend = await createWasmBackend({ threads: 1 });
  const [y, z] = [500_000, 40_000].map((length) => backend.allocate({ dtype: "f32", length, purpose: "scratch" }));
  for (let times = 0; times < 20; times++) backend.run("fill", { y, n: 500_000, value: 7 });
  backend.free(y);
  for (let times = 0; times < 3; times++) backend.write(z, new Float32Array(40_000).fill(times));
  assert.ok((await backend.read(z)).every((value) => value === 2));
  backend.dispose();
});

test("a buffer keeps its contents while the memory grows under work under way", async () => {
  const backend = await createWasmBackend({ threads: 2 });
  const x = backend.allocate({ dtype: "f32", length: 1000, purpose: "weights" });
  backend.write(
    x,
    Float32Array.from({ length: 1000 }, (_, i) => i),
  );
  for (let i = 0; i < 20; i++) {
    const more = backend.allocate({ dtype: "f32", length: 400_000 + i, purpose: "activations" });
    backend.run("fill", { y: more, n: 400_000 + i, value: i });
    backend.run("axpy", { x: more, y: x, n: 1000, alpha: 1 });
  }
  const values = await backend.read(x);
  for (const i of [0, 1, 999]) assert.is(values[i], i + 190);
  backend.dispose();
});

test("beyond the memory an allocation is refused, what to do is said, and work goes on", async () => {
  const backend = await createWasmBackend({ threads: 2, maxBytes: 2 ** 24 });
  let message = "";
  try {
    for (;;) backend.allocate({ dtype: "f32", length: 1 << 20, purpose: "activations" });
  } catch (error) {
    message = String(error);
  }
  assert.match(
    message,
    /^OutOfMemoryError: allocate: asked for 4194304 bytes, .* use a smaller batch, context or model$/,
  );
  const x = backend.allocate({ dtype: "f32", length: 4, purpose: "activations" });
  backend.run("fill", { y: x, n: 4, value: 7 });
  assert.equal(await backend.read(x), new Float32Array([7, 7, 7, 7]));
  backend.dispose();
});

test("what waits when the backend is disposed of is told, and what comes after is refused", async () => {
  const backend = await createWasmBackend({ threads: 2 });
  const n = 1 << 20;
  const x = backend.allocate({ dtype: "f32", length: n, purpose: "activations" });
  for (let i = 0; i < 500; i++) backend.run("fill", { y: x, n, value: i });
  const waiting = messageOf(backend.read(x));
  backend.dispose();
  backend.dispose();
  assert.is(await waiting, "DeviceLostError: the cpu backend was disposed of");
  assert.is(await messageOf(backend.sync()), "DeviceLostError: the cpu backend was disposed of");
  assert.throws(() => backend.allocate({ dtype: "f32", length: 4, purpose: "activations" }), /disposed/);
});

test("a process that forgets to dispose of it still ends, and one that waits for a result gets it", async () => {
  const folder = mkdtempSync(join(process.cwd(), "build/wasm-"));
  try {
    const outfile = join(folder, "program.mjs");
    const program = `
      import { createWasmBackend } from "./src/backend/wasm/backend.ts";
      const backend = await createWasmBackend({ threads: 3 });
      const x = backend.allocate({ dtype: "f32", length: 3, purpose: "weights" });
      backend.run("fill", { y: x, n: 3, value: 5 });
      console.log(String(await backend.read(x)));`;
    await bundle({ stdin: { contents: program, resolveDir: process.cwd(), loader: "ts" }, outfile });
    const { status, stdout, stderr } = spawnSync(process.execPath, [outfile], { encoding: "utf8", timeout: 30_000 });
    assert.equal([status, stdout, stderr], [0, "5,5,5\n", ""]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test.run();

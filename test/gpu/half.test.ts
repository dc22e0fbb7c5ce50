// Kernels on f16: inputs are f16 exactly, what is computed is within the bound of f32, and what is stored in f16 rounds once more.
// On a device without f16: that it says so.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { expected, gamma, smallest, stored, unit } from "./bounds.ts";
import { assertSame, assertWithin } from "./compare.ts";
import { backendUnderTest, blank, closeBackend, compute, half, refusal } from "./harness.ts";
import { geluExact, geluExactGrad, geluTanh, geluTanhGrad, siluGate, siluGateGrad } from "./oracle/activation.ts";
import { type AttentionDropout, attention, attentionGrad, fusedWidth } from "./oracle/attention.ts";
import { embedding, embeddingGrad, segments } from "./oracle/embedding.ts";
import { crossEntropyGrad, rowMax, sumExp } from "./oracle/loss.ts";
import { normApply, normGradGain, normGradInput, normGradSums, normStats } from "./oracle/norm.ts";
import { keeps } from "./oracle/philox.ts";
import { product } from "./oracle/products.ts";
import { integers, normal } from "./oracle/random.ts";
import { columnSum } from "./oracle/reduce.ts";
import { angles, rotary } from "./oracle/rotary.ts";

/** No adapter of the list of those that have f16 may lose it unseen. */
async function hasHalf(): Promise<boolean> {
  const { features, description } = (await backendUnderTest()).adapter;
  const has = features.includes("shader-f16");
  assert.ok(has || !/llvmpipe/.test(description), "llvmpipe has f16");
  return has;
}

/** A claim about f16, where there is f16. */
function testHalf(claim: string, body: () => Promise<void>): void {
  test(claim, async () => {
    if (await hasHalf()) return body();
    const backend = await backendUnderTest();
    assert.throws(() => backend.allocate({ dtype: "f16", length: 4, purpose: "scratch" }), /has no (shader-)?f16/);
    assert.is(backend.memory.total, 0);
  });
}

const once = (value: number) => ({ value, error: unit * Math.abs(value) + smallest });
const vacant = (length: number) => half(blank(length));
const random = (length: number, seed: number, deviation = 1) => half(normal(length, { seed, deviation }));

for (const length of [1, 2, 3, 8, 129]) {
  testHalf(`${length} f16 written and read: rounded to nearest, 2 bytes each, also in parts`, async () => {
    const backend = await backendUnderTest();
    const values = normal(length, { seed: 1, deviation: 1000 });
    const buffer = backend.allocate({ dtype: "f16", length, purpose: "weights" });
    assert.is(backend.memory.bytes.weights, 2 * length);
    backend.write(buffer, values);
    assertSame(await backend.read(buffer), half(values), "all");
    for (const part of [0, 1, length >> 1])
      assertSame(await backend.read(buffer, part), half(values).slice(0, part), "part");
    const even = length - (length % 2);
    backend.write(buffer, new Float32Array(even));
    assert.ok((await backend.read(buffer, even)).every((value) => value === 0));
    if (length > 1) assert.throws(() => backend.write(buffer, new Float32Array(1)), /even number/);
    backend.free(buffer);
    assert.is(backend.memory.total, 0);
  });
}

for (const n of [1, 3, 64, 257, 100_001]) {
  testHalf(`add, axpy, scale, fill of ${n}: within their roundings, and casts both ways`, async () => {
    const [a, b] = [random(n, 2), random(n, 3, 100)];
    const added = await compute("add", { a, b, y: vacant(n), n });
    assertWithin(added.y, stored(expected(n, (i) => once(a[i] + b[i]))), "add");
    const alpha = -0.7;
    const scaled = (x: Float32Array) =>
      expected(n, (i) => ({ value: alpha * x[i], error: gamma(2) * Math.abs(alpha * x[i]) + smallest }));
    assertWithin((await compute("scale", { x: a, y: vacant(n), n, alpha })).y, stored(scaled(a)), "scale");
    assertWithin((await compute("scale", { x: a, y: blank(n), n, alpha })).y, scaled(a), "scale to f32");
    const x = normal(n, { seed: 4 });
    assertWithin((await compute("scale", { x, y: vacant(n), n, alpha })).y, stored(scaled(x)), "scale from f32");
    const summed = (y: Float32Array) =>
      expected(n, (i) => {
        const value = y[i] + alpha * a[i];
        return { value, error: gamma(3) * Math.abs(alpha * a[i]) + unit * Math.abs(value) + smallest };
      });
    assertWithin((await compute("axpy", { x: a, y: b, n, alpha })).y, stored(summed(b)), "axpy");
    assertWithin((await compute("axpy", { x: a, y: x, n, alpha })).y, summed(x), "axpy to f32");
    assertSame((await compute("fill", { y: vacant(n), n, value: -1.5 })).y, new Float32Array(n).fill(-1.5), "fill");
  });
}

testHalf("what is stored beyond 65504 is infinity, what is not a number stays so, subnormal f16 are kept", async () => {
  const x = Float32Array.of(
    65519,
    65520,
    1e9,
    -1e9,
    Number.POSITIVE_INFINITY,
    Number.NaN,
    2 ** -24,
    3 * 2 ** -24,
    2 ** -26,
  );
  const { y } = await compute("scale", { x, y: vacant(x.length), n: x.length, alpha: 1 });
  assertSame(y, half(x), "y");
  const { y: back } = await compute("scale", { x: half(x), y: blank(x.length), n: x.length, alpha: 1 });
  assertSame(back, half(x), "back in f32");
});

testHalf("copy of f16, strided at odd places: exact, and nothing beside it changes", async () => {
  const [x, y0] = [random(60, 5), random(50, 6)];
  const shape = [1, 2, 3, 5] as const;
  const { y } = await compute("copy", {
    ...{ x, y: y0, shape, xStrides: [0, 15, 5, 1], yStrides: [0, 21, 7, 1], xOffset: 3, yOffset: 1 },
  });
  const wanted = y0.slice();
  for (let a = 0; a < 2; a++)
    for (let b = 0; b < 3; b++) for (let c = 0; c < 5; c++) wanted[1 + 21 * a + 7 * b + c] = x[3 + 15 * a + 5 * b + c];
  assertSame(y, wanted, "y");
});

const forms = [
  { name: "NN", transposeA: false, transposeB: false },
  { name: "NT", transposeA: false, transposeB: true },
  { name: "TN", transposeA: true, transposeB: false },
];
for (const { name, ...form } of forms)
  testHalf(
    `matmul ${name} of f16, also summed into f32: within gamma(k) |a||b| of f64, with and without bias`,
    async () => {
      for (const [batch, m, n, k] of [
        [3, 33, 7, 129],
        [1, 67, 1, 35],
        [1, 65, 130, 17],
        [1, 68, 132, 36],
        [2, 63, 64, 32],
        [1, 1, 256, 384],
        [1, 64, 64, 2052],
        [1, 332, 460, 444],
      ]) {
        const [a, b, bias] = [random(batch * m * k, 30), random(batch * k * n, 31), normal(n, { seed: 32 })];
        const size = { batch, m, n, k, ...form };
        const y0 = normal(batch * m * n, { seed: 33 });
        const more = (y: Float32Array, add?: Float32Array) =>
          compute("matmul", { ...size, a, b, y, bias: add, accumulate: true });
        const { y } = await compute("matmul", { ...size, a, b, y: vacant(y0.length), bias, accumulate: false });
        assertWithin(y, stored(product(a, b, { ...size, bias })), "y with bias");
        const start = half(y0);
        // The kernel of the largest takes lavapipe 15 s to compile, and adds to f32 as the same text.
        if (k !== 444)
          assertWithin((await more(start)).y, stored(product(a, b, { ...size, y0: start })), "y, accumulate");
        assertWithin((await more(y0, bias)).y, product(a, b, { ...size, bias, y0 }), "y in f32, accumulate");
      }
    },
  );

for (const n of [1, 3, 257, 1028]) {
  for (const { form, value, grad } of [
    { form: "tanh", value: geluTanh, grad: geluTanhGrad },
    { form: "exact", value: geluExact, grad: geluExactGrad },
  ] as const)
    testHalf(`gelu and geluGrad ${form} of ${n}: within the bound of f64`, async () => {
      const [x, dy] = [random(n, 7, 2), random(n, 8)];
      const { y } = await compute("gelu", { x, y: vacant(n), n, form });
      assertWithin(y, stored(expected(n, (i) => value(x[i]))), "y");
      const { dx } = await compute("geluGrad", { x, dy, dx: vacant(n), n, form });
      assertWithin(dx, stored(expected(n, (i) => grad(x[i], dy[i]))), "dx");
    });
  testHalf(`siluGate and siluGateGrad of ${n} pairs: within the bound of f64`, async () => {
    const [x, dy] = [random(2 * n, 9, 2), random(n, 10)];
    const { y } = await compute("siluGate", { x, y: vacant(n), n });
    assertWithin(y, stored(expected(n, (i) => siluGate(x[2 * i], x[2 * i + 1]))), "y");
    const { dx } = await compute("siluGateGrad", { x, dy, dx: vacant(2 * n), n });
    const pairs = Array.from({ length: n }, (_, i) => siluGateGrad(x[2 * i], x[2 * i + 1], dy[i])).flat();
    assertWithin(dx, stored(expected(2 * n, (i) => pairs[i])), "dx");
  });
}

testHalf("dropout of 33x65 at an odd place: the catalogue's elements, scaled", async () => {
  const [rows, cols, probability] = [33, 65, 0.25];
  const where = { seed: 7, stream: 3, step: 5, rowOffset: 100, colOffset: 3, probability };
  const x = random(rows * cols, 11);
  const kept = keeps(where);
  const { y } = await compute("dropout", { ...where, x, y: vacant(x.length), rows, cols });
  const wanted = expected(x.length, (i) => {
    const value = kept(Math.floor(i / cols) + 100, (i % cols) + 3) ? x[i] / (1 - probability) : 0;
    return { value, error: gamma(7) * Math.abs(value) };
  });
  assertWithin(y, stored(wanted), "y");
});

for (const kind of ["layer", "rms"] as const)
  for (const [rows, cols] of [
    [7, 2],
    [33, 65],
    [64, 128],
    [2, 5003],
  ])
    testHalf(`${kind} norm of ${rows}x${cols} and its gradients: within the bound of f64`, async () => {
      const [x, dy] = [half(normal(rows * cols, { seed: 12, mean: 0.5, deviation: 2 })), random(rows * cols, 13)];
      const [gain, bias] = [normal(cols, { seed: 14, mean: 1, deviation: 0.2 }), normal(cols, { seed: 15 })];
      const wantedStats = normStats(x, { rows, cols, kind });
      assertWithin(
        (await compute("normStats", { x, stats: blank(rows * 2), rows, cols, kind })).stats,
        wantedStats,
        "stats",
      );
      const shape = { stats: Float32Array.from(wantedStats.values), rows, cols, width: cols, eps: 1e-5 };
      const { y } = await compute("normApply", { ...shape, x, gain, bias, y: vacant(x.length) });
      assertWithin(y, stored(normApply(x, { ...shape, gain, bias })), "y");
      const wantedSums = normGradSums({ ...shape, x, dy, gain, kind });
      const local = await compute("normGradSums", { ...shape, x, gain, dy, kind, sums: blank(rows * 2) });
      assertWithin(local.sums, wantedSums, "sums");
      const sums = Float32Array.from(wantedSums.values);
      const dx0 = random(x.length, 16);
      const fresh = await compute("normGradInput", {
        ...shape,
        x,
        gain,
        dy,
        sums,
        dx: vacant(x.length),
        accumulate: false,
      });
      assertWithin(fresh.dx, stored(normGradInput({ ...shape, x, dy, gain, sums })), "dx");
      const more = await compute("normGradInput", { ...shape, x, gain, dy, sums, dx: dx0, accumulate: true });
      assertWithin(more.dx, stored(normGradInput({ ...shape, x, dy, gain, sums, dx0 })), "dx, accumulate");
      const gains = await compute("normGradGain", { ...shape, x, dy, dgain: blank(cols), accumulate: false });
      assertWithin(gains.dgain, normGradGain({ ...shape, x, dy }), "dgain");
      const biases = await compute("columnSum", { x: dy, y: blank(cols), rows, cols, accumulate: false });
      assertWithin(biases.y, columnSum(dy, { rows, cols }), "dbias");
    });

testHalf(
  "embedding of 65 ids, 33 wide: exact, and within one rounding when it accumulates; its gradient in f32",
  async () => {
    const shape = { count: 65, cols: 33, rows: 20, rowOffset: 3 };
    const ids = integers(65, { seed: 17, below: 25 });
    const [table, y0, dy] = [random(20 * 33, 18), random(65 * 33, 19), random(65 * 33, 20)];
    const fresh = await compute("embedding", { ...shape, ids, table, y: vacant(y0.length), accumulate: false });
    assertWithin(fresh.y, embedding(ids, { ...shape, table }), "y");
    const added = await compute("embedding", { ...shape, ids, table, y: y0, accumulate: true });
    assertWithin(added.y, stored(embedding(ids, { ...shape, table, y0 })), "y, accumulate");
    const { unique, starts, order } = segments(ids);
    const dtable = normal(table.length, { seed: 21 });
    const places = { unique, starts, order, segments: unique.length };
    const got = await compute("embeddingGrad", { ...shape, ...places, dy, dtable });
    assertWithin(got.dtable, embeddingGrad(ids, { ...shape, dy, dtable }), "dtable");
  },
);

testHalf(
  "softmax cross-entropy of f16 logits: maxima exact, sums and gradient within the bound of f64, in place too",
  async () => {
    const block = { rows: 33, cols: 68, validCols: 65, colOffset: 0 };
    const x = half(normal(33 * 68, { seed: 22, deviation: 3 }).map((e, i) => (i % 68 < 65 ? e : Number.NaN)));
    const targets = integers(33, { seed: 23, below: 65 });
    const max = rowMax(x, block);
    assertSame((await compute("rowMax", { x, max: blank(33), ...block })).max, max, "max");
    const wanted = sumExp(x, { ...block, max, targets });
    assertWithin((await compute("sumExp", { x, max, targets, sums: blank(66), ...block })).sums, wanted, "sums");
    // As with a loss scale: gradients that f16 has as normal numbers.
    const given = { ...block, max, sums: Float32Array.from(wanted.values), targets, scale: 1 / 33 };
    const dy = Float32Array.of(2 ** 10);
    const grad = stored(crossEntropyGrad(x, { ...given, dy: dy[0] }));
    assertWithin((await compute("crossEntropyGrad", { ...given, x, dy, dx: vacant(x.length) })).dx, grad, "dx");
    assertWithin((await compute("crossEntropyGrad", { ...given, x, dy, dx: x })).dx, grad, "dx in x's place");
  },
);

testHalf("rotary of 66 rows, and inverse: within the bound of f64", async () => {
  const shape = { heads: 4, kvHeads: 2, headWidth: 10, rows: 66, tokens: 33, offset: 5 };
  const x = random(66 * fusedWidth(shape), 24);
  const table = angles(38, 10);
  for (const inverse of [false, true]) {
    const { y } = await compute("rotary", { ...shape, x, table, y: vacant(x.length), inverse });
    assertWithin(y, stored(rotary(x, { ...shape, table, inverse })), "y");
  }
});

const mask: AttentionDropout = {
  ...{ probability: 0.3, seed: 9, stream: 17, step: 3 },
  ...{ batchOffset: 5, headOffset: 2, globalHeads: 11 },
};
const [heads, kvHeads] = [4, 2];
// One of them with dropout: which elements it takes knows of no dtype, and a kernel more takes lavapipe 10 s to compile.
for (const { headWidth, dropout } of [{ headWidth: 3 }, { headWidth: 32, dropout: mask }, { headWidth: 37 }])
  testHalf(
    `attention ${heads}:${kvHeads}, head width ${headWidth}: y, lse and dqkv within the bound of f64`,
    async () => {
      for (const tokens of [1, 7, 65]) {
        const c = { heads, kvHeads, headWidth, batch: 2, dropout };
        const scale = 1 / Math.sqrt(headWidth);
        const qkv = random(2 * tokens * fusedWidth(c), 25);
        const dy = random(2 * tokens * heads * headWidth, 26);
        const lengths = { queries: tokens, keys: tokens, capacity: tokens };
        const wanted = attention({ ...c, ...lengths, q: qkv, kv: qkv, scale: Math.fround(scale) });
        const rows = 2 * heads * tokens;
        const forward = await compute("attention", {
          ...{ ...c, ...lengths, q: qkv, kv: qkv, scale, y: vacant(dy.length), lse: blank(rows) },
        });
        assertWithin(forward.lse, wanted.lse, "lse");
        assertWithin(forward.y, stored(wanted.y), "y");
        const y = half(Float32Array.from(wanted.y.values));
        const given = { ...c, tokens, qkv, dy, y, lse: Float32Array.from(wanted.lse.values) };
        const wantedGrad = attentionGrad({ ...given, scale: Math.fround(scale) });
        const grad = await compute("attentionGrad", {
          ...given,
          scale,
          delta: blank(rows),
          dqkv: vacant(qkv.length),
        });
        assertWithin(grad.delta, wantedGrad.delta, "delta");
        assertWithin(grad.dqkv, stored(wantedGrad.dqkv), "dqkv");
      }
    },
  );

for (const n of [1, 3, 1021, 4096])
  testHalf(
    `adamw of ${n} with an f16 copy: the bits of without, and the copy rounded; nothing changes with a norm of NaN`,
    async () => {
      const [w, g, m] = [34, 35, 36].map((seed) => normal(n, { seed, deviation: 0.02 }));
      const rates = {
        learningRate: 3e-4,
        beta1: 0.9,
        beta2: 0.99,
        eps: 1e-8,
        weightDecay: 0.1,
        correction1: 0.3,
        correction2: 0.03,
      };
      const step = { w, g, m, v: m.map((e) => e * e), n, ...rates, clip: 1, lossScale: 1024 };
      const normSquared = Float32Array.of(3 * 2 ** 20);
      const copy = half(w);
      const alone = await compute("adamw", { ...step, normSquared });
      const both = await compute("adamw", { ...step, normSquared, half: copy });
      for (const name of ["w", "m", "v"] as const) assertSame(both[name], alone[name], name);
      assertSame(both.half, half(alone.w), "half");
      const kept = await compute("adamw", { ...step, normSquared: Float32Array.of(Number.NaN), half: copy });
      assertSame(kept.w, w, "w");
      assertSame(kept.half, copy, "half");
    },
  );

testHalf("types that do not go together are refused by name", async () => {
  const [x, y] = [random(4, 27), normal(4, { seed: 28 })];
  assert.match(
    await refusal("gelu", { x, y, n: 4, form: "tanh" }),
    /^gelu: y holds f32 and x f16, needs one type for both$/,
  );
  assert.match(await refusal("axpy", { x: y, y: x, n: 4, alpha: 1 }), /^axpy: y holds f16 and x f32, needs f32 in y$/);
  assert.match(await refusal("maximum", { x, y: half(y), n: 4 }), /^maximum: x holds f16, needs f32$/);
  const stats = { x, stats: half(blank(4)), rows: 2, cols: 2, kind: "layer" as const };
  assert.match(await refusal("normStats", stats), /^normStats: stats holds f16, needs f32$/);
});

test.after(closeBackend);
test.run();

// Who judges the judges: the comparison sees a single wrong element, each gradient oracle is the derivative of its
// forward oracle by central differences, and known values are met. Needs no device.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { exact, exponential, gamma, inverseSqrt, multiply, total, unit } from "../gpu/bounds.ts";
import { assertSame, assertWithin } from "../gpu/compare.ts";
import * as activation from "../gpu/oracle/activation.ts";
import { attention, attentionGrad, fusedWidth } from "../gpu/oracle/attention.ts";
import { embeddingGrad, segments } from "../gpu/oracle/embedding.ts";
import { crossEntropyGrad, negativeLogLikelihood } from "../gpu/oracle/loss.ts";
import { type Kind, normApply, normGradGain, normGradInput, normGradSums, normStats } from "../gpu/oracle/norm.ts";
import { adamw } from "../gpu/oracle/optimizer.ts";
import { keeps, philox } from "../gpu/oracle/philox.ts";
import { product } from "../gpu/oracle/products.ts";
import { normal } from "../gpu/oracle/random.ts";
import { angles, rotary } from "../gpu/oracle/rotary.ts";

const f64 = (length: number, seed: number): Float64Array => Float64Array.from(normal(length, { seed }));
const inner = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((sum, e, i) => sum + e * b[i], 0);
const near = (actual: number, wanted: number, tolerance: number, what: string): void => {
  assert.ok(Math.abs(actual - wanted) <= tolerance, `${what}: ${actual}, not ${wanted}`);
};

/** <gradient, d> against (f(x + h d) - f(x - h d)) / 2h in random directions d: the difference quotient is off by O(h^2). */
function isGradient(
  f: (x: Float64Array) => number,
  { x, gradient }: { x: Float64Array; gradient: ArrayLike<number> },
): void {
  const h = 1e-5;
  for (let seed = 1; seed <= 5; seed++) {
    const d = f64(x.length, 1000 + seed);
    const along = (step: number) => f(x.map((e, i) => e + step * d[i]));
    const quotient = (along(h) - along(-h)) / (2 * h);
    near(inner(gradient, d), quotient, 1e-6 * (1 + Math.abs(quotient)), `direction ${seed}`);
  }
}

test("the comparison throws on one element outside its bound, on a NaN, on a wrong length, and on one differing bit", () => {
  const wanted = { values: Float64Array.of(1, 2, 3), bounds: Float64Array.of(1e-6, 1e-6, 0) };
  assert.is(assertWithin(Float32Array.of(1, 2, 3), wanted, "y"), 0);
  for (const wrong of [
    [1, 2.00001, 3],
    [1, 2, Math.fround(3.0000004)],
    [1, Number.NaN, 3],
    [Number.NaN, 2, 3],
    [1, 2],
    [1, Number.POSITIVE_INFINITY, 3],
  ]) {
    assert.throws(() => assertWithin(Float32Array.from(wrong), wanted, "y"), /^y: /);
  }
  const notFinite = { values: Float64Array.of(Number.NaN, Number.POSITIVE_INFINITY), bounds: Float64Array.of(0, 0) };
  assertWithin(Float32Array.of(Number.NaN, Number.POSITIVE_INFINITY), notFinite, "y");
  assert.throws(() => assertWithin(Float32Array.of(0, Number.POSITIVE_INFINITY), notFinite, "y"), /element 0/);
  assert.throws(() => assertWithin(Float32Array.of(Number.NaN, Number.NEGATIVE_INFINITY), notFinite, "y"), /element 1/);
  assertSame(Float32Array.of(0, Number.NaN), Float32Array.of(0, Number.NaN), "y");
  assert.throws(() => assertSame(Float32Array.of(0, 1), Float32Array.of(-0, 1), "y"), /element 0/);
});

test("a product with one term left out, or one factor from the next row, is outside gamma(k) |a||b|", () => {
  const shape = { batch: 1, m: 5, n: 7, k: 129, transposeA: false, transposeB: false };
  const [a, b] = [normal(5 * 129, { seed: 1 }), normal(129 * 7, { seed: 2 })];
  const right = product(a, b, shape);
  const y = Float32Array.from(right.values);
  assertWithin(y, right, "y");
  for (const wrong of [y[9] - a[129 + 128] * b[128 * 7 + 2], y[9] + a[129 + 3] * (b[4 * 7 + 2] - b[3 * 7 + 2])]) {
    assert.throws(
      () =>
        assertWithin(
          y.map((e, i) => (i === 9 ? wrong : e)),
          right,
          "y",
        ),
      /element 9/,
    );
  }
});

test("a variance as E[x^2] - E[x]^2 in f32 is outside the bound for rows about 1e4", () => {
  const x = normal(768, { seed: 3, mean: 1e4 });
  let [sum, squares] = [0, 0];
  for (const e of x) {
    sum = Math.fround(sum + e);
    squares = Math.fround(squares + Math.fround(e * e));
  }
  const mean = Math.fround(sum / 768);
  const wanted = normStats(x, { rows: 1, cols: 768, kind: "layer" });
  assertWithin(Float32Array.of(mean, wanted.values[1]), wanted, "stats");
  assert.throws(() => assertWithin(Float32Array.of(mean, squares - mean * mean * 768), wanted, "stats"), /element 1/);
});

test("bounds hold for f32 arithmetic and are no wider than the roundings they count", () => {
  const x = normal(1000, { seed: 4 });
  const sum = x.reduce((p, e) => Math.fround(p + e), 0);
  const bound = total(Array.from(x, exact));
  assert.ok(Math.abs(sum - bound.value) <= bound.error);
  assert.ok(bound.error < 1001 * unit * x.reduce((p, e) => p + Math.abs(e), 0));
  near(multiply(exact(3), exact(5)).error, 15 * unit, 1e-20, "one product");
  near(exponential(exact(-2)).error, Math.exp(-2) * 14 * unit, 1e-20, "exp");
  near(inverseSqrt(exact(4)).error, 0.5 * 14 * unit, 1e-20, "1/sqrt");
  near(gamma(2), 2 * unit, 1e-12, "gamma(2)");
});

test("philox of a zero counter under a zero key is the paper's 6627e8d5 e169c58d bc57ac4c 9b00dbd8", () => {
  assert.equal(philox([0, 0, 0, 0], [0, 0]), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
  const ones = 0xffffffff;
  assert.equal(philox([ones, ones, ones, ones], [ones, ones]), [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]);
});

test("a dropout mask keeps 1 - p of its elements, within 4 standard deviations", () => {
  for (const probability of [0, 0.1, 0.5]) {
    const kept = keeps({ probability, seed: 7, stream: 1, step: 2 });
    let count = 0;
    for (let i = 0; i < 10000; i++) if (kept(i % 100, Math.floor(i / 100))) count++;
    near(count, 10000 * (1 - probability), 4 * Math.sqrt(10000 * probability * (1 - probability)), `p ${probability}`);
  }
});

test("erf and erfc meet tabulated values", () => {
  for (const [x, value] of [
    [0.5, 0.5204998778130465],
    [1, 0.8427007929497149],
    [2, 0.9953222650189527],
    [2.4, 0.9993114861033549],
  ]) {
    near(activation.erf(x), value, 2e-15, `erf(${x})`);
    near(activation.erf(-x), -value, 2e-15, `erf(${-x})`);
  }
  near(activation.erfc(3) / 2.209049699858544e-5, 1, 1e-13, "erfc(3)");
  near(activation.erfc(5) / 1.5374597944280349e-12, 1, 1e-13, "erfc(5)");
});

test("activation gradients are the derivatives of their forwards", () => {
  const h = 1e-6;
  for (const x of [-6.3, -2.1, -0.75, -1e-3, 0, 0.4, 1.9, 5.5]) {
    const slope = (f: (x: number) => { value: number }) => (f(x + h).value - f(x - h).value) / (2 * h);
    near(activation.geluTanhGrad(x, 2).value, 2 * slope(activation.geluTanh), 1e-8, `tanh at ${x}`);
    near(activation.geluExactGrad(x, 2).value, 2 * slope(activation.geluExact), 1e-8, `exact at ${x}`);
    near(activation.geluTanh(x).value, activation.geluExact(x).value, 1e-3, `both forms at ${x}`);
    const [gate, up] = activation.siluGateGrad(x, 1.7, 2);
    near(gate.value, 2 * slope((g) => activation.siluGate(g, 1.7)), 1e-8, `gate at ${x}`);
    near(up.value, 2 * activation.siluGate(x, 1).value, 1e-15, `up at ${x}`);
  }
});

for (const withDropout of [false, true]) {
  test(`the attention oracle's gradient is the derivative of its forward${withDropout ? ", with dropout" : ""}`, () => {
    const shape = { heads: 4, kvHeads: 2, headWidth: 3, batch: 2, scale: 0.6 };
    const tokens = 5;
    const dropout = withDropout
      ? { probability: 0.4, seed: 3, stream: 4, step: 5, batchOffset: 1, headOffset: 2, globalHeads: 9 }
      : undefined;
    const x = f64(2 * tokens * fusedWidth(shape), 11);
    const dy = f64(2 * tokens * 12, 12);
    const forward = (qkv: Float64Array) =>
      attention({ ...shape, q: qkv, kv: qkv, queries: tokens, keys: tokens, capacity: tokens, dropout });
    const { y, lse } = forward(x);
    const { dqkv } = attentionGrad({ ...shape, tokens, qkv: x, y: y.values, lse: lse.values, dy, dropout });
    isGradient((qkv) => inner(forward(qkv).y.values, dy), { x, gradient: dqkv.values });
  });
}

test("a query of a key-value cache attends to what it would in the whole sequence", () => {
  const shape = { heads: 2, kvHeads: 1, headWidth: 3, batch: 1, scale: 0.5 };
  const width = fusedWidth(shape);
  const x = f64(7 * width, 13);
  const whole = attention({ ...shape, q: x, kv: x, queries: 7, keys: 7, capacity: 7 });
  const last = attention({ ...shape, q: x.subarray(5 * width), kv: x, queries: 2, keys: 7, capacity: 7 });
  assert.equal(last.y.values, whole.y.values.slice(5 * 6));
});

for (const kind of ["layer", "rms"] satisfies Kind[]) {
  test(`the ${kind} norm oracles' gradients are the derivatives of their forward, for x and for gain`, () => {
    const [rows, cols] = [3, 7];
    const c = { rows, cols, width: cols, eps: 1e-5, kind };
    const [x, gain, dy] = [f64(rows * cols, 14), f64(cols, 15), f64(rows * cols, 16)];
    const at = (x: Float64Array) => ({ ...c, stats: normStats(x, c).values });
    const loss = (x: Float64Array, gain: Float64Array) => inner(normApply(x, { ...at(x), gain }).values, dy);
    const sums = normGradSums({ ...at(x), x, dy, gain }).values;
    isGradient((e) => loss(e, gain), { x, gradient: normGradInput({ ...at(x), x, dy, gain, sums }).values });
    isGradient((e) => loss(x, e), { x: gain, gradient: normGradGain({ ...at(x), x, dy }).values });
  });
}

test("the cross-entropy oracle's gradient is the derivative of -log softmax", () => {
  const [rows, cols] = [3, 6];
  const x = f64(rows * cols, 17);
  const targets = Int32Array.of(5, 0, 2);
  const loss = (x: Float64Array) =>
    targets.reduce((p, t, r) => p + negativeLogLikelihood(x.subarray(r * cols, (r + 1) * cols), t), 0) / rows;
  const max = new Float64Array(rows);
  const sums = new Float64Array(rows * 2);
  for (let r = 0; r < rows; r++)
    sums[r * 2] = x.subarray(r * cols, (r + 1) * cols).reduce((p, e) => p + Math.exp(e), 0);
  const c = { rows, cols, validCols: cols, colOffset: 0, max, sums, targets, dy: 1, scale: 1 / rows };
  isGradient(loss, { x, gradient: crossEntropyGrad(x, c).values });
});

test("rotary turned back is the identity, and turning keeps lengths", () => {
  const shape = { heads: 2, kvHeads: 1, headWidth: 4, rows: 6, tokens: 3, offset: 2 };
  const x = normal(6 * fusedWidth(shape), { seed: 18 });
  const table = angles(5, 4);
  const turned = rotary(x, { ...shape, table, inverse: false });
  const back = rotary(Float32Array.from(turned.values), { ...shape, table, inverse: true });
  for (const [i, e] of back.values.entries()) near(e, x[i], 1e-6, `element ${i}`);
  near(inner(turned.values, turned.values), inner(x, x), 1e-5, "length");
});

test("segments list every token once, by id, in order", () => {
  const ids = Int32Array.of(7, 2, 7, 0, 2, 7);
  assert.equal(segments(ids), {
    unique: Int32Array.of(0, 2, 7),
    starts: Int32Array.of(0, 1, 3, 6),
    order: Int32Array.of(3, 1, 4, 0, 2, 5),
  });
  const dy = Float32Array.of(1, 2, 4, 8, 16, 32);
  const given = { dy, dtable: new Float32Array(4).fill(0.5), cols: 1, rows: 4, rowOffset: 0 };
  assert.equal(Array.from(embeddingGrad(ids, given).values), [8.5, 0.5, 18.5, 0.5]);
});

test("the AdamW oracle makes PyTorch's steps", () => {
  const settings = { learningRate: 0.1, beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.01, clip: 0, lossScale: 1 };
  let at = { w: 1, m: 0, v: 0 };
  for (const [index, g] of [0.5, -0.25, 2].entries()) {
    const step = { ...settings, correction1: 1 - 0.9 ** (index + 1), correction2: 1 - 0.999 ** (index + 1) };
    const after = adamw({ ...at, g, normSquared: g * g }, step);
    at = { w: after.w.value, m: after.m.value, v: after.v.value };
  }
  // torch.optim.AdamW([1.0], lr 0.1, weight_decay 0.01) in float64 after gradients 0.5, -0.25, 2
  near(at.w, 0.8035310672284472, 1e-14, "w");
});

test.run();

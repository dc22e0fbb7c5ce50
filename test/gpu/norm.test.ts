// Norms and their gradients against f64, whole rows and column blocks of rows.

import { test } from "uvu";
import type { Expected } from "./bounds.ts";
import { assertSame, assertWithin } from "./compare.ts";
import { blank, closeBackend, compute, manyGroups } from "./harness.ts";
import type { Kind } from "./oracle/norm.ts";
import { normApply, normGradGain, normGradInput, normGradSums, normMerge, normStats } from "./oracle/norm.ts";
import { normal } from "./oracle/random.ts";

const kinds: Kind[] = ["layer", "rms"];
const eps = 1e-5;
const sizes = [
  { rows: 1, cols: 1 },
  { rows: 1, cols: 769 },
  { rows: 7, cols: 2 },
  { rows: 33, cols: 65 },
  { rows: 66, cols: 68 },
  { rows: 130, cols: 31 },
  { rows: 64, cols: 128 },
  { rows: 5, cols: 1028 },
  { rows: 300, cols: 3 },
  { rows: 2, cols: 5003 },
];
/** Rows above the 65535 workgroups of one dimension. */
const manyRows = { rows: 65539, cols: 3 };

const round = (x: Float64Array): Float32Array => Float32Array.from(x);

for (const kind of kinds) {
  for (const { rows, cols } of [...sizes, manyRows]) {
    const title = `${kind} ${rows}x${cols}`;
    test(`normStats ${title}: within the bound of the two-pass sums`, async () => {
      const x = normal(rows * cols, { seed: 31, mean: 0.3 });
      const { stats } = await compute("normStats", { x, stats: blank(rows * 2), rows, cols, kind });
      assertWithin(stats, normStats(x, { rows, cols, kind }), "stats");
    });
    test(`normApply and gradients ${title}: within the bound of f64`, () =>
      checkFrom(kind, rows, { cols, width: cols }));
  }
  test(`normApply and gradients ${kind}, 37x20 columns of rows of 83: within the bound of f64`, () =>
    checkFrom(kind, 37, { cols: 20, width: 83 }));

  test(`normStats ${kind} of rows about 1e4 with unit noise: no cancellation`, async () => {
    for (const { rows, cols } of [
      { rows: 5, cols: 768 },
      { rows: 33, cols: 65 },
    ]) {
      const x = normal(rows * cols, { seed: 32, mean: 1e4 });
      const { stats } = await compute("normStats", { x, stats: blank(rows * 2), rows, cols, kind });
      assertWithin(stats, normStats(x, { rows, cols, kind }), "stats");
    }
  });

  test(`normStats ${kind}: a NaN or an infinity reaches its row's sum of squares and no other row`, async () => {
    const [rows, cols] = [5, 37];
    const x = normal(rows * cols, { seed: 33 });
    x[1 * cols + 36] = Number.NaN;
    x[3 * cols] = Number.POSITIVE_INFINITY;
    const { stats } = await compute("normStats", { x, stats: blank(rows * 2), rows, cols, kind });
    const wanted = normStats(x, { rows, cols, kind });
    for (const row of [1, 3]) {
      if (Number.isFinite(stats[row * 2 + 1])) throw new Error(`row ${row}'s sum of squares is ${stats[row * 2 + 1]}`);
      for (const at of [row * 2, row * 2 + 1]) stats[at] = wanted.values[at];
    }
    assertWithin(stats, wanted, "the other rows");
  });
}

/** An array as the kernel has it: exactly. */
const given = (x: Float32Array): Expected => ({ values: Float64Array.from(x), bounds: new Float64Array(x.length) });

/** Pairs (mean, sum of squares) of blocks whose means differ by as much as their elements do. */
const pairs = (rows: number, seed: number): Float32Array =>
  normal(rows * 2, { seed, mean: 0.3 }).map((e, i) => (i % 2 === 0 ? e : 10 * Math.abs(e)));

for (const rows of [1, 2, 3, 7, 63, 65, 257, 2049, manyRows.rows]) {
  for (const [countA, countB] of [
    [1, 1],
    [5, 1],
    [20, 63],
    [768, 3],
    [50_257, 100_003],
  ]) {
    test(`normMerge of ${rows} rows of ${countA} and ${countB} columns: within its roundings, the same bits again`, async () => {
      const [a, b] = [pairs(rows, 41), pairs(rows, 42)];
      const merge = { a, b, y: blank(rows * 2), rows, countA, countB };
      const { y } = await compute("normMerge", merge);
      assertWithin(y, normMerge({ a: given(a), b: given(b) }, { countA, countB }), "y");
      assertSame((await compute("normMerge", merge)).y, y, "y again");
    });
  }
}

test("normMerge on 65537 workgroups, more than one dimension of a grid has: within its roundings", async () => {
  const rows = manyGroups.elements;
  const counts = { countA: 20, countB: 63 };
  const [a, b] = [pairs(rows, 49), pairs(rows, 50)];
  const { y } = await compute("normMerge", { a, b, y: blank(rows * 2), rows, ...counts }, { groups: manyGroups });
  assertWithin(y, normMerge({ a: given(a), b: given(b) }, counts), "y");
});

test("normMerge touches only the first rows of longer buffers", async () => {
  const [a, b, y0] = [pairs(40, 43), pairs(40, 44), pairs(40, 45)];
  const { y } = await compute("normMerge", { a, b, y: y0, rows: 21, countA: 4, countB: 3 });
  assertSame(y.subarray(42), y0.subarray(42), "y");
});

for (const kind of kinds) {
  test(`normMerge ${kind}: three unequal blocks in order of rows about 1e4 with unit noise have the whole rows' stats`, async () => {
    const [rows, width] = [37, 83];
    // each block about a mean of its own, so that the squares between blocks count
    const means = [0, 9, -4];
    const edges = [0, 20, 63, width];
    const blockOf = (col: number) => edges.findIndex((_, k) => col < edges[k + 1]);
    const whole = normal(rows * width, { seed: 46, mean: 1e4 }).map((e, i) => e + means[blockOf(i % width)]);
    const block = async (k: number) => {
      const cols = edges[k + 1] - edges[k];
      const x = whole.filter((_, i) => blockOf(i % width) === k);
      const { stats } = await compute("normStats", { x, stats: blank(rows * 2), rows, cols, kind });
      return { cols, stats, wanted: normStats(x, { rows, cols, kind }) };
    };
    let merged = await block(0);
    for (const k of [1, 2]) {
      const next = await block(k);
      const counts = { countA: merged.cols, countB: next.cols };
      const merge = { a: merged.stats, b: next.stats, y: blank(rows * 2), rows, ...counts };
      const { y } = await compute("normMerge", merge);
      const wanted = normMerge({ a: merged.wanted, b: next.wanted }, counts);
      merged = { cols: merged.cols + next.cols, stats: y, wanted };
    }
    const { values } = normStats(whole, { rows, cols: width, kind });
    assertWithin(merged.stats, { values, bounds: merged.wanted.bounds }, "stats");
  });
}

test("normMerge: a NaN or an infinity in either block reaches its row's sum of squares and no other row", async () => {
  const rows = 9;
  const [a, b] = [pairs(rows, 47), pairs(rows, 48)];
  const wanted = normMerge({ a: given(a), b: given(b) }, { countA: 7, countB: 4 });
  a[2 * 1] = Number.NaN;
  a[2 * 2 + 1] = Number.NaN;
  b[2 * 3] = Number.POSITIVE_INFINITY;
  b[2 * 5 + 1] = Number.POSITIVE_INFINITY;
  a[2 * 7] = Number.NEGATIVE_INFINITY;
  b[2 * 7 + 1] = Number.NaN;
  const { y } = await compute("normMerge", { a, b, y: blank(rows * 2), rows, countA: 7, countB: 4 });
  for (const row of [1, 2, 3, 5, 7]) {
    if (Number.isFinite(y[row * 2 + 1])) throw new Error(`row ${row}'s sum of squares is ${y[row * 2 + 1]}`);
    for (const at of [row * 2, row * 2 + 1]) y[at] = wanted.values[at];
  }
  assertWithin(y, wanted, "the other rows");
});

/** Each kernel on inputs of its own: stats and sums are the oracle's, of whole rows of which `cols` columns are here. */
async function checkFrom(kind: Kind, rows: number, { cols, width }: { cols: number; width: number }): Promise<void> {
  const whole = normal(rows * width, { seed: 34, mean: 0.5, deviation: 2 });
  const wholeDy = normal(rows * width, { seed: 35 });
  const wholeGain = normal(width, { seed: 36, mean: 1, deviation: 0.2 });
  const stats = round(normStats(whole, { rows, cols: width, kind }).values);
  const row = { stats, width, eps };
  const sums = round(normGradSums({ ...row, x: whole, dy: wholeDy, gain: wholeGain, rows, cols: width, kind }).values);
  const first = width - cols;
  const block = (x: Float32Array) => x.filter((_, i) => i % width >= first);
  const [x, dy, gain] = [block(whole), block(wholeDy), wholeGain.slice(first)];
  const bias = normal(cols, { seed: 37 });
  const shape = { ...row, rows, cols };

  const plain = await compute("normApply", { ...shape, x, gain, y: blank(x.length) });
  assertWithin(plain.y, normApply(x, { ...shape, gain }), "y");
  const shifted = await compute("normApply", { ...shape, x, gain, bias, y: blank(x.length) });
  assertWithin(shifted.y, normApply(x, { ...shape, gain, bias }), "y with bias");

  const local = await compute("normGradSums", { ...shape, x, gain, dy, kind, sums: blank(rows * 2) });
  assertWithin(local.sums, normGradSums({ ...shape, x, dy, gain, kind }), "sums");

  const dx0 = normal(x.length, { seed: 38 });
  const fresh = await compute("normGradInput", { ...shape, x, gain, dy, sums, dx: blank(x.length), accumulate: false });
  assertWithin(fresh.dx, normGradInput({ ...shape, x, dy, gain, sums }), "dx");
  const added = await compute("normGradInput", { ...shape, x, gain, dy, sums, dx: dx0, accumulate: true });
  assertWithin(added.dx, normGradInput({ ...shape, x, dy, gain, sums, dx0 }), "dx, accumulate");

  const dgain0 = normal(cols, { seed: 39 });
  const gains = await compute("normGradGain", { ...shape, x, dy, dgain: blank(cols), accumulate: false });
  assertWithin(gains.dgain, normGradGain({ ...shape, x, dy }), "dgain");
  const addedGains = await compute("normGradGain", { ...shape, x, dy, dgain: dgain0, accumulate: true });
  assertWithin(addedGains.dgain, normGradGain({ ...shape, x, dy, dgain0 }), "dgain, accumulate");
}

test.after(closeBackend);
test.run();

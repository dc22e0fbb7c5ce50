// Softmax cross-entropy: each piece against f64, and vocabulary blocks combined against the whole.

import { test } from "uvu";
import { expected } from "./bounds.ts";
import { assertSame, assertWithin } from "./compare.ts";
import { blank, closeBackend, compute } from "./harness.ts";
import { crossEntropy, crossEntropyGrad, negativeLogLikelihood, rowMax, sumExp } from "./oracle/loss.ts";
import { integers, normal } from "./oracle/random.ts";

const blocks = [
  { rows: 1, cols: 1, validCols: 1, colOffset: 0, vocabulary: 1 },
  { rows: 7, cols: 65, validCols: 65, colOffset: 0, vocabulary: 65 },
  { rows: 33, cols: 68, validCols: 65, colOffset: 0, vocabulary: 65 },
  { rows: 5, cols: 31, validCols: 29, colOffset: 62, vocabulary: 91 },
  { rows: 64, cols: 64, validCols: 64, colOffset: 64, vocabulary: 128 },
  { rows: 3, cols: 5028, validCols: 5003, colOffset: 0, vocabulary: 5003 },
  { rows: 130, cols: 2, validCols: 1, colOffset: 3, vocabulary: 6 },
  { rows: 65539, cols: 3, validCols: 2, colOffset: 0, vocabulary: 2 },
];

/** Logits whose padding columns are NaN: no kernel may look at them. */
function logits(c: { rows: number; cols: number; validCols: number }, deviation: number): Float32Array {
  return normal(c.rows * c.cols, { seed: 71, deviation }).map((e, i) => (i % c.cols < c.validCols ? e : Number.NaN));
}

async function checkPieces(x: Float32Array, c: (typeof blocks)[number]): Promise<void> {
  const { vocabulary, ...block } = c;
  const { rows } = block;
  const targets = integers(rows, { seed: 72, below: vocabulary });
  const max = rowMax(x, block);
  assertSame((await compute("rowMax", { x, max: blank(rows), ...block })).max, max, "max");

  const wanted = sumExp(x, { ...block, max, targets });
  assertWithin((await compute("sumExp", { x, max, targets, sums: blank(rows * 2), ...block })).sums, wanted, "sums");

  const sums = Float32Array.from(wanted.values);
  const losses = await compute("crossEntropy", { max, sums, losses: blank(rows), rows });
  assertWithin(losses.losses, crossEntropy(max, sums), "losses");

  const given = { ...block, max, sums, targets, scale: 0.37 };
  const wantedGrad = crossEntropyGrad(x, { ...given, dy: 1.5 });
  const grad = await compute("crossEntropyGrad", { ...given, x, dy: Float32Array.of(1.5), dx: blank(x.length) });
  assertWithin(grad.dx, wantedGrad, "dx");
  const inPlace = await compute("crossEntropyGrad", { ...given, x, dy: Float32Array.of(1.5), dx: x });
  assertWithin(inPlace.dx, wantedGrad, "dx in x's place");
}

for (const c of blocks) {
  const title = `${c.rows}x${c.cols}, ${c.validCols} valid, columns from ${c.colOffset}`;
  test(`rowMax, sumExp, crossEntropy, crossEntropyGrad ${title}: within the bound of f64, padding unread`, () =>
    checkPieces(logits(c, 2), c));
}

for (const magnitude of [80, 1e4]) {
  test(`softmax pieces with logits of +-${magnitude}: within the bound of f64, nothing overflows`, () => {
    const c = { rows: 9, cols: 67, validCols: 67, colOffset: 0, vocabulary: 67 };
    return checkPieces(
      normal(c.rows * c.cols, { seed: 73 }).map((e, i) => (i % 3 ? Math.sign(e) : e) * magnitude),
      c,
    );
  });
}

test("rowMax and sumExp of a block that is all padding: max -3.4e38, sums 0", async () => {
  const block = { rows: 5, cols: 7, validCols: 0, colOffset: 70 };
  const x = logits(block, 1);
  const targets = integers(5, { seed: 74, below: 80 });
  const max = new Float32Array(5).fill(-3.4e38);
  assertSame((await compute("rowMax", { x, max: blank(5), ...block })).max, max, "max");
  assertSame(
    (await compute("sumExp", { x, max, targets, sums: blank(10), ...block })).sums,
    new Float32Array(10),
    "sums",
  );
});

test("crossEntropyGrad of a block that is all padding: zeros", async () => {
  const block = { rows: 5, cols: 7, validCols: 0, colOffset: 70 };
  const [max, sums] = [normal(5, { seed: 75 }), normal(10, { seed: 76 }).map(Math.abs)];
  const targets = integers(5, { seed: 74, below: 80 });
  const x = logits(block, 1);
  const { dx } = await compute("crossEntropyGrad", {
    ...block,
    x,
    max,
    sums,
    targets,
    dy: Float32Array.of(2),
    dx: blank(35),
    scale: 1,
  });
  assertSame(dx.map(Math.abs), new Float32Array(35), "dx");
});

test("cross-entropy of three vocabulary blocks, combined by maximum and sum: the whole's loss and gradient", async () => {
  const [rows, vocabulary, cols] = [13, 71, 27];
  const x = normal(rows * vocabulary, { seed: 77, deviation: 3 });
  const targets = integers(rows, { seed: 78, below: vocabulary });
  const parts = [0, 1, 2].map((r) => {
    const colOffset = r * cols;
    const validCols = Math.min(cols, vocabulary - colOffset);
    const part = Float32Array.from({ length: rows * cols }, (_, i) =>
      i % cols < validCols ? x[Math.floor(i / cols) * vocabulary + colOffset + (i % cols)] : Number.NaN,
    );
    return { x: part, rows, cols, validCols, colOffset };
  });
  const max = new Float32Array(rows).fill(-3.4e38);
  for (const part of parts) {
    const local = await compute("rowMax", { ...part, max: blank(rows) });
    for (let i = 0; i < rows; i++) max[i] = Math.max(max[i], local.max[i]);
  }
  const sums = new Float32Array(rows * 2);
  for (const part of parts) {
    const local = await compute("sumExp", { ...part, max, targets, sums: blank(rows * 2) });
    for (let i = 0; i < 2 * rows; i++) sums[i] += local.sums[i];
  }
  const { losses } = await compute("crossEntropy", { max, sums, losses: blank(rows), rows });
  const whole = { rows, cols: vocabulary, validCols: vocabulary, colOffset: 0 };
  const wantedSums = sumExp(x, { ...whole, max, targets });
  // the blocks' sums carry their own errors, two more additions, then the logarithm's
  const wanted = expected(rows, (row) => {
    const relative = (wantedSums.bounds[row * 2] / wantedSums.values[row * 2]) * 1.01 + 2 * 2 ** -24;
    const value = negativeLogLikelihood(x.subarray(row * vocabulary, (row + 1) * vocabulary), targets[row]);
    return { value, error: relative + crossEntropy(max, sums).bounds[row] };
  });
  assertWithin(losses, wanted, "losses");
  const given = { max, sums, targets, scale: 1 / rows };
  const wantedGrad = crossEntropyGrad(x, { ...whole, ...given, dy: 1 });
  for (const part of parts) {
    const { dx } = await compute("crossEntropyGrad", {
      ...part,
      ...given,
      dy: Float32Array.of(1),
      dx: blank(rows * cols),
    });
    const pick = (all: Float64Array, i: number) =>
      i % cols < part.validCols ? all[Math.floor(i / cols) * vocabulary + part.colOffset + (i % cols)] : 0;
    const own = expected(rows * cols, (i) => ({
      value: pick(wantedGrad.values, i),
      error: pick(wantedGrad.bounds, i),
    }));
    assertWithin(dx, own, `dx from column ${part.colOffset}`);
  }
});

test("sumExp: a NaN logit makes its own row's sum not finite and no other", async () => {
  const c = { rows: 4, cols: 70, validCols: 70, colOffset: 0 };
  const x = logits(c, 1);
  const max = rowMax(x, c);
  const targets = integers(4, { seed: 79, below: 60 });
  const wanted = sumExp(x, { ...c, max, targets });
  x[2 * 70 + 69] = Number.NaN;
  const { sums } = await compute("sumExp", { ...c, x, max, targets, sums: blank(8) });
  // WGSL leaves exp of a NaN open (section 15.7.2): SwiftShader makes it infinite
  if (Number.isFinite(sums[4])) throw new Error(`the row's sum is ${sums[4]}`);
  sums[4] = wanted.values[4];
  assertWithin(sums, wanted, "the rest");
});

test.after(closeBackend);
test.run();

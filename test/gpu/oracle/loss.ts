// Softmax cross-entropy in f64, in the pieces of the kernel catalogue and as one formula.

import type { Expected, Rounded } from "../bounds.ts";
import {
  add,
  divide,
  exact,
  expected,
  exponential,
  logarithm,
  multiply,
  parameter,
  subtract,
  total,
} from "../bounds.ts";

export interface Block {
  rows: number;
  cols: number;
  validCols: number;
  colOffset: number;
}

/** -3.4e38 where there is no valid column. */
export function rowMax(x: Float32Array, { rows, cols, validCols }: Block): Float32Array {
  return Float32Array.from({ length: rows }, (_, row) =>
    x.subarray(row * cols, row * cols + validCols).reduce((p, e) => Math.max(p, e), -3.4e38),
  );
}

/** exp(x - max), zero where exp underflows: an f32 kernel may stop anywhere below exp(-87). */
function weight(x: number, max: number): Rounded {
  const exponent = subtract(exact(x), exact(max));
  return exponent.value < -87 ? { value: Math.exp(exponent.value), error: Math.exp(-86.9) } : exponential(exponent);
}

export function sumExp(x: Float32Array, c: Block & { max: Float32Array; targets: Int32Array }): Expected {
  const { rows, cols, validCols, colOffset } = c;
  const sums = Array.from({ length: rows }, (_, row) => {
    const valid = x.subarray(row * cols, row * cols + validCols);
    const target = c.targets[row] - colOffset;
    return [
      total(Array.from(valid, (e) => weight(e, c.max[row]))),
      exact(target >= 0 && target < validCols ? valid[target] : 0),
    ];
  }).flat();
  return expected(rows * 2, (i) => sums[i]);
}

export function crossEntropy(max: Float32Array, sums: Float32Array): Expected {
  return expected(max.length, (row) =>
    subtract(add(exact(max[row]), logarithm(exact(sums[row * 2]))), exact(sums[row * 2 + 1])),
  );
}

export function crossEntropyGrad(
  x: ArrayLike<number>,
  c: Block & { max: ArrayLike<number>; sums: ArrayLike<number>; targets: Int32Array; dy: number; scale: number },
): Expected {
  const factor = multiply(parameter(c.scale), exact(c.dy));
  return expected(c.rows * c.cols, (i) => {
    const row = Math.floor(i / c.cols);
    const col = i % c.cols;
    if (col >= c.validCols) return exact(0);
    const probability = divide(weight(x[i], c.max[row]), exact(c.sums[row * 2]));
    const hit = col + c.colOffset === c.targets[row] ? 1 : 0;
    return multiply(subtract(probability, exact(hit)), factor);
  });
}

/** -log softmax(x)[target] of one row: the textbook's one formula. */
export function negativeLogLikelihood(x: ArrayLike<number>, target: number): number {
  const row = Array.from(x);
  const max = Math.max(...row);
  return max + Math.log(row.reduce((p, e) => p + Math.exp(e - max), 0)) - row[target];
}

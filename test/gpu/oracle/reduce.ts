// Sums in f64, bounded for any order of addition.

import type { Expected } from "../bounds.ts";
import { expected, gamma, smallest, unit } from "../bounds.ts";

/** scale * sum of x or x^2 (+ y0). */
export function sum(x: Float32Array, { scale, square, y0 }: { scale: number; square: boolean; y0?: number }): Expected {
  let value = 0;
  let magnitude = 0;
  for (const e of x) {
    const term = square ? e * e : e;
    value += term;
    magnitude += Math.abs(term);
  }
  // one rounding each: the square, the parameter scale, the product with it, the last addition
  const error = Math.abs(scale) * gamma(x.length + 3) * magnitude + smallest * x.length;
  return expected(1, () => {
    const total = scale * value + (y0 ?? 0);
    return { value: total, error: error + (y0 === undefined ? 0 : unit * (Math.abs(total) + error)) };
  });
}

/** y[cols] = column sums of x[rows, cols] (+ y0). */
export function columnSum(
  x: Float32Array,
  { rows, cols, y0 }: { rows: number; cols: number; y0?: Float32Array },
): Expected {
  return expected(cols, (col) => {
    let value = y0 ? y0[col] : 0;
    let magnitude = Math.abs(value);
    for (let row = 0; row < rows; row++) {
      value += x[row * cols + col];
      magnitude += Math.abs(x[row * cols + col]);
    }
    return { value, error: gamma(rows) * magnitude };
  });
}

// LayerNorm (arXiv 1607.06450) and RMSNorm (arXiv 1910.07467) and their gradients in f64, in the pieces of the kernel catalogue.

import type { Expected, Rounded } from "../bounds.ts";
import {
  add,
  divide,
  exact,
  expected,
  gamma,
  inverseSqrt,
  multiply,
  parameter,
  smallest,
  subtract,
  total,
  unit,
} from "../bounds.ts";

export type Kind = "layer" | "rms";

/** stats[rows, 2]. A mean carries gamma(n) sum|x| / n and a division; the sum of squares about a mean that is off by e is larger by
 *  n e^2 (the cross term vanishes) and carries gamma(n + 3) for its subtractions (2), squares and additions. The two passes of
 *  Chan, Golub & LeVeque 1983, not E[x^2] - E[x]^2. */
export function normStats(
  x: ArrayLike<number>,
  { rows, cols, kind }: { rows: number; cols: number; kind: Kind },
): Expected {
  const values = new Float64Array(rows * 2);
  const bounds = new Float64Array(rows * 2);
  for (let row = 0; row < rows; row++) {
    const elements = Float64Array.from({ length: cols }, (_, col) => x[row * cols + col]);
    let mean = 0;
    let meanError = 0;
    if (kind === "layer") {
      mean = elements.reduce((p, e) => p + e, 0) / cols;
      const magnitude = elements.reduce((p, e) => p + Math.abs(e), 0) / cols;
      meanError = gamma(cols) * magnitude + 5 * unit * Math.abs(mean) + smallest;
    }
    const squares = elements.reduce((p, e) => p + (e - mean) ** 2, 0) + cols * meanError ** 2;
    values[row * 2] = mean;
    bounds[row * 2] = meanError;
    values[row * 2 + 1] = elements.reduce((p, e) => p + (e - mean) ** 2, 0);
    bounds[row * 2 + 1] = cols * meanError ** 2 + gamma(cols + 3) * squares + cols * smallest;
  }
  return { values, bounds };
}

/** Chan, Golub & LeVeque 1979 in f32, from statistics that may carry errors of their own. The values come from the definition, the
 *  columns' means weighted by their counts and the squares moved to the common mean; only the bounds follow the kernel's sums. */
export function normMerge(
  { a, b }: { a: Expected; b: Expected },
  { countA, countB }: { countA: number; countB: number },
): Expected {
  const at = (x: Expected, i: number): Rounded => ({ value: x.values[i], error: x.bounds[i] });
  const count = countA + countB;
  const values = new Float64Array(a.values.length);
  const bounds = new Float64Array(a.values.length);
  for (let i = 0; i < values.length; i += 2) {
    const mean = (countA * a.values[i] + countB * b.values[i]) / count;
    const moved = countA * (a.values[i] - mean) ** 2 + countB * (b.values[i] - mean) ** 2;
    values[i] = mean;
    values[i + 1] = a.values[i + 1] + b.values[i + 1] + moved;
    const delta = subtract(at(b, i), at(a, i));
    const squares = multiply(multiply(delta, delta), parameter((countA * countB) / count));
    bounds[i] = add(at(a, i), multiply(delta, parameter(countB / count))).error;
    bounds[i + 1] = total([at(a, i + 1), at(b, i + 1), squares]).error;
  }
  return { values, bounds };
}

interface Row {
  stats: ArrayLike<number>;
  width: number;
  eps: number;
}

/** rstd = 1/sqrt(stats[1]/width + eps). */
function rstd({ stats, width, eps }: Row, row: number): Rounded {
  return inverseSqrt(add(divide(exact(stats[row * 2 + 1]), exact(width)), parameter(eps)));
}

/** xhat = (x - mean) rstd. */
const normalised = (x: number, r: Row, row: number, scale: Rounded): Rounded =>
  multiply(subtract(exact(x), exact(r.stats[row * 2])), scale);

export function normApply(
  x: ArrayLike<number>,
  c: Row & { gain: ArrayLike<number>; bias?: ArrayLike<number>; rows: number; cols: number },
): Expected {
  const scales = Array.from({ length: c.rows }, (_, row) => rstd(c, row));
  return expected(c.rows * c.cols, (i) => {
    const row = Math.floor(i / c.cols);
    const col = i % c.cols;
    const y = multiply(normalised(x[i], c, row, scales[row]), exact(c.gain[col]));
    return c.bias ? add(y, exact(c.bias[col])) : y;
  });
}

interface GradCase extends Row {
  x: ArrayLike<number>;
  dy: ArrayLike<number>;
  rows: number;
  cols: number;
}

export function normGradSums(c: GradCase & { gain: ArrayLike<number>; kind: Kind }): Expected {
  const sums = Array.from({ length: c.rows }, (_, row) => {
    const scale = rstd(c, row);
    const gs: Rounded[] = [];
    const products: Rounded[] = [];
    for (let col = 0; col < c.cols; col++) {
      const i = row * c.cols + col;
      const g = multiply(exact(c.dy[i]), exact(c.gain[col]));
      gs.push(g);
      products.push(multiply(g, normalised(c.x[i], c, row, scale)));
    }
    return [c.kind === "rms" ? exact(0) : total(gs), total(products)];
  }).flat();
  return expected(sums.length, (i) => sums[i]);
}

export function normGradInput(
  c: GradCase & { gain: ArrayLike<number>; sums: ArrayLike<number>; dx0?: Float32Array },
): Expected {
  const scales = Array.from({ length: c.rows }, (_, row) => rstd(c, row));
  return expected(c.rows * c.cols, (i) => {
    const row = Math.floor(i / c.cols);
    const g = multiply(exact(c.dy[i]), exact(c.gain[i % c.cols]));
    const mean = divide(exact(c.sums[row * 2]), exact(c.width));
    const slope = divide(exact(c.sums[row * 2 + 1]), exact(c.width));
    const xhat = normalised(c.x[i], c, row, scales[row]);
    const dx = multiply(scales[row], subtract(subtract(g, mean), multiply(xhat, slope)));
    return c.dx0 ? add(dx, exact(c.dx0[i])) : dx;
  });
}

export function normGradGain(c: GradCase & { dgain0?: Float32Array }): Expected {
  const scales = Array.from({ length: c.rows }, (_, row) => rstd(c, row));
  return expected(c.cols, (col) => {
    const terms = Array.from({ length: c.rows }, (_, row) => {
      const i = row * c.cols + col;
      return multiply(exact(c.dy[i]), normalised(c.x[i], c, row, scales[row]));
    });
    if (c.dgain0) terms.push(exact(c.dgain0[col]));
    return total(terms);
  });
}

// Matrix products as three loops in f64.

import type { Expected } from "../bounds.ts";
import { gamma, smallest, unit } from "../bounds.ts";

export interface Product {
  batch: number;
  m: number;
  n: number;
  k: number;
  transposeA: boolean;
  transposeB: boolean;
}

/** y[z, m, n] = op(a) op(b) (+ bias) (+ y0) within gamma(k) |a||b| + 2 unit (|bias|, |y0|) + unit |y|: k products and k - 1
 *  additions, whatever their order; one more addition for each of bias and y0, which also round what was there. */
export function product(
  a: Float32Array,
  b: Float32Array,
  shape: Product & { bias?: Float32Array; y0?: Float32Array },
): Expected {
  const { batch, m, n, k, transposeA, transposeB, bias, y0 } = shape;
  const values = new Float64Array(batch * m * n);
  const bounds = new Float64Array(batch * m * n);
  for (let z = 0; z < batch; z++) {
    for (let i = 0; i < m; i++) {
      for (let j = 0; j < n; j++) {
        let sum = 0;
        let magnitude = 0;
        for (let l = 0; l < k; l++) {
          const term =
            a[z * m * k + (transposeA ? l * m + i : i * k + l)] * b[z * k * n + (transposeB ? j * k + l : l * n + j)];
          sum += term;
          magnitude += Math.abs(term);
        }
        const at = (z * m + i) * n + j;
        const added = (bias ? bias[j] : 0) + (y0 ? y0[at] : 0);
        const addedMagnitude = Math.abs(bias ? bias[j] : 0) + Math.abs(y0 ? y0[at] : 0);
        values[at] = sum + added;
        bounds[at] = gamma(k + 2) * magnitude + gamma(2) * addedMagnitude + unit * Math.abs(values[at]) + k * smallest;
      }
    }
  }
  return { values, bounds };
}

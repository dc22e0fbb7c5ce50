// Row gather and its gradient, a scatter of sums, in f64.

import type { Expected } from "../bounds.ts";
import { gamma, unit } from "../bounds.ts";

/** y[count, cols]: exact, or one addition when it accumulates. */
export function embedding(
  ids: Int32Array,
  c: { table: Float32Array; count: number; cols: number; rows: number; rowOffset: number; y0?: Float32Array },
): Expected {
  const values = new Float64Array(c.count * c.cols);
  const bounds = new Float64Array(c.count * c.cols);
  for (let i = 0; i < values.length; i++) {
    const row = ids[Math.floor(i / c.cols)] - c.rowOffset;
    const gathered = row >= 0 && row < c.rows ? c.table[row * c.cols + (i % c.cols)] : 0;
    values[i] = gathered + (c.y0 ? c.y0[i] : 0);
    bounds[i] = c.y0 ? unit * Math.abs(values[i]) : 0;
  }
  return { values, bounds };
}

/** dtable[rows, cols]: each row one sum over the tokens that read it, and what was there. */
export function embeddingGrad(
  ids: Int32Array,
  c: { dy: Float32Array; dtable: Float32Array; cols: number; rows: number; rowOffset: number },
): Expected {
  const values = Float64Array.from(c.dtable);
  const magnitudes = values.map(Math.abs);
  const terms = new Float64Array(c.rows);
  ids.forEach((id, t) => {
    const row = id - c.rowOffset;
    if (row < 0 || row >= c.rows) return;
    terms[row]++;
    for (let col = 0; col < c.cols; col++) {
      values[row * c.cols + col] += c.dy[t * c.cols + col];
      magnitudes[row * c.cols + col] += Math.abs(c.dy[t * c.cols + col]);
    }
  });
  return { values, bounds: magnitudes.map((magnitude, i) => gamma(terms[Math.floor(i / c.cols)]) * magnitude) };
}

/** The host's part of the gradient: which tokens read each id. */
export function segments(ids: Int32Array): { unique: Int32Array; starts: Int32Array; order: Int32Array } {
  const order = Int32Array.from(ids.keys()).sort((a, b) => ids[a] - ids[b] || a - b);
  const unique: number[] = [];
  const starts: number[] = [];
  order.forEach((token, position) => {
    if (unique.at(-1) === ids[token]) return;
    unique.push(ids[token]);
    starts.push(position);
  });
  return { unique: Int32Array.from(unique), starts: Int32Array.from([...starts, ids.length]), order };
}

// Blocks of parameters on the host: making one rank's part from a rule, and padding. No device, no exchange.

import { normal4 } from "../tensor/random.ts";
import type { ParameterSpec } from "./layout.ts";

/** Half-open. */
export interface Range {
  from: number;
  to: number;
}

/** Values of a block of a parameter; what lies outside the logical shape (padding) is zero. One-dim parameters are one row. */
export function initialBlock(spec: ParameterSpec, block: { rows: Range; cols: Range }): Float32Array {
  const { initial } = spec;
  const [rows, cols] = spec.shape.length === 1 ? [1, spec.shape[0]] : spec.shape;
  const width = block.cols.to - block.cols.from;
  const out = new Float32Array((block.rows.to - block.rows.from) * width);
  for (let row = block.rows.from; row < Math.min(block.rows.to, rows); row++) {
    const start = (row - block.rows.from) * width;
    const end = Math.min(block.cols.to, cols);
    if (initial.kind === "constant") out.fill(initial.value, start, start + Math.max(0, end - block.cols.from));
    else if (initial.kind === "data")
      out.set(initial.data.subarray(row * cols + block.cols.from, row * cols + end), start);
    else
      for (let quad = block.cols.from >> 2; quad * 4 < end; quad++) {
        const values = normal4({ seed: initial.seed, item: initial.item, row, block: quad });
        for (let lane = 0; lane < 4; lane++) {
          const col = quad * 4 + lane;
          if (col >= block.cols.from && col < end) out[start + col - block.cols.from] = initial.std * values[lane];
        }
      }
  }
  return out;
}

/** The least multiple of `unit` that is at least n. */
export const padTo = (n: number, unit: number): number => Math.ceil(n / unit) * unit;

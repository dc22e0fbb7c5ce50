// Rotary position embedding of fused rows, half-split pairing (RoFormer, arXiv 2104.09864), in f64.

import type { Expected } from "../bounds.ts";
import { gamma, smallest } from "../bounds.ts";
import type { Heads } from "./attention.ts";
import { columns, fusedWidth } from "./attention.ts";

/** y[rows, C]: q and k turned by the table's angle of position offset + row % tokens, v as it is. Two products and a sum: within
 *  gamma(3) of their magnitudes; exact where nothing is computed. */
export function rotary(
  x: Float32Array,
  c: Heads & { table: Float32Array; rows: number; tokens: number; offset: number; inverse: boolean },
): Expected {
  const { table, rows, tokens, offset, inverse, headWidth } = c;
  const width = fusedWidth(c);
  const half = headWidth / 2;
  const values = Float64Array.from(x.subarray(0, rows * width));
  const bounds = new Float64Array(rows * width);
  const turn = (start: number, position: number) => {
    for (let i = 0; i < half; i++) {
      const cos = table[(position * half + i) * 2];
      const sin = table[(position * half + i) * 2 + 1] * (inverse ? -1 : 1);
      const [a, b] = [x[start + i], x[start + half + i]];
      values[start + i] = a * cos - b * sin;
      values[start + half + i] = b * cos + a * sin;
      bounds[start + i] = gamma(3) * (Math.abs(a * cos) + Math.abs(b * sin)) + 3 * smallest;
      bounds[start + half + i] = gamma(3) * (Math.abs(b * cos) + Math.abs(a * sin)) + 3 * smallest;
    }
  };
  const heads = Array.from({ length: c.heads }, (_, h) => columns(c, h));
  const turning = new Set(heads.flatMap(({ q, k }) => [q, k]));
  for (let row = 0; row < rows; row++) {
    for (const start of turning) turn(row * width + start, offset + (row % tokens));
  }
  return { values, bounds };
}

/** cos and sin of position / base^(2i / W): table [positions, W/2, 2]. */
export function angles(positions: number, headWidth: number): Float32Array {
  const half = headWidth / 2;
  const table = new Float32Array(positions * headWidth);
  for (let p = 0; p < positions; p++) {
    for (let i = 0; i < half; i++) {
      const angle = p / 10000 ** (i / half);
      table[(p * half + i) * 2] = Math.cos(angle);
      table[(p * half + i) * 2 + 1] = Math.sin(angle);
    }
  }
  return table;
}

// Rotary position embedding on fused rows, forward and its vjp (the inverse turn). arXiv 2104.09864.

import type { Kernel } from "./kernel.ts";

export const rotary: Kernel<"rotary"> = (
  { heads, kvHeads, headWidth, rows, tokens, offset, inverse, ...buffers },
  views,
) => {
  const x = views.f32(buffers.x);
  const table = views.f32(buffers.table);
  const y = views.f32(buffers.y);
  const group = heads / kvHeads;
  const half = headWidth / 2;
  const slots = heads + 2 * kvHeads; // heads' worth of columns in a row
  const sign = inverse ? -1 : 1;
  for (let r = 0; r < rows; r++) {
    const angles = (offset + (r % tokens)) * headWidth;
    for (let slot = 0; slot < slots; slot++) {
      const at = (r * slots + slot) * headWidth;
      if (slot % (group + 2) === group + 1) {
        for (let c = 0; c < headWidth; c++) y[at + c] = x[at + c];
        continue;
      }
      for (let c = 0; c < half; c++) {
        const cos = table[angles + 2 * c];
        const sin = sign * table[angles + 2 * c + 1];
        const first = x[at + c];
        const second = x[at + c + half];
        y[at + c] = first * cos - second * sin;
        y[at + c + half] = second * cos + first * sin;
      }
    }
  }
};

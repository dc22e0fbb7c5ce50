// Rows of a table by token id, and the sum of their gradients back into it in an order the host chose.

import type { Kernel } from "./kernel.ts";

export const embedding: Kernel<"embedding"> = ({ count, cols, rows, rowOffset, accumulate, ...buffers }, views) => {
  const ids = views.i32(buffers.ids);
  const table = views.f32(buffers.table);
  const y = views.f32(buffers.y);
  for (let t = 0; t < count; t++) {
    const row = ids[t] - rowOffset;
    const at = t * cols;
    if (row < 0 || row >= rows) {
      if (!accumulate) y.fill(0, at, at + cols);
      continue;
    }
    const from = row * cols;
    if (accumulate) for (let c = 0; c < cols; c++) y[at + c] += table[from + c];
    else for (let c = 0; c < cols; c++) y[at + c] = table[from + c];
  }
};

export const embeddingGrad: Kernel<"embeddingGrad"> = ({ segments, cols, rows, rowOffset, ...buffers }, views) => {
  const unique = views.i32(buffers.unique);
  const starts = views.i32(buffers.starts);
  const order = views.i32(buffers.order);
  const dy = views.f32(buffers.dy);
  const dtable = views.f32(buffers.dtable);
  const sums = new Float64Array(cols);
  for (let s = 0; s < segments; s++) {
    const row = unique[s] - rowOffset;
    if (row < 0 || row >= rows) continue;
    sums.fill(0);
    for (let p = starts[s]; p < starts[s + 1]; p++) {
      const from = order[p] * cols;
      for (let c = 0; c < cols; c++) sums[c] += dy[from + c];
    }
    for (let c = 0; c < cols; c++) dtable[row * cols + c] += sums[c];
  }
};

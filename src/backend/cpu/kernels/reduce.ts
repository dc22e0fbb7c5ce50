// Sums, in f64 and in the order of the elements: one rounding at the end, so `sum` needs no partials here.

import type { Kernel } from "./kernel.ts";

export const sum: Kernel<"sum"> = ({ n, scale, square, accumulate, ...buffers }, views) => {
  const x = views.f32(buffers.x);
  const y = views.f32(buffers.y);
  let total = 0;
  if (square) for (let i = 0; i < n; i++) total += x[i] * x[i];
  else for (let i = 0; i < n; i++) total += x[i];
  y[0] = accumulate ? y[0] + scale * total : scale * total;
};

export const columnSum: Kernel<"columnSum"> = ({ rows, cols, accumulate, ...buffers }, views) => {
  const x = views.f32(buffers.x);
  const y = views.f32(buffers.y);
  const sums = new Float64Array(cols);
  for (let r = 0; r < rows; r++) {
    const at = r * cols;
    for (let c = 0; c < cols; c++) sums[c] += x[at + c];
  }
  for (let c = 0; c < cols; c++) y[c] = accumulate ? y[c] + sums[c] : sums[c];
};

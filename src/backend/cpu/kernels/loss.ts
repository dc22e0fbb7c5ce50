// Softmax cross-entropy over a vocabulary that may be split: each kernel does one rank's columns, and ranks combine
// max (by maximum) and sums (by addition) in between.

import type { Kernel } from "./kernel.ts";

/** Below every logit; finite, because WGSL has no infinity. */
const lowest = -3.4e38;

export const rowMax: Kernel<"rowMax"> = ({ rows, cols, validCols, ...buffers }, views) => {
  const x = views.f32(buffers.x);
  const max = views.f32(buffers.max);
  for (let r = 0; r < rows; r++) {
    let best = lowest;
    for (let c = r * cols; c < r * cols + validCols; c++) if (x[c] > best) best = x[c];
    max[r] = best;
  }
};

export const sumExp: Kernel<"sumExp"> = ({ rows, cols, validCols, colOffset, ...buffers }, views) => {
  const x = views.f32(buffers.x);
  const max = views.f32(buffers.max);
  const targets = views.i32(buffers.targets);
  const sums = views.f32(buffers.sums);
  for (let r = 0; r < rows; r++) {
    const at = r * cols;
    const rowMaximum = max[r];
    let sum = 0;
    for (let c = at; c < at + validCols; c++) sum += Math.exp(x[c] - rowMaximum);
    const target = targets[r] - colOffset;
    sums[2 * r] = sum;
    sums[2 * r + 1] = target >= 0 && target < validCols ? x[at + target] : 0;
  }
};

export const crossEntropy: Kernel<"crossEntropy"> = ({ rows, ...buffers }, views) => {
  const max = views.f32(buffers.max);
  const sums = views.f32(buffers.sums);
  const losses = views.f32(buffers.losses);
  for (let r = 0; r < rows; r++) losses[r] = max[r] + Math.log(sums[2 * r]) - sums[2 * r + 1];
};

export const crossEntropyGrad: Kernel<"crossEntropyGrad"> = (
  { rows, cols, validCols, colOffset, scale, ...buffers },
  views,
) => {
  const x = views.f32(buffers.x);
  const max = views.f32(buffers.max);
  const sums = views.f32(buffers.sums);
  const targets = views.i32(buffers.targets);
  const dx = views.f32(buffers.dx);
  const factor = scale * views.f32(buffers.dy)[0];
  for (let r = 0; r < rows; r++) {
    const at = r * cols;
    const rowMaximum = max[r];
    const share = factor / sums[2 * r];
    const target = targets[r] - colOffset;
    for (let c = 0; c < validCols; c++) {
      const probability = Math.exp(x[at + c] - rowMaximum) * share;
      dx[at + c] = c === target ? probability - factor : probability;
    }
    dx.fill(0, at + validCols, at + cols);
  }
};

// LayerNorm (arXiv 1607.06450) and RMSNorm (arXiv 1910.07467) in the pieces that ranks can sum between.
// With "rms" the mean in stats is 0, so one formula serves both.

import type { Kernel } from "./kernel.ts";

export const normStats: Kernel<"normStats"> = ({ rows, cols, kind, ...buffers }, views) => {
  const x = views.f32(buffers.x);
  const stats = views.f32(buffers.stats);
  for (let r = 0; r < rows; r++) {
    const at = r * cols;
    let mean = 0;
    if (kind === "layer") {
      for (let c = 0; c < cols; c++) mean += x[at + c];
      mean /= cols;
    }
    let squares = 0;
    for (let c = 0; c < cols; c++) {
      const deviation = x[at + c] - mean;
      squares += deviation * deviation;
    }
    stats[2 * r] = mean;
    stats[2 * r + 1] = squares;
  }
};

export const normMerge: Kernel<"normMerge"> = ({ rows, countA, countB, ...buffers }, views) => {
  const a = views.f32(buffers.a);
  const b = views.f32(buffers.b);
  const y = views.f32(buffers.y);
  const shareB = countB / (countA + countB);
  for (let i = 0; i < 2 * rows; i += 2) {
    const delta = b[i] - a[i];
    y[i] = a[i] + delta * shareB;
    y[i + 1] = a[i + 1] + b[i + 1] + delta * delta * countA * shareB;
  }
};

/** 1 / sqrt(variance + eps) of row r. */
const reciprocalDeviation = (
  stats: Float32Array,
  { r, width, eps }: { r: number; width: number; eps: number },
): number => 1 / Math.sqrt(stats[2 * r + 1] / width + eps);

// y = (x - mean) rstd gain + bias
export const normApply: Kernel<"normApply"> = ({ rows, cols, width, eps, ...buffers }, views) => {
  const x = views.f32(buffers.x);
  const stats = views.f32(buffers.stats);
  const gain = views.f32(buffers.gain);
  const bias = buffers.bias && views.f32(buffers.bias);
  const y = views.f32(buffers.y);
  for (let r = 0; r < rows; r++) {
    const at = r * cols;
    const mean = stats[2 * r];
    const rstd = reciprocalDeviation(stats, { r, width, eps });
    if (bias) for (let c = 0; c < cols; c++) y[at + c] = (x[at + c] - mean) * rstd * gain[c] + bias[c];
    else for (let c = 0; c < cols; c++) y[at + c] = (x[at + c] - mean) * rstd * gain[c];
  }
};

// g = dy gain, xhat = (x - mean) rstd; sums = (sum of g, sum of g xhat)
export const normGradSums: Kernel<"normGradSums"> = ({ rows, cols, width, eps, kind, ...buffers }, views) => {
  const x = views.f32(buffers.x);
  const stats = views.f32(buffers.stats);
  const gain = views.f32(buffers.gain);
  const dy = views.f32(buffers.dy);
  const sums = views.f32(buffers.sums);
  for (let r = 0; r < rows; r++) {
    const at = r * cols;
    const mean = stats[2 * r];
    const rstd = reciprocalDeviation(stats, { r, width, eps });
    let sum = 0;
    let sumXhat = 0;
    for (let c = 0; c < cols; c++) {
      const g = dy[at + c] * gain[c];
      sum += g;
      sumXhat += g * (x[at + c] - mean);
    }
    sums[2 * r] = kind === "layer" ? sum : 0;
    sums[2 * r + 1] = sumXhat * rstd;
  }
};

// dx (+)= rstd (g - sums[0] / width - xhat sums[1] / width)
export const normGradInput: Kernel<"normGradInput"> = ({ rows, cols, width, eps, accumulate, ...buffers }, views) => {
  const x = views.f32(buffers.x);
  const stats = views.f32(buffers.stats);
  const gain = views.f32(buffers.gain);
  const dy = views.f32(buffers.dy);
  const sums = views.f32(buffers.sums);
  const dx = views.f32(buffers.dx);
  for (let r = 0; r < rows; r++) {
    const at = r * cols;
    const mean = stats[2 * r];
    const rstd = reciprocalDeviation(stats, { r, width, eps });
    const meanG = sums[2 * r] / width;
    const slope = (rstd * sums[2 * r + 1]) / width;
    for (let c = 0; c < cols; c++) {
      const d = rstd * (dy[at + c] * gain[c] - meanG - (x[at + c] - mean) * slope);
      dx[at + c] = accumulate ? dx[at + c] + d : d;
    }
  }
};

// dgain (+)= column sums of dy xhat
export const normGradGain: Kernel<"normGradGain"> = ({ rows, cols, width, eps, accumulate, ...buffers }, views) => {
  const x = views.f32(buffers.x);
  const stats = views.f32(buffers.stats);
  const dy = views.f32(buffers.dy);
  const dgain = views.f32(buffers.dgain);
  const sums = new Float64Array(cols);
  for (let r = 0; r < rows; r++) {
    const at = r * cols;
    const mean = stats[2 * r];
    const rstd = reciprocalDeviation(stats, { r, width, eps });
    for (let c = 0; c < cols; c++) sums[c] += dy[at + c] * (x[at + c] - mean) * rstd;
  }
  for (let c = 0; c < cols; c++) dgain[c] = accumulate ? dgain[c] + sums[c] : sums[c];
};

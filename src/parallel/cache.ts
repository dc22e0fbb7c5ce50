// Rows that layouts keep or pick alike, whatever block of them a rank holds: the key-value cache, and rows of logits.

import { scratch, type Tensor } from "../tensor/tensor.ts";
import type { Sequence } from "./layout.ts";

/** cache[b, offset + t] = rows[b tokens + t]. */
export function appendToCache(rows: Tensor, options: { cache: Tensor; sequence: Sequence }): void {
  const { batch, tokens, offset } = options.sequence;
  const [, capacity, cols] = options.cache.shape;
  if (offset + tokens > capacity)
    throw new RangeError(`the key-value cache holds ${capacity} tokens, ${offset + tokens} are needed`);
  rows.backend.run("copy", {
    x: rows.buffer,
    y: options.cache.buffer,
    shape: [1, batch, tokens, cols],
    xStrides: [0, tokens * cols, cols, 1],
    yStrides: [0, capacity * cols, cols, 1],
    xOffset: 0,
    yOffset: offset * cols,
  });
}

/** Every step-th row of x, the last of each run of `step`, in memory of its own; the first `cols` columns (all by default). */
export function keptRows(x: Tensor, { step, cols = x.shape[1] }: { step: number; cols?: number }): Tensor {
  const kept = scratch(x, [x.shape[0] / step, cols]);
  x.backend.run("copy", {
    x: x.buffer,
    y: kept.buffer,
    shape: [1, 1, kept.shape[0], cols],
    xStrides: [0, 0, step * x.shape[1], 1],
    yStrides: [0, 0, cols, 1],
    xOffset: (step - 1) * x.shape[1],
    yOffset: 0,
  });
  return kept;
}

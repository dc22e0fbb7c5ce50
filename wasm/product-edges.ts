// How sums of products get to y: whole vectors inside, lanes at its last columns.

import { loadPart, storePart } from "./lanes";

/** Columns of a panel. */
export const panelCols: i32 = 8;
/** Steps of a sum before it is put down: a panel of them takes 16 KiB. */
export const blockSteps: i32 = 512;

/** The first `count` lanes, the others 0; any count. */
@inline
export function loadUpTo(at: usize, count: i32): v128 {
  if (count >= 4) return v128.load(at);
  return count > 0 ? loadPart(at, count) : f32x4.splat(0);
}

/** Writes the first `count` lanes; any count. */
@inline
export function storeUpTo(at: usize, x: v128, count: i32): void {
  if (count >= 4) v128.store(at, x);
  else if (count > 0) storePart(at, x, count);
}

/** Where 8 columns of sums go, of which `cols` exist: y += where `accumulate`, + bias unless that is 0. */
@inline
export function put(y: usize, low: v128, high: v128, cols: i32, bias: usize, accumulate: bool): void {
  if (cols >= panelCols) {
    if (bias) {
      low = f32x4.add(low, v128.load(bias));
      high = f32x4.add(high, v128.load(bias, 16));
    }
    if (accumulate) {
      low = f32x4.add(v128.load(y), low);
      high = f32x4.add(v128.load(y, 16), high);
    }
    v128.store(y, low);
    v128.store(y, high, 16);
    return;
  }
  if (bias) {
    low = f32x4.add(low, loadUpTo(bias, cols));
    high = f32x4.add(high, loadUpTo(bias + 16, cols - 4));
  }
  if (accumulate) {
    low = f32x4.add(loadUpTo(y, cols), low);
    high = f32x4.add(loadUpTo(y + 16, cols - 4), high);
  }
  storeUpTo(y, low, cols);
  storeUpTo(y + 16, high, cols - 4);
}

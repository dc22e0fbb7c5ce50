// What the passes of attention share: where a head's columns are in fused rows, and the dropout of its weights.
// args of each begin: heads, kvHeads, headWidth, scale, dropout or not, threshold, keep, seed, stream, step, batchOffset,
// headOffset, globalHeads, queries of a sample.

import { address, integer, real } from "./args";
import { firstLanes } from "./lanes";
import { philoxWords } from "./random";

/** Index of the first argument that is the pass's own. */
export const ownArgs: i32 = 14;

@inline
export function headsOf(args: usize): i32 {
  return integer(args, 0);
}
@inline
export function groupOf(args: usize): i32 {
  return integer(args, 0) / integer(args, 1);
}
@inline
export function widthOf(args: usize): i32 {
  return integer(args, 2);
}
@inline
export function scaleOf(args: usize): v128 {
  return f32x4.splat(real(args, 3));
}
@inline
export function hasDropout(args: usize): bool {
  return integer(args, 4) != 0;
}
@inline
export function queriesOf(args: usize): i32 {
  return integer(args, 13);
}

/** Bytes of a fused row. */
@inline
export function fusedStride(args: usize): usize {
  return (<usize>(integer(args, 0) + 2 * integer(args, 1)) * widthOf(args)) << 2;
}
/** Bytes from a fused row's start to head h's query, and to its group's key; the value follows the key. */
export function queryOffset(args: usize, h: i32): usize {
  const group = groupOf(args);
  return (<usize>((h / group) * (group + 2) + (h % group)) * widthOf(args)) << 2;
}
export function keyOffset(args: usize, h: i32): usize {
  const group = groupOf(args);
  return (<usize>((h / group) * (group + 2) + group) * widthOf(args)) << 2;
}

/** Makes the words for `count` keys from `key`, a multiple of 16, of query i of head h of sample b. */
export function dropoutWords(args: usize, to: usize, b: i32, h: i32, i: i32, key: i32, count: i32): void {
  const sample = b + <i32>address(args, 10);
  const row = (sample * <i32>address(args, 12) + h + <i32>address(args, 11)) * queriesOf(args) + i;
  const step = <i32>address(args, 9);
  const stream = <i32>address(args, 8);
  philoxWords(to, (count + 15) >> 4, key >> 2, row, step, stream, <i32>address(args, 7));
}

@inline
export function thresholdOf(args: usize): v128 {
  return i32x4.splat(<i32>address(args, 5));
}
@inline
export function keepOf(args: usize): v128 {
  return f32x4.splat(real(args, 6));
}

/** What dropout multiplies four weights by. */
@inline
export function dropoutFactors(words: usize, threshold: v128, keep: v128): v128 {
  return v128.andnot(keep, i32x4.lt_u(v128.load(words), threshold));
}

/** Whole lanes of the four from `col` that lie before `seen`. */
@inline
export function seenLanes(seen: i32, col: i32): v128 {
  return firstLanes(seen - col);
}

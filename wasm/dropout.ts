// Dropout on a block of a larger matrix. Items are rows.

import { address, integer, real } from "./args";
import { loadPart, storePart } from "./lanes";
import { philoxWords } from "./random";

/** Columns whose words are made at a time: 16 KiB of scratch, which stay in the first-level cache with their elements. */
const slice: i32 = 4096;

/** y[rows, cols] = x keep, or 0 where the word is below threshold.
 *  args: x, y, cols, rowOffset, colOffset, threshold, keep, seed, stream, step */
export function dropout(args: usize, begin: i32, end: i32, scratch: usize): void {
  const cols = integer(args, 2);
  // Unsigned and perhaps beyond 2^31, as addresses are.
  const rowOffset = <i32>address(args, 3);
  const colOffset = <u32>address(args, 4);
  const threshold = i32x4.splat(<i32>address(args, 5));
  const keep = f32x4.splat(real(args, 6));
  const seed = <i32>address(args, 7);
  const stream = <i32>address(args, 8);
  const step = <i32>address(args, 9);
  for (let row = begin; row < end; row++) {
    let from = address(args, 0) + ((<usize>row * cols) << 2);
    let to = address(args, 1) + ((<usize>row * cols) << 2);
    for (let col = 0; col < cols; col += slice) {
      let count = min(slice, cols - col);
      const first = colOffset + col;
      const skip = <i32>(first & 3);
      philoxWords(scratch, (skip + count + 15) >> 4, <i32>(first >> 2), rowOffset + row, step, stream, seed);
      let word = scratch + (skip << 2);
      // Selected, not multiplied: a dropped NaN or infinity is 0.
      for (; count >= 4; count -= 4) {
        const dropped = i32x4.lt_u(v128.load(word), threshold);
        v128.store(to, v128.andnot(f32x4.mul(v128.load(from), keep), dropped));
        from += 16;
        to += 16;
        word += 16;
      }
      if (count > 0) {
        const dropped = i32x4.lt_u(loadPart(word, count), threshold);
        storePart(to, v128.andnot(f32x4.mul(loadPart(from, count), keep), dropped), count);
      }
    }
  }
}

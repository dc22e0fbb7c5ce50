// Softmax cross-entropy over a vocabulary that may be split: each pass does one rank's columns. Items are rows.

import { address, integer } from "./args";
import { firstLanes, loadPart, storePart, sumLanes } from "./lanes";
import { expx4, log } from "./math";

/** Below every logit; finite, because WGSL has no infinity. */
const lowest: f32 = -3.4e38;

/** max[rows] over the first validCols columns of x[rows, cols]. args: x, max, cols, validCols */
export function rowMax(args: usize, begin: i32, end: i32, scratch: usize): void {
  const cols = integer(args, 2);
  const validCols = integer(args, 3);
  for (let row = begin; row < end; row++) {
    let x = address(args, 0) + ((<usize>row * cols) << 2);
    let count = validCols;
    // pmax keeps its first argument beside a NaN
    let m0 = f32x4.splat(lowest);
    let m1 = m0;
    for (; count >= 8; count -= 8) {
      m0 = f32x4.pmax(m0, v128.load(x));
      m1 = f32x4.pmax(m1, v128.load(x, 16));
      x += 32;
    }
    if (count >= 4) {
      m0 = f32x4.pmax(m0, v128.load(x));
      x += 16;
      count -= 4;
    }
    if (count > 0) {
      const part = v128.bitselect(loadPart(x, count), m1, firstLanes(count));
      m1 = f32x4.pmax(m1, part);
    }
    m0 = f32x4.pmax(m0, m1);
    m0 = f32x4.pmax(m0, v128.shuffle<i64>(m0, m0, 1, 0));
    m0 = f32x4.pmax(m0, v128.shuffle<i32>(m0, m0, 1, 0, 3, 2));
    store<f32>(address(args, 1) + (<usize>row << 2), f32x4.extract_lane(m0, 0));
  }
}

/** Elements that are added in f32 before their sum goes on in f64. */
const span: i32 = 512;

/** sums[rows, 2] = (sum of exp(x - max) over the valid columns; x at the target, or 0 when it is not among them).
 *  args: x, max, targets, sums, cols, validCols, colOffset */
export function sumExp(args: usize, begin: i32, end: i32, scratch: usize): void {
  const cols = integer(args, 4);
  const validCols = integer(args, 5);
  const colOffset = <i64>load<f64>(args, 48);
  for (let row = begin; row < end; row++) {
    const x = address(args, 0) + ((<usize>row * cols) << 2);
    const max = v128.load32_splat(address(args, 1) + (<usize>row << 2));
    const sums = address(args, 3) + (<usize>row << 3);
    let from = x;
    let total: f64 = 0;
    for (let col = 0; col < validCols; col += span) {
      let count = min(span, validCols - col);
      let sum = f32x4.splat(0);
      for (; count >= 4; count -= 4) {
        sum = f32x4.add(sum, expx4(f32x4.sub(v128.load(from), max)));
        from += 16;
      }
      if (count > 0) sum = f32x4.add(sum, v128.and(expx4(f32x4.sub(loadPart(from, count), max)), firstLanes(count)));
      total += sumLanes(sum);
    }
    const target = <i64>load<i32>(address(args, 2) + (<usize>row << 2)) - colOffset;
    store<f32>(sums, <f32>total);
    store<f32>(sums, target >= 0 && target < validCols ? load<f32>(x + (<usize>target << 2)) : 0, 4);
  }
}

/** losses[rows] = max + log(sums[0]) - sums[1]. args: max, sums, losses */
export function crossEntropy(args: usize, begin: i32, end: i32, scratch: usize): void {
  for (let row = begin; row < end; row++) {
    const max = load<f32>(address(args, 0) + (<usize>row << 2));
    const sums = address(args, 1) + (<usize>row << 3);
    store<f32>(address(args, 2) + (<usize>row << 2), <f32>(<f64>max + log(load<f32>(sums)) - load<f32>(sums, 4)));
  }
}

/** dx[rows, cols] = (exp(x - max) / sums[0] - (col + colOffset == target)) scale dy[0], 0 beyond validCols; dx may be x.
 *  args: x, max, sums, targets, dy, dx, cols, validCols, colOffset, scale */
export function crossEntropyGrad(args: usize, begin: i32, end: i32, scratch: usize): void {
  const cols = integer(args, 6);
  const validCols = integer(args, 7);
  const colOffset = <i64>load<f64>(args, 64);
  const factor = load<f64>(args, 72) * <f64>load<f32>(address(args, 4));
  for (let row = begin; row < end; row++) {
    let from = address(args, 0) + ((<usize>row * cols) << 2);
    const dx = address(args, 5) + ((<usize>row * cols) << 2);
    const max = v128.load32_splat(address(args, 1) + (<usize>row << 2));
    const share = f32x4.splat(<f32>(factor / <f64>load<f32>(address(args, 2) + (<usize>row << 3))));
    const target = <i64>load<i32>(address(args, 3) + (<usize>row << 2)) - colOffset;
    let to = dx;
    let count = validCols;
    for (; count >= 4; count -= 4) {
      v128.store(to, f32x4.mul(expx4(f32x4.sub(v128.load(from), max)), share));
      from += 16;
      to += 16;
    }
    if (count > 0) storePart(to, f32x4.mul(expx4(f32x4.sub(loadPart(from, count), max)), share), count);
    memory.fill(dx + (<usize>validCols << 2), 0, <usize>(cols - validCols) << 2);
    if (target >= 0 && target < validCols) {
      const at = dx + (<usize>target << 2);
      store<f32>(at, load<f32>(at) - <f32>factor);
    }
  }
}

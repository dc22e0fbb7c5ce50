// Sums, multiples, maxima and copies. Items of all but `copy` are vectors of four elements, the last one perhaps shorter.

import { address, integer, real } from "./args";
import { loadPart, storePart } from "./lanes";

/** y[n] = a + b. args: a, b, y, n */
export function add(args: usize, begin: i32, end: i32, scratch: usize): void {
  const a = address(args, 0);
  const b = address(args, 1);
  const y = address(args, 2);
  const n = integer(args, 3);
  const whole = <usize>min(end, n >> 2) << 4;
  let at = <usize>begin << 4;
  for (; at + 64 <= whole; at += 64) {
    const y0 = f32x4.add(v128.load(a + at), v128.load(b + at));
    const y1 = f32x4.add(v128.load(a + at, 16), v128.load(b + at, 16));
    const y2 = f32x4.add(v128.load(a + at, 32), v128.load(b + at, 32));
    const y3 = f32x4.add(v128.load(a + at, 48), v128.load(b + at, 48));
    v128.store(y + at, y0);
    v128.store(y + at, y1, 16);
    v128.store(y + at, y2, 32);
    v128.store(y + at, y3, 48);
  }
  for (; at < whole; at += 16) v128.store(y + at, f32x4.add(v128.load(a + at), v128.load(b + at)));
  const rest = n & 3;
  if (end > n >> 2) storePart(y + at, f32x4.add(loadPart(a + at, rest), loadPart(b + at, rest)), rest);
}

/** y[n] += alpha x. args: x, y, n, alpha */
export function axpy(args: usize, begin: i32, end: i32, scratch: usize): void {
  const x = address(args, 0);
  const y = address(args, 1);
  const n = integer(args, 2);
  const alpha = f32x4.splat(real(args, 3));
  const whole = <usize>min(end, n >> 2) << 4;
  let at = <usize>begin << 4;
  for (; at + 64 <= whole; at += 64) {
    const y0 = f32x4.add(v128.load(y + at), f32x4.mul(alpha, v128.load(x + at)));
    const y1 = f32x4.add(v128.load(y + at, 16), f32x4.mul(alpha, v128.load(x + at, 16)));
    const y2 = f32x4.add(v128.load(y + at, 32), f32x4.mul(alpha, v128.load(x + at, 32)));
    const y3 = f32x4.add(v128.load(y + at, 48), f32x4.mul(alpha, v128.load(x + at, 48)));
    v128.store(y + at, y0);
    v128.store(y + at, y1, 16);
    v128.store(y + at, y2, 32);
    v128.store(y + at, y3, 48);
  }
  for (; at < whole; at += 16)
    v128.store(y + at, f32x4.add(v128.load(y + at), f32x4.mul(alpha, v128.load(x + at))));
  const rest = n & 3;
  if (end > n >> 2)
    storePart(y + at, f32x4.add(loadPart(y + at, rest), f32x4.mul(alpha, loadPart(x + at, rest))), rest);
}

/** y[n] = max(x, y), NaN where either is. args: x, y, n */
export function maximum(args: usize, begin: i32, end: i32, scratch: usize): void {
  const x = address(args, 0);
  const y = address(args, 1);
  const n = integer(args, 2);
  const whole = <usize>min(end, n >> 2) << 4;
  let at = <usize>begin << 4;
  for (; at < whole; at += 16) v128.store(y + at, f32x4.max(v128.load(x + at), v128.load(y + at)));
  const rest = n & 3;
  if (end > n >> 2) storePart(y + at, f32x4.max(loadPart(x + at, rest), loadPart(y + at, rest)), rest);
}

/** y[n] = alpha x. args: x, y, n, alpha */
export function scale(args: usize, begin: i32, end: i32, scratch: usize): void {
  const x = address(args, 0);
  const y = address(args, 1);
  const n = integer(args, 2);
  const alpha = f32x4.splat(real(args, 3));
  const whole = <usize>min(end, n >> 2) << 4;
  let at = <usize>begin << 4;
  for (; at + 64 <= whole; at += 64) {
    const y0 = f32x4.mul(alpha, v128.load(x + at));
    const y1 = f32x4.mul(alpha, v128.load(x + at, 16));
    const y2 = f32x4.mul(alpha, v128.load(x + at, 32));
    const y3 = f32x4.mul(alpha, v128.load(x + at, 48));
    v128.store(y + at, y0);
    v128.store(y + at, y1, 16);
    v128.store(y + at, y2, 32);
    v128.store(y + at, y3, 48);
  }
  for (; at < whole; at += 16) v128.store(y + at, f32x4.mul(alpha, v128.load(x + at)));
  const rest = n & 3;
  if (end > n >> 2) storePart(y + at, f32x4.mul(alpha, loadPart(x + at, rest)), rest);
}

/** y[n] = value. args: y, n, value */
export function fill(args: usize, begin: i32, end: i32, scratch: usize): void {
  const y = address(args, 0);
  const n = integer(args, 1);
  const value = f32x4.splat(real(args, 2));
  const whole = <usize>min(end, n >> 2) << 4;
  let at = <usize>begin << 4;
  for (; at + 64 <= whole; at += 64) {
    v128.store(y + at, value);
    v128.store(y + at, value, 16);
    v128.store(y + at, value, 32);
    v128.store(y + at, value, 48);
  }
  for (; at < whole; at += 16) v128.store(y + at, value);
  if (end > n >> 2) storePart(y + at, value, n & 3);
}

/** y[i . yStrides] = x[i . xStrides] for every index i of the shape. Elements of four bytes, whatever they mean.
 *  args: x, y (where index 0 is), shape[4], xStrides[4], yStrides[4] (elements), piece.
 *  Items: pieces of up to `piece` elements of the innermost dim, piece after piece, then index after index of the other dims. */
export function copy(args: usize, begin: i32, end: i32, scratch: usize): void {
  const x = address(args, 0);
  const y = address(args, 1);
  const shape1 = integer(args, 3);
  const shape2 = integer(args, 4);
  const inner = integer(args, 5);
  const xStep = address(args, 9) << 2;
  const yStep = address(args, 13) << 2;
  const piece = integer(args, 14);
  const pieces = (inner + piece - 1) / piece;
  for (let item = begin; item < end; item++) {
    let index = item / pieces;
    const start = (item - index * pieces) * piece;
    let count = min(piece, inner - start);
    const k = index % shape2;
    index /= shape2;
    const j = index % shape1;
    const i = index / shape1;
    let from = x + (<usize>start * xStep) + ((i * integer(args, 6) + j * integer(args, 7) + k * integer(args, 8)) << 2);
    let to = y + (<usize>start * yStep) + ((i * integer(args, 10) + j * integer(args, 11) + k * integer(args, 12)) << 2);
    if (xStep == 4 && yStep == 4) {
      for (; count >= 16; count -= 16) {
        const x0 = v128.load(from);
        const x1 = v128.load(from, 16);
        const x2 = v128.load(from, 32);
        const x3 = v128.load(from, 48);
        v128.store(to, x0);
        v128.store(to, x1, 16);
        v128.store(to, x2, 32);
        v128.store(to, x3, 48);
        from += 64;
        to += 64;
      }
      for (; count >= 4; count -= 4) {
        v128.store(to, v128.load(from));
        from += 16;
        to += 16;
      }
    }
    for (; count > 0; count--) {
      store<i32>(to, load<i32>(from));
      from += xStep;
      to += yStep;
    }
  }
}

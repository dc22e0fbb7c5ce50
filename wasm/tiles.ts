// Products of tiles of at most 64 rows, and the copies of rows in scratch that they read. Strides are in bytes.
// An element is always the same sum: one product and one addition a step, in order, whichever kernel its row falls to.

import { loadPart, storePart } from "./lanes";

/** Rows of a tile, queries or keys, and with them the stride of transposed tiles and of tiles of scores. */
export const tileRows: i32 = 64;
export const tileStride: usize = 256;
/** Columns of a head that are in scratch at a time: the gradient's five tiles of them take 160 KiB. */
export const slabCols: i32 = 128;

@inline
function loadFirst(at: usize, count: i32): v128 {
  if (count >= 4) return v128.load(at);
  return count > 0 ? loadPart(at, count) : f32x4.splat(0);
}

@inline
function storeFirst(at: usize, x: v128, count: i32): void {
  if (count >= 4) v128.store(at, x);
  else if (count > 0) storePart(at, x, count);
}

/** Products of four rows: 4 x 8 sums in registers. b's columns are padded to a multiple of 8; c's are not touched beyond cols. */
function fourRows(
  c: usize,
  cRow: usize,
  a: usize,
  aRow: usize,
  aStep: usize,
  b: usize,
  bStep: usize,
  cols: i32,
  steps: i32,
  accumulate: bool,
): void {
  const zero = f32x4.splat(0);
  for (let left = cols; left > 0; left -= 8) {
    const c1 = c + cRow;
    const c2 = c1 + cRow;
    const c3 = c2 + cRow;
    let s00 = zero;
    let s01 = zero;
    let s10 = zero;
    let s11 = zero;
    let s20 = zero;
    let s21 = zero;
    let s30 = zero;
    let s31 = zero;
    if (accumulate) {
      if (left >= 8) {
        s00 = v128.load(c);
        s01 = v128.load(c, 16);
        s10 = v128.load(c1);
        s11 = v128.load(c1, 16);
        s20 = v128.load(c2);
        s21 = v128.load(c2, 16);
        s30 = v128.load(c3);
        s31 = v128.load(c3, 16);
      } else {
        s00 = loadFirst(c, left);
        s01 = loadFirst(c + 16, left - 4);
        s10 = loadFirst(c1, left);
        s11 = loadFirst(c1 + 16, left - 4);
        s20 = loadFirst(c2, left);
        s21 = loadFirst(c2 + 16, left - 4);
        s30 = loadFirst(c3, left);
        s31 = loadFirst(c3 + 16, left - 4);
      }
    }
    let a0 = a;
    let a1 = a0 + aRow;
    let a2 = a1 + aRow;
    let a3 = a2 + aRow;
    let from = b;
    for (let step = steps; step > 0; step--) {
      const b0 = v128.load(from);
      const b1 = v128.load(from, 16);
      let x = v128.load32_splat(a0);
      s00 = f32x4.add(s00, f32x4.mul(x, b0));
      s01 = f32x4.add(s01, f32x4.mul(x, b1));
      x = v128.load32_splat(a1);
      s10 = f32x4.add(s10, f32x4.mul(x, b0));
      s11 = f32x4.add(s11, f32x4.mul(x, b1));
      x = v128.load32_splat(a2);
      s20 = f32x4.add(s20, f32x4.mul(x, b0));
      s21 = f32x4.add(s21, f32x4.mul(x, b1));
      x = v128.load32_splat(a3);
      s30 = f32x4.add(s30, f32x4.mul(x, b0));
      s31 = f32x4.add(s31, f32x4.mul(x, b1));
      a0 += aStep;
      a1 += aStep;
      a2 += aStep;
      a3 += aStep;
      from += bStep;
    }
    if (left >= 8) {
      v128.store(c, s00);
      v128.store(c, s01, 16);
      v128.store(c1, s10);
      v128.store(c1, s11, 16);
      v128.store(c2, s20);
      v128.store(c2, s21, 16);
      v128.store(c3, s30);
      v128.store(c3, s31, 16);
    } else {
      storeFirst(c, s00, left);
      storeFirst(c + 16, s01, left - 4);
      storeFirst(c1, s10, left);
      storeFirst(c1 + 16, s11, left - 4);
      storeFirst(c2, s20, left);
      storeFirst(c2 + 16, s21, left - 4);
      storeFirst(c3, s30, left);
      storeFirst(c3 + 16, s31, left - 4);
    }
    c += 32;
    b += 32;
  }
}

/** Products of one row: 16 sums at a time. Reads no column of b beyond cols. */
export function oneRow(
  c: usize,
  a: usize,
  aStep: usize,
  b: usize,
  bStep: usize,
  cols: i32,
  steps: i32,
  accumulate: bool,
): void {
  const zero = f32x4.splat(0);
  let left = cols;
  for (; left >= 16; left -= 16) {
    let s0 = zero;
    let s1 = zero;
    let s2 = zero;
    let s3 = zero;
    if (accumulate) {
      s0 = v128.load(c);
      s1 = v128.load(c, 16);
      s2 = v128.load(c, 32);
      s3 = v128.load(c, 48);
    }
    let from = b;
    let factor = a;
    for (let step = steps; step > 0; step--) {
      const x = v128.load32_splat(factor);
      s0 = f32x4.add(s0, f32x4.mul(x, v128.load(from)));
      s1 = f32x4.add(s1, f32x4.mul(x, v128.load(from, 16)));
      s2 = f32x4.add(s2, f32x4.mul(x, v128.load(from, 32)));
      s3 = f32x4.add(s3, f32x4.mul(x, v128.load(from, 48)));
      factor += aStep;
      from += bStep;
    }
    v128.store(c, s0);
    v128.store(c, s1, 16);
    v128.store(c, s2, 32);
    v128.store(c, s3, 48);
    c += 64;
    b += 64;
  }
  for (; left > 0; left -= 4) {
    let s = accumulate ? loadFirst(c, left) : zero;
    let from = b;
    let factor = a;
    for (let step = steps; step > 0; step--) {
      s = f32x4.add(s, f32x4.mul(v128.load32_splat(factor), loadFirst(from, left)));
      factor += aStep;
      from += bStep;
    }
    storeFirst(c, s, left);
    c += 16;
    b += 16;
  }
}

/** c[rows, cols] (+)= a[rows, steps] b[steps, cols], for at most 4 rows. */
@inline
export function someRows(
  rows: i32,
  c: usize,
  cRow: usize,
  a: usize,
  aRow: usize,
  aStep: usize,
  b: usize,
  bStep: usize,
  cols: i32,
  steps: i32,
  accumulate: bool,
): void {
  if (rows >= 4) {
    fourRows(c, cRow, a, aRow, aStep, b, bStep, cols, steps, accumulate);
    return;
  }
  for (let row = 0; row < rows; row++) {
    oneRow(c, a, aStep, b, bStep, cols, steps, accumulate);
    c += cRow;
    a += aRow;
  }
}

/** to[rows, cols padded with 0 to a multiple of 8], rows lying together; returns their stride. */
export function pack(to: usize, from: usize, fromRow: usize, rows: i32, cols: i32): usize {
  const padded = (cols + 7) & ~7;
  for (let row = 0; row < rows; row++) {
    for (let col = 0; col < padded; col += 4) {
      v128.store(to, loadFirst(from + (<usize>col << 2), cols - col));
      to += 16;
    }
    from += fromRow;
  }
  return <usize>padded << 2;
}

/** to[cols, 64]: the transpose of rows, up to a multiple of 8 of them; what is beyond the last repeats it. */
export function packTransposed(to: usize, from: usize, fromRow: usize, rows: i32, cols: i32): void {
  const last = from + <usize>(rows - 1) * fromRow;
  for (let row = 0; row < rows; row += 8) {
    for (let half = 0; half < 8; half += 4) {
      const first = <usize>(row + half) * fromRow + from;
      let r0 = min(first, last);
      let r1 = min(first + fromRow, last);
      let r2 = min(first + 2 * fromRow, last);
      let r3 = min(first + 3 * fromRow, last);
      let at = to + (<usize>(row + half) << 2);
      for (let left = cols; left > 0; left -= 4) {
        const x0 = loadFirst(r0, left);
        const x1 = loadFirst(r1, left);
        const x2 = loadFirst(r2, left);
        const x3 = loadFirst(r3, left);
        const low01 = v128.shuffle<i32>(x0, x1, 0, 4, 1, 5);
        const high01 = v128.shuffle<i32>(x0, x1, 2, 6, 3, 7);
        const low23 = v128.shuffle<i32>(x2, x3, 0, 4, 1, 5);
        const high23 = v128.shuffle<i32>(x2, x3, 2, 6, 3, 7);
        v128.store(at, v128.shuffle<i64>(low01, low23, 0, 2));
        if (left > 1) v128.store(at + tileStride, v128.shuffle<i64>(low01, low23, 1, 3));
        if (left > 2) v128.store(at + 2 * tileStride, v128.shuffle<i64>(high01, high23, 0, 2));
        if (left > 3) v128.store(at + 3 * tileStride, v128.shuffle<i64>(high01, high23, 1, 3));
        at += 4 * tileStride;
        r0 += 16;
        r1 += 16;
        r2 += 16;
        r3 += 16;
      }
    }
  }
}

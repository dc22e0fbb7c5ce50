// Products y (+)= op(a) b + bias of few rows, for which packing b would cost more than it saves. Where its columns lie together, it is read
// once, and sums are the tiles' of products.ts, in their order: a row's bits do not depend on how many rows there are.

import { address, integer } from "./args";
import { loadPart } from "./lanes";
import { blockSteps, loadUpTo, put } from "./product-edges";

/** Columns of an item where b's columns lie together: 512 bytes of a row of b at a time, which the cache's prefetching follows. */
const groupCols: i32 = 128;
const sumsRow: usize = 512;

/** sums[cols] of one row += four steps: x aStep and b bStep bytes apart. cols: a multiple of 4, above 0. */
function addFour(sums: usize, cols: i32, x: usize, aStep: usize, b: usize, bStep: usize): void {
  const x0 = v128.load32_splat(x);
  const x1 = v128.load32_splat(x + aStep);
  const x2 = v128.load32_splat(x + 2 * aStep);
  const x3 = v128.load32_splat(x + 3 * aStep);
  let b1 = b + bStep;
  let b2 = b1 + bStep;
  let b3 = b2 + bStep;
  const end = sums + (<usize>cols << 2);
  let s = f32x4.splat(0);
  if (cols & 4) {
    s = f32x4.add(v128.load(sums), f32x4.mul(x0, v128.load(b)));
    s = f32x4.add(s, f32x4.mul(x1, v128.load(b1)));
    s = f32x4.add(s, f32x4.mul(x2, v128.load(b2)));
    v128.store(sums, f32x4.add(s, f32x4.mul(x3, v128.load(b3))));
    b += 16;
    b1 += 16;
    b2 += 16;
    b3 += 16;
    sums += 16;
  }
  // Two vectors a turn share what moving five addresses costs: a quarter faster.
  while (sums != end) {
    s = f32x4.add(v128.load(sums), f32x4.mul(x0, v128.load(b)));
    s = f32x4.add(s, f32x4.mul(x1, v128.load(b1)));
    s = f32x4.add(s, f32x4.mul(x2, v128.load(b2)));
    v128.store(sums, f32x4.add(s, f32x4.mul(x3, v128.load(b3))));
    s = f32x4.add(v128.load(sums, 16), f32x4.mul(x0, v128.load(b, 16)));
    s = f32x4.add(s, f32x4.mul(x1, v128.load(b1, 16)));
    s = f32x4.add(s, f32x4.mul(x2, v128.load(b2, 16)));
    v128.store(sums, f32x4.add(s, f32x4.mul(x3, v128.load(b3, 16))), 16);
    b += 32;
    b1 += 32;
    b2 += 32;
    b3 += 32;
    sums += 32;
  }
}

/** The same for two rows, aRow bytes apart. */
function addFourToTwo(sums: usize, cols: i32, x: usize, aRow: usize, aStep: usize, b: usize, bStep: usize): void {
  const x0 = v128.load32_splat(x);
  const x1 = v128.load32_splat(x + aStep);
  const x2 = v128.load32_splat(x + 2 * aStep);
  const x3 = v128.load32_splat(x + 3 * aStep);
  x += aRow;
  const y0 = v128.load32_splat(x);
  const y1 = v128.load32_splat(x + aStep);
  const y2 = v128.load32_splat(x + 2 * aStep);
  const y3 = v128.load32_splat(x + 3 * aStep);
  let b1 = b + bStep;
  let b2 = b1 + bStep;
  let b3 = b2 + bStep;
  const end = sums + (<usize>cols << 2);
  do {
    const c0 = v128.load(b);
    const c1 = v128.load(b1);
    const c2 = v128.load(b2);
    const c3 = v128.load(b3);
    let s = f32x4.add(v128.load(sums), f32x4.mul(x0, c0));
    let t = f32x4.add(v128.load(sums, sumsRow), f32x4.mul(y0, c0));
    s = f32x4.add(s, f32x4.mul(x1, c1));
    t = f32x4.add(t, f32x4.mul(y1, c1));
    s = f32x4.add(s, f32x4.mul(x2, c2));
    t = f32x4.add(t, f32x4.mul(y2, c2));
    v128.store(sums, f32x4.add(s, f32x4.mul(x3, c3)));
    v128.store(sums, f32x4.add(t, f32x4.mul(y3, c3)), sumsRow);
    b += 16;
    b1 += 16;
    b2 += 16;
    b3 += 16;
    sums += 16;
  } while (sums != end);
}

/** sums[cols] of one row += one step. */
function addOne(sums: usize, cols: i32, x: usize, b: usize): void {
  const factor = v128.load32_splat(x);
  const end = sums + (<usize>cols << 2);
  do {
    v128.store(sums, f32x4.add(v128.load(sums), f32x4.mul(factor, v128.load(b))));
    b += 16;
    sums += 16;
  } while (sums != end);
}

/** sums[m, cols] = steps of a times steps of b, in order. cols: a multiple of 4, above 0. */
function addSteps(
  scratch: usize,
  cols: i32,
  m: i32,
  steps: i32,
  x: usize,
  aRow: usize,
  aStep: usize,
  b: usize,
  bStep: usize,
): void {
  memory.fill(scratch, 0, <usize>m * sumsRow);
  let step = 0;
  for (; step + 4 <= steps; step += 4) {
    let row = 0;
    let sums = scratch;
    let xRow = x;
    for (; row + 2 <= m; row += 2) {
      addFourToTwo(sums, cols, xRow, aRow, aStep, b, bStep);
      sums += 2 * sumsRow;
      xRow += 2 * aRow;
    }
    if (row < m) addFour(sums, cols, xRow, aStep, b, bStep);
    x += 4 * aStep;
    b += 4 * bStep;
  }
  for (; step < steps; step++) {
    for (let row = 0; row < m; row++) addOne(scratch + <usize>row * sumsRow, cols, x + <usize>row * aRow, b);
    x += aStep;
    b += bStep;
  }
}

/** The sums of one row's last 1 to 3 columns. */
function lastColumns(cols: i32, steps: i32, x: usize, aStep: usize, b: usize, bStep: usize): v128 {
  let sums = f32x4.splat(0);
  for (let step = 0; step < steps; step++) {
    sums = f32x4.add(sums, f32x4.mul(v128.load32_splat(x), loadPart(b, cols)));
    x += aStep;
    b += bStep;
  }
  return sums;
}

/** Columns of b lie together, its steps bStep bytes apart. args: a, b, y, bias (0: none), m, n, k, aRow, aStep, accumulate, bStep; m <= 512 (scratch).
 *  Items: groups of 128 columns, sample after sample. */
export function rowsProduct(args: usize, begin: i32, end: i32, scratch: usize): void {
  const y = address(args, 2);
  const biases = address(args, 3);
  const m = integer(args, 4);
  const n = integer(args, 5);
  const k = integer(args, 6);
  const aRow = address(args, 7);
  const aStep = address(args, 8);
  const accumulate = integer(args, 9) != 0;
  const bStep = address(args, 10);
  const groups = (n + groupCols - 1) / groupCols;
  for (let item = begin; item < end; item++) {
    const first = (item % groups) * groupCols;
    const z = item / groups;
    const cols = min(groupCols, n - first);
    const whole = cols & ~3;
    const a = address(args, 0) + <usize>z * <usize>m * <usize>k * 4;
    const b = address(args, 1) + <usize>z * <usize>k * <usize>n * 4 + (<usize>first << 2);
    for (let start = 0; start < k; start += blockSteps) {
      const stop = min(start + blockSteps, k);
      const x = a + <usize>start * aStep;
      const from = b + <usize>start * bStep;
      if (whole > 0) addSteps(scratch, whole, m, stop - start, x, aRow, aStep, from, bStep);
      for (let row = 0; row < m; row++) {
        const sums = scratch + <usize>row * sumsRow;
        const rest = cols - whole;
        const at = <usize>whole << 2;
        if (rest > 0) v128.store(sums + at, lastColumns(rest, stop - start, x + <usize>row * aRow, aStep, from + at, bStep));
        const to = y + ((<usize>(z * m + row) * <usize>n + <usize>first) << 2);
        const bias = biases && start == 0 ? biases + (<usize>first << 2) : 0;
        for (let col = 0; col < cols; col += 8) {
          const at = <usize>col << 2;
          const low = v128.load(sums + at);
          const high = v128.load(sums + at, 16);
          put(to + at, low, high, cols - col, bias ? bias + at : 0, accumulate || start > 0);
        }
      }
    }
  }
}

/** A transposed b[z, n, k]: each element is a dot product of two rows. args as rowsProduct's.
 *  Items: columns, row after row, sample after sample. */
export function dotProduct(args: usize, begin: i32, end: i32, scratch: usize): void {
  const a = address(args, 0);
  const b = address(args, 1);
  const y = address(args, 2);
  const biases = address(args, 3);
  const m = integer(args, 4);
  const n = integer(args, 5);
  const k = integer(args, 6);
  const accumulate = integer(args, 9) != 0;
  for (let item = begin; item < end; item++) {
    const col = item % n;
    const row = item / n;
    const z = row / m;
    let x = a + <usize>row * <usize>k * 4;
    let from = b + <usize>(z * n + col) * <usize>k * 4;
    let s0 = f32x4.splat(0);
    let s1 = f32x4.splat(0);
    let s2 = f32x4.splat(0);
    let s3 = f32x4.splat(0);
    let left = k;
    for (; left >= 16; left -= 16) {
      s0 = f32x4.add(s0, f32x4.mul(v128.load(x), v128.load(from)));
      s1 = f32x4.add(s1, f32x4.mul(v128.load(x, 16), v128.load(from, 16)));
      s2 = f32x4.add(s2, f32x4.mul(v128.load(x, 32), v128.load(from, 32)));
      s3 = f32x4.add(s3, f32x4.mul(v128.load(x, 48), v128.load(from, 48)));
      x += 64;
      from += 64;
    }
    for (; left > 0; left -= 4) {
      s0 = f32x4.add(s0, f32x4.mul(loadUpTo(x, left), loadUpTo(from, left)));
      x += 16;
      from += 16;
    }
    s0 = f32x4.add(f32x4.add(s0, s1), f32x4.add(s2, s3));
    s0 = f32x4.add(s0, v128.shuffle<f32>(s0, s0, 2, 3, 0, 1));
    let sum = f32x4.extract_lane(s0, 0) + f32x4.extract_lane(s0, 1);
    if (biases) sum += load<f32>(biases + (<usize>col << 2));
    const to = y + (<usize>item << 2);
    store<f32>(to, accumulate ? load<f32>(to) + sum : sum);
  }
}

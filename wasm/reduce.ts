// Sums over all elements and over columns. The order of addition is a function of the shape alone: spans of elements or of
// rows are added in f32, a few in each lane, and their sums in f64.

import { address, integer } from "./args";
import { loadPart, storePart, sumLanes } from "./lanes";

/** Elements of a span: an f32 lane adds up 256 of them, exactly as long as they are small integers. */
const span: i32 = 4096;

@inline
function term(x: v128, square: bool): v128 {
  return square ? f32x4.mul(x, x) : x;
}

@inline
function spanSumOf(x: usize, count: i32, square: bool): f64 {
  const zero = f32x4.splat(0);
  let s0 = zero;
  let s1 = zero;
  let s2 = zero;
  let s3 = zero;
  for (; count >= 16; count -= 16) {
    s0 = f32x4.add(s0, term(v128.load(x), square));
    s1 = f32x4.add(s1, term(v128.load(x, 16), square));
    s2 = f32x4.add(s2, term(v128.load(x, 32), square));
    s3 = f32x4.add(s3, term(v128.load(x, 48), square));
    x += 64;
  }
  for (; count >= 4; count -= 4) {
    s0 = f32x4.add(s0, term(v128.load(x), square));
    x += 16;
  }
  if (count > 0) s1 = f32x4.add(s1, term(loadPart(x, count), square));
  return sumLanes(s0) + sumLanes(s1) + (sumLanes(s2) + sumLanes(s3));
}

/** partials[f64 of each span] = its sum, or its sum of squares; items are spans. args: x, partials, n, square */
export function sumSpans(args: usize, begin: i32, end: i32, scratch: usize): void {
  const x = address(args, 0);
  const partials = address(args, 1);
  const n = integer(args, 2);
  const square = integer(args, 3);
  for (let item = begin; item < end; item++) {
    const from = x + (<usize>item * (span << 2));
    const count = min(span, n - item * span);
    store<f64>(partials + (<usize>item << 3), square ? spanSumOf(from, count, true) : spanSumOf(from, count, false));
  }
}

/** y[0] (+)= scale * the sum of the partials; one item. args: partials, spans, y, scale, accumulate */
export function sumPartials(args: usize, begin: i32, end: i32, scratch: usize): void {
  const partials = address(args, 0);
  const spans = integer(args, 1);
  const y = address(args, 2);
  let total: f64 = 0;
  for (let i = 0; i < spans; i++) total += load<f64>(partials + (<usize>i << 3));
  total *= load<f64>(args, 24);
  store<f32>(y, <f32>(integer(args, 4) ? <f64>load<f32>(y) + total : total));
}

/** Sums of columns, over a span of rows: to[columns] = the sum of x's rows, `stride` bytes apart. */
@inline
function addRows(x: usize, to: usize, rows: i32, stride: usize, columns: i32): void {
  const whole = <usize>(columns & ~3) << 2;
  const rest = columns & 3;
  memory.fill(to, 0, <usize>columns << 2);
  for (let row = 0; row < rows; row++) {
    for (let at: usize = 0; at < whole; at += 16)
      v128.store(to + at, f32x4.add(v128.load(to + at), v128.load(x + at)));
    if (rest) storePart(to + whole, f32x4.add(loadPart(to + whole, rest), loadPart(x + whole, rest)), rest);
    x += stride;
  }
}

/** partials[spans, cols] = column sums of spans of spanRows rows of x[rows, cols]. Items: blocks of blockCols columns, block
 *  after block, then span after span. args: x, partials, rows, cols, spanRows, blockCols */
export function columnSpans(args: usize, begin: i32, end: i32, scratch: usize): void {
  const rows = integer(args, 2);
  const cols = integer(args, 3);
  const spanRows = integer(args, 4);
  const blockCols = integer(args, 5);
  const blocks = (cols + blockCols - 1) / blockCols;
  const stride = <usize>cols << 2;
  for (let item = begin; item < end; item++) {
    const s = item / blocks;
    const col = (item - s * blocks) * blockCols;
    const row = s * spanRows;
    const from = address(args, 0) + <usize>row * stride + (<usize>col << 2);
    const to = address(args, 1) + <usize>s * stride + (<usize>col << 2);
    addRows(from, to, min(spanRows, rows - row), stride, min(blockCols, cols - col));
  }
}

/** partials[spans, cols] as columnSpans has them, of dy xhat with xhat = (x - mean) rstd.
 *  args: dy, partials, rows, cols, spanRows, blockCols, x, stats, width, eps */
export function normGainSpans(args: usize, begin: i32, end: i32, scratch: usize): void {
  const rows = integer(args, 2);
  const cols = integer(args, 3);
  const spanRows = integer(args, 4);
  const blockCols = integer(args, 5);
  const stats = address(args, 7);
  const width = load<f64>(args, 64);
  const eps = load<f64>(args, 72);
  const blocks = (cols + blockCols - 1) / blockCols;
  const stride = <usize>cols << 2;
  for (let item = begin; item < end; item++) {
    const s = item / blocks;
    const col = (item - s * blocks) * blockCols;
    const columns = min(blockCols, cols - col);
    const whole = <usize>(columns & ~3) << 2;
    const rest = columns & 3;
    const to = address(args, 1) + <usize>s * stride + (<usize>col << 2);
    const firstRow = s * spanRows;
    const lastRow = min(firstRow + spanRows, rows);
    memory.fill(to, 0, <usize>columns << 2);
    for (let row = firstRow; row < lastRow; row++) {
      const dy = address(args, 0) + <usize>row * stride + (<usize>col << 2);
      const x = address(args, 6) + <usize>row * stride + (<usize>col << 2);
      const mean = v128.load32_splat(stats + (<usize>row << 3));
      const rstd = f32x4.splat(<f32>(1 / sqrt<f64>(<f64>load<f32>(stats + (<usize>row << 3), 4) / width + eps)));
      for (let at: usize = 0; at < whole; at += 16) {
        const hat = f32x4.mul(f32x4.sub(v128.load(x + at), mean), rstd);
        v128.store(to + at, f32x4.add(v128.load(to + at), f32x4.mul(v128.load(dy + at), hat)));
      }
      if (rest) {
        const hat = f32x4.mul(f32x4.sub(loadPart(x + whole, rest), mean), rstd);
        storePart(to + whole, f32x4.add(loadPart(to + whole, rest), f32x4.mul(loadPart(dy + whole, rest), hat)), rest);
      }
    }
  }
}

/** y[cols] (+)= column sums of partials[spans, cols], in f64; items are vectors of four columns.
 *  args: partials, spans, cols, y, accumulate */
export function columnPartials(args: usize, begin: i32, end: i32, scratch: usize): void {
  const spans = integer(args, 1);
  const cols = integer(args, 2);
  const y = address(args, 3);
  const accumulate = integer(args, 4);
  const stride = <usize>cols << 2;
  for (let item = begin; item < end; item++) {
    const at = <usize>item << 4;
    const count = cols - (item << 2);
    const whole = count >= 4;
    const before = accumulate ? (whole ? v128.load(y + at) : loadPart(y + at, count)) : f32x4.splat(0);
    let low = f64x2.promote_low_f32x4(before);
    let high = f64x2.promote_low_f32x4(v128.shuffle<i64>(before, before, 1, 1));
    let from = address(args, 0) + at;
    for (let s = 0; s < spans; s++) {
      const part = whole ? v128.load(from) : loadPart(from, count);
      low = f64x2.add(low, f64x2.promote_low_f32x4(part));
      high = f64x2.add(high, f64x2.promote_low_f32x4(v128.shuffle<i64>(part, part, 1, 1)));
      from += stride;
    }
    const total = v128.shuffle<i64>(f32x4.demote_f64x2_zero(low), f32x4.demote_f64x2_zero(high), 0, 2);
    if (whole) v128.store(y + at, total);
    else storePart(y + at, total, count);
  }
}

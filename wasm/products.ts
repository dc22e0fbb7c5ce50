// Matrix products y (+)= op(a) op(b) + bias: b is packed into panels of 8 columns, a into strips of 4 rows, then tiles of 4 by 8 are summed in
// registers, one product and one addition a step, in order. V8 has no fused multiply-add and 16 vector registers: 8 sums and what they
// are made of.

import { address, integer } from "./args";
import { loadPart } from "./lanes";
import { blockSteps, loadUpTo, panelCols, put } from "./product-edges";

/** Rows that go through a panel while it is in the first-level cache. */
const blockRows: i32 = 32;
/** Panels of an item. */
const groupPanels: i32 = 16;

/** Four vectors as the columns of four rows, rowBytes apart. */
@inline
function storeTurned(at: usize, rowBytes: usize, c0: v128, c1: v128, c2: v128, c3: v128): void {
  const low01 = v128.shuffle<f32>(c0, c1, 0, 4, 1, 5);
  const low23 = v128.shuffle<f32>(c2, c3, 0, 4, 1, 5);
  const high01 = v128.shuffle<f32>(c0, c1, 2, 6, 3, 7);
  const high23 = v128.shuffle<f32>(c2, c3, 2, 6, 3, 7);
  v128.store(at, v128.shuffle<f32>(low01, low23, 0, 1, 4, 5));
  v128.store(at + rowBytes, v128.shuffle<f32>(low01, low23, 2, 3, 6, 7));
  v128.store(at + 2 * rowBytes, v128.shuffle<f32>(high01, high23, 0, 1, 4, 5));
  v128.store(at + 3 * rowBytes, v128.shuffle<f32>(high01, high23, 2, 3, 6, 7));
}

/** packed[z, panel, k, 8] of b, zeros beyond its columns. args: b, packed, n, k, bStep, bCol (bytes from one step and from one column to
 *  the next; one of them 4). Items: panels, sample after sample. */
export function packPanels(args: usize, begin: i32, end: i32, scratch: usize): void {
  const b = address(args, 0);
  const packed = address(args, 1);
  const n = integer(args, 2);
  const k = integer(args, 3);
  const bStep = address(args, 4);
  const bCol = address(args, 5);
  const panels = (n + panelCols - 1) / panelCols;
  for (let item = begin; item < end; item++) {
    const first = (item % panels) * panelCols;
    const cols = min(panelCols, n - first);
    let to = packed + (<usize>item * <usize>k << 5);
    let from = b + <usize>(item / panels) * <usize>n * <usize>k * 4 + <usize>first * bCol;
    let step = 0;
    if (bCol == 4) {
      if (cols == panelCols)
        for (; step < k; step++) {
          v128.store(to, v128.load(from));
          v128.store(to, v128.load(from, 16), 16);
          from += bStep;
          to += 32;
        }
      else
        for (; step < k; step++) {
          v128.store(to, loadUpTo(from, cols));
          v128.store(to, loadUpTo(from + 16, cols - 4), 16);
          from += bStep;
          to += 32;
        }
      continue;
    }
    // Columns lie apart, steps together: four steps of four columns at a time are turned in registers.
    for (; step + 4 <= k; step += 4) {
      let column = from;
      for (let half: usize = 0; half < 32; half += 16) {
        const left = cols - <i32>(half >> 2);
        const zero = f32x4.splat(0);
        const c0 = left > 0 ? v128.load(column) : zero;
        const c1 = left > 1 ? v128.load(column + bCol) : zero;
        const c2 = left > 2 ? v128.load(column + 2 * bCol) : zero;
        const c3 = left > 3 ? v128.load(column + 3 * bCol) : zero;
        storeTurned(to + half, 32, c0, c1, c2, c3);
        column += 4 * bCol;
      }
      from += 16;
      to += 128;
    }
    for (; step < k; step++) {
      for (let col = 0; col < panelCols; col++)
        store<f32>(to + (<usize>col << 2), col < cols ? load<f32>(from + <usize>col * bCol) : 0);
      from += 4;
      to += 32;
    }
  }
}

/** Up to 4 rows by 8 columns of y, from a strip [steps, 4] and a panel [steps, 8], steps > 0. What limits it is instructions a step: a loop that
 *  ends by address instead of a count, tested at its end, is a fifth faster. Unrolled, V8 puts all loads first and spills: a third slower. */
function tile(
  strip: usize,
  panel: usize,
  steps: i32,
  y: usize,
  yRow: usize,
  rows: i32,
  cols: i32,
  bias: usize,
  accumulate: bool,
): void {
  let s00 = f32x4.splat(0);
  let s01 = f32x4.splat(0);
  let s10 = f32x4.splat(0);
  let s11 = f32x4.splat(0);
  let s20 = f32x4.splat(0);
  let s21 = f32x4.splat(0);
  let s30 = f32x4.splat(0);
  let s31 = f32x4.splat(0);
  const end = panel + (<usize>steps << 5);
  do {
    const b0 = v128.load(panel);
    const b1 = v128.load(panel, 16);
    let x = v128.load32_splat(strip);
    s00 = f32x4.add(s00, f32x4.mul(x, b0));
    s01 = f32x4.add(s01, f32x4.mul(x, b1));
    x = v128.load32_splat(strip, 4);
    s10 = f32x4.add(s10, f32x4.mul(x, b0));
    s11 = f32x4.add(s11, f32x4.mul(x, b1));
    x = v128.load32_splat(strip, 8);
    s20 = f32x4.add(s20, f32x4.mul(x, b0));
    s21 = f32x4.add(s21, f32x4.mul(x, b1));
    x = v128.load32_splat(strip, 12);
    s30 = f32x4.add(s30, f32x4.mul(x, b0));
    s31 = f32x4.add(s31, f32x4.mul(x, b1));
    strip += 16;
    panel += 32;
  } while (panel != end);
  put(y, s00, s01, cols, bias, accumulate);
  if (rows > 1) put(y + yRow, s10, s11, cols, bias, accumulate);
  if (rows > 2) put(y + 2 * yRow, s20, s21, cols, bias, accumulate);
  if (rows > 3) put(y + 3 * yRow, s30, s31, cols, bias, accumulate);
}

/** strips [strip, steps, 4] of rows of a, zeros beyond the last: in one piece whatever a's strides, which may be multiples of a page. */
function packStrips(a: usize, aRow: usize, aStep: usize, rows: i32, steps: i32, to: usize): void {
  for (let row = 0; row < rows; row += 4) {
    const left = rows - row;
    let from = a + <usize>row * aRow;
    let step = 0;
    if (aRow == 4) {
      if (left >= 4)
        for (; step < steps; step++) {
          v128.store(to, v128.load(from));
          from += aStep;
          to += 16;
        }
      else
        for (; step < steps; step++) {
          v128.store(to, loadPart(from, left));
          from += aStep;
          to += 16;
        }
      continue;
    }
    const zero = f32x4.splat(0);
    for (; step + 4 <= steps; step += 4) {
      const r0 = v128.load(from);
      const r1 = left > 1 ? v128.load(from + aRow) : zero;
      const r2 = left > 2 ? v128.load(from + 2 * aRow) : zero;
      const r3 = left > 3 ? v128.load(from + 3 * aRow) : zero;
      storeTurned(to, 16, r0, r1, r2, r3);
      from += 16;
      to += 64;
    }
    for (; step < steps; step++) {
      for (let each = 0; each < 4; each++)
        store<f32>(to + (<usize>each << 2), each < left ? load<f32>(from + <usize>each * aRow) : 0);
      from += 4;
      to += 16;
    }
  }
}

/** y[z, m, n] (+)= a packed + bias. args: a, packed, y, bias (0: none), m, n, k, aRow, aStep (bytes from one row and from one step to the
 *  next; one of them 4), accumulate. Items: blocks of 32 rows by 128 columns, column groups fastest, sample after sample. */
export function product(args: usize, begin: i32, end: i32, scratch: usize): void {
  const a = address(args, 0);
  const packed = address(args, 1);
  const y = address(args, 2);
  const biases = address(args, 3);
  const m = integer(args, 4);
  const n = integer(args, 5);
  const k = integer(args, 6);
  const aRow = address(args, 7);
  const aStep = address(args, 8);
  const accumulate = integer(args, 9) != 0;
  const panels = (n + panelCols - 1) / panelCols;
  const groups = (panels + groupPanels - 1) / groupPanels;
  const blocks = (m + blockRows - 1) / blockRows;
  const yRow = <usize>n << 2;
  for (let item = begin; item < end; item++) {
    const group = item % groups;
    const block = (item / groups) % blocks;
    const z = item / groups / blocks;
    const firstRow = block * blockRows;
    const lastRow = min(firstRow + blockRows, m);
    const lastPanel = min((group + 1) * groupPanels, panels);
    const aOf = a + <usize>z * <usize>m * <usize>k * 4;
    const yOf = y + <usize>z * <usize>m * yRow;
    for (let from = 0; from < k; from += blockSteps) {
      const steps = min(blockSteps, k - from);
      const adds = accumulate || from > 0;
      packStrips(aOf + <usize>firstRow * aRow + <usize>from * aStep, aRow, aStep, lastRow - firstRow, steps, scratch);
      for (let panel = group * groupPanels; panel < lastPanel; panel++) {
        const panelAt = packed + ((<usize>(z * panels + panel) * <usize>k + <usize>from) << 5);
        const cols = n - panel * panelCols;
        const bias = biases && from == 0 ? biases + (<usize>panel << 5) : 0;
        let strip = scratch;
        let yAt = yOf + <usize>firstRow * yRow + (<usize>panel << 5);
        for (let row = firstRow; row < lastRow; row += 4) {
          tile(strip, panelAt, steps, yAt, yRow, lastRow - row, cols, bias, adds);
          strip += <usize>steps << 4;
          yAt += 4 * yRow;
        }
      }
    }
  }
}

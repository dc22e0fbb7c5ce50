// Rows of a table by token id, and the sum of their gradients back into it in an order the host chose.

import { address, integer } from "./args";
import { loadPart, storePart } from "./lanes";

/** y[count, cols] (+)= table[ids[t] - rowOffset], zero where that is outside [0, rows); items are tokens.
 *  args: ids, table, y, cols, rows, rowOffset, accumulate */
export function embedding(args: usize, begin: i32, end: i32, scratch: usize): void {
  const cols = integer(args, 3);
  const rows = integer(args, 4);
  const rowOffset = <i64>load<f64>(args, 40);
  const accumulate = integer(args, 6);
  const whole = <usize>(cols & ~3) << 2;
  const rest = cols & 3;
  for (let token = begin; token < end; token++) {
    const row = <i64>load<i32>(address(args, 0) + (<usize>token << 2)) - rowOffset;
    const y = address(args, 2) + ((<usize>token * cols) << 2);
    if (row < 0 || row >= rows) {
      if (!accumulate) memory.fill(y, 0, <usize>cols << 2);
      continue;
    }
    const from = address(args, 1) + ((<usize>row * cols) << 2);
    if (accumulate) {
      for (let at: usize = 0; at < whole; at += 16)
        v128.store(y + at, f32x4.add(v128.load(y + at), v128.load(from + at)));
      if (rest) storePart(y + whole, f32x4.add(loadPart(y + whole, rest), loadPart(from + whole, rest)), rest);
    } else {
      for (let at: usize = 0; at < whole; at += 16) v128.store(y + at, v128.load(from + at));
      if (rest) storePart(y + whole, loadPart(from + whole, rest), rest);
    }
  }
}

/** Uses of a row that are added up before their sum is added to the others': rounding grows with the longest chain. */
const span: i32 = 64;

/** dtable[unique[s] - rowOffset] += sum over p in [starts[s], starts[s+1]) of dy[order[p]]; ids outside the block are skipped.
 *  Items: blocks of 16 columns, block after block, then segment after segment.
 *  args: unique, starts, order, dy, dtable, cols, rows, rowOffset */
export function embeddingGrad(args: usize, begin: i32, end: i32, scratch: usize): void {
  const order = address(args, 2);
  const dy = address(args, 3);
  const cols = integer(args, 5);
  const rows = integer(args, 6);
  const rowOffset = <i64>load<f64>(args, 56);
  const blocks = (cols + 15) >> 4;
  const zero = f32x4.splat(0);
  for (let item = begin; item < end; item++) {
    const segment = item / blocks;
    const col = (item - segment * blocks) << 4;
    const row = <i64>load<i32>(address(args, 0) + (<usize>segment << 2)) - rowOffset;
    if (row < 0 || row >= rows) continue;
    const starts = address(args, 1) + (<usize>segment << 2);
    const stop = load<i32>(starts, 4);
    const columns = dy + (<usize>col << 2);
    const to = address(args, 4) + ((<usize>row * cols + col) << 2);
    if (col + 16 <= cols) {
      let t0 = zero;
      let t1 = zero;
      let t2 = zero;
      let t3 = zero;
      for (let p = load<i32>(starts); p < stop; ) {
        const last = min(p + span, stop);
        let s0 = zero;
        let s1 = zero;
        let s2 = zero;
        let s3 = zero;
        for (; p < last; p++) {
          const from = columns + ((<usize>load<i32>(order + (<usize>p << 2)) * cols) << 2);
          s0 = f32x4.add(s0, v128.load(from));
          s1 = f32x4.add(s1, v128.load(from, 16));
          s2 = f32x4.add(s2, v128.load(from, 32));
          s3 = f32x4.add(s3, v128.load(from, 48));
        }
        t0 = f32x4.add(t0, s0);
        t1 = f32x4.add(t1, s1);
        t2 = f32x4.add(t2, s2);
        t3 = f32x4.add(t3, s3);
      }
      v128.store(to, f32x4.add(v128.load(to), t0));
      v128.store(to, f32x4.add(v128.load(to, 16), t1), 16);
      v128.store(to, f32x4.add(v128.load(to, 32), t2), 32);
      v128.store(to, f32x4.add(v128.load(to, 48), t3), 48);
    } else {
      for (let at = 0; at < cols - col; at += 4) {
        const count = min(4, cols - col - at);
        const edge = columns + (<usize>at << 2);
        const target = to + (<usize>at << 2);
        let t0 = zero;
        for (let p = load<i32>(starts); p < stop; ) {
          const last = min(p + span, stop);
          let s0 = zero;
          for (; p < last; p++) {
            const from = edge + ((<usize>load<i32>(order + (<usize>p << 2)) * cols) << 2);
            s0 = f32x4.add(s0, count == 4 ? v128.load(from) : loadPart(from, count));
          }
          t0 = f32x4.add(t0, s0);
        }
        if (count == 4) v128.store(target, f32x4.add(v128.load(target), t0));
        else storePart(target, f32x4.add(loadPart(target, count), t0), count);
      }
    }
  }
}

// y = softmax(causal(scale q kT)) v and lse, the log of the softmax's sum, without the matrix of scores: a tile of 64 queries
// meets one tile of 64 keys after the other (FlashAttention-2, arXiv 2307.08691). y gathers in place.

import { address, integer } from "./args";
import {
  dropoutFactors,
  dropoutWords,
  fusedStride,
  hasDropout,
  headsOf,
  keepOf,
  keyOffset,
  ownArgs,
  queriesOf,
  queryOffset,
  scaleOf,
  seenLanes,
  thresholdOf,
  widthOf,
} from "./heads";
import { loadPart, storePart, sumLanes } from "./lanes";
import { expx4, log } from "./math";
import { oneRow, pack, packTransposed, slabCols, someRows, tileRows, tileStride } from "./tiles";

// Scratch: a tile of scores, the words of a row's dropout, a row's (maximum, sum) each, then keys (transposed) and values.
const wordsAt: usize = 16384;
const statsAt: usize = wordsAt + 256;
const keysAt: usize = statsAt + 512;
const valuesAt: usize = keysAt + 32768;

/** Scores of a row against a tile's keys, of which it sees `seen`, become weights relative to the greatest so far; 0 up to `end`.
 *  stats: the greatest score and the sum of weights so far. Returns what earlier weights must be multiplied by. */
function softmaxTile(scores: usize, stats: usize, seen: i32, end: i32, scale: v128): f32 {
  const unseen = f32x4.splat(-Infinity);
  let most = f32x4.splat(load<f32>(stats));
  for (let col = 0; col < seen; col += 4) {
    const at = scores + (<usize>col << 2);
    const s = v128.bitselect(f32x4.mul(scale, v128.load(at)), unseen, seenLanes(seen, col));
    v128.store(at, s);
    most = f32x4.pmax(most, s);
  }
  most = f32x4.pmax(most, v128.shuffle<i32>(most, most, 2, 3, 0, 1));
  most = f32x4.pmax(most, v128.shuffle<i32>(most, most, 1, 0, 3, 2));
  let sum = f32x4.splat(0);
  let col = 0;
  for (; col < seen; col += 4) {
    const at = scores + (<usize>col << 2);
    const p = expx4(f32x4.sub(v128.load(at), most));
    v128.store(at, p);
    sum = f32x4.add(sum, p);
  }
  for (; col < end; col += 4) v128.store(scores + (<usize>col << 2), f32x4.splat(0));
  const factor = f32x4.extract_lane(expx4(f32x4.sub(f32x4.splat(load<f32>(stats)), most)), 0);
  store<f32>(stats, f32x4.extract_lane(most, 0));
  store<f32>(stats, load<f32>(stats, 4) * factor + <f32>sumLanes(sum), 4);
  return factor;
}

@inline
function clearStats(stats: usize): void {
  store<f32>(stats, -Infinity);
  store<f32>(stats, 0, 4);
}

/** Multiplies the weights by dropout's factors. */
function dropWeights(args: usize, scores: usize, words: usize, seen: i32): void {
  const threshold = thresholdOf(args);
  const keep = keepOf(args);
  for (let col: usize = 0; col < <usize>seen << 2; col += 16) {
    const factors = dropoutFactors(words + col, threshold, keep);
    v128.store(scores + col, f32x4.mul(v128.load(scores + col), factors));
  }
}

/** y[cols] *= factor. */
function scaleRow(y: usize, cols: i32, factor: f32): void {
  if (factor == 1) return;
  const x = f32x4.splat(factor);
  for (; cols >= 4; cols -= 4) {
    v128.store(y, f32x4.mul(x, v128.load(y)));
    y += 16;
  }
  if (cols > 0) storePart(y, f32x4.mul(x, loadPart(y, cols)), cols);
}

/** Divides y[cols] by its row's sum and writes lse. */
function finishRow(y: usize, lse: usize, cols: i32, stats: usize): void {
  const sum = load<f32>(stats, 4);
  store<f32>(lse, load<f32>(stats) + log(sum));
  const x = f32x4.splat(sum);
  for (; cols >= 4; cols -= 4) {
    v128.store(y, f32x4.div(v128.load(y), x));
    y += 16;
  }
  if (cols > 0) storePart(y, f32x4.div(loadPart(y, cols), x), cols);
}

/** Items: tiles of 64 queries x samples x heads, the last tiles, which see most, first.
 *  args: heads.ts's, then q, kv, y, lse, batch, keys, capacity */
export function attention(args: usize, begin: i32, end: i32, scratch: usize): void {
  const heads = headsOf(args);
  const width = widthOf(args);
  const queries = queriesOf(args);
  const scale = scaleOf(args);
  const dropping = hasDropout(args);
  const batch = integer(args, ownArgs + 4);
  const keys = integer(args, ownArgs + 5);
  const fused = fusedStride(args);
  const yRow = (<usize>heads * width) << 2;
  const tiles = (queries + tileRows - 1) / tileRows;
  for (let item = begin; item < end; item++) {
    const h = item % heads;
    const b = (item / heads) % batch;
    const i0 = (tiles - 1 - item / (heads * batch)) * tileRows;
    const rows = min(tileRows, queries - i0);
    const firstRow = <usize>b * queries + i0;
    const q = address(args, ownArgs) + firstRow * fused + queryOffset(args, h);
    const sample = address(args, ownArgs + 1) + <usize>b * integer(args, ownArgs + 6) * fused;
    const y = address(args, ownArgs + 2) + (firstRow * heads + h) * (<usize>width << 2);
    const lse = address(args, ownArgs + 3) + (((<usize>b * heads + h) * queries + i0) << 2);
    /** keys that the tile's first query sees */
    const seenFirst = i0 + keys - queries + 1;
    for (let row = 0; row < rows; row++) clearStats(scratch + statsAt + (<usize>row << 3));
    for (let j0 = 0; j0 < seenFirst + rows - 1; j0 += tileRows) {
      const count = min(tileRows, seenFirst + rows - 1 - j0);
      const k = sample + <usize>j0 * fused + keyOffset(args, h);
      const v = k + (<usize>width << 2);
      for (let slab = 0; slab < width; slab += slabCols) {
        const cols = min(slabCols, width - slab);
        packTransposed(scratch + keysAt, k + (<usize>slab << 2), fused, count, cols);
        for (let row = 0; row < rows; row += 4) {
          const some = min(4, rows - row);
          const seen = min(count, seenFirst + row + some - 1 - j0);
          if (seen <= 0) continue;
          const from = q + <usize>row * fused + (<usize>slab << 2);
          const to = scratch + <usize>row * tileStride;
          const cols8 = (seen + 7) & ~7;
          someRows(some, to, tileStride, from, fused, 4, scratch + keysAt, tileStride, cols8, cols, slab > 0);
        }
      }
      for (let row = 0; row < rows; row++) {
        const seen = min(count, seenFirst + row - j0);
        const scores = scratch + <usize>row * tileStride;
        if (seen <= 0) {
          // Beside a query that sees some of these keys, and in its product.
          for (let col: usize = 0; col < tileStride; col += 16) v128.store(scores + col, f32x4.splat(0));
          continue;
        }
        const factor = softmaxTile(scores, scratch + statsAt + (<usize>row << 3), seen, count, scale);
        if (dropping) {
          dropoutWords(args, scratch + wordsAt, b, h, i0 + row, j0, seen);
          dropWeights(args, scores, scratch + wordsAt, seen);
        }
        if (j0 > 0) scaleRow(y + <usize>row * yRow, width, factor);
      }
      for (let slab = 0; slab < width; slab += slabCols) {
        const cols = min(slabCols, width - slab);
        const values = scratch + valuesAt;
        const stride = pack(values, v + (<usize>slab << 2), fused, count, cols);
        for (let row = 0; row < rows; row += 4) {
          const some = min(4, rows - row);
          const seen = min(count, seenFirst + row + some - 1 - j0);
          if (seen <= 0) continue;
          const to = y + <usize>row * yRow + (<usize>slab << 2);
          const from = scratch + <usize>row * tileStride;
          someRows(some, to, yRow, from, tileStride, 4, values, stride, cols, seen, j0 > 0);
        }
      }
    }
    for (let row = 0; row < rows; row++) {
      const stats = scratch + statsAt + (<usize>row << 3);
      finishRow(y + <usize>row * yRow, lse + (<usize>row << 2), width, stats);
    }
  }
}

/** scores[count] = q . k of `count` keys, four at a time, the last of them repeated. */
function rowScores(to: usize, q: usize, k: usize, stride: usize, count: i32, width: i32): void {
  const last = k + <usize>(count - 1) * stride;
  for (let j = 0; j < count; j += 4) {
    const first = k + <usize>j * stride;
    let k0 = first;
    let k1 = min(first + stride, last);
    let k2 = min(first + 2 * stride, last);
    let k3 = min(first + 3 * stride, last);
    let s0 = f32x4.splat(0);
    let s1 = s0;
    let s2 = s0;
    let s3 = s0;
    let from = q;
    let left = width;
    for (; left >= 4; left -= 4) {
      const x = v128.load(from);
      s0 = f32x4.add(s0, f32x4.mul(x, v128.load(k0)));
      s1 = f32x4.add(s1, f32x4.mul(x, v128.load(k1)));
      s2 = f32x4.add(s2, f32x4.mul(x, v128.load(k2)));
      s3 = f32x4.add(s3, f32x4.mul(x, v128.load(k3)));
      from += 16;
      k0 += 16;
      k1 += 16;
      k2 += 16;
      k3 += 16;
    }
    if (left > 0) {
      const x = loadPart(from, left);
      s0 = f32x4.add(s0, f32x4.mul(x, loadPart(k0, left)));
      s1 = f32x4.add(s1, f32x4.mul(x, loadPart(k1, left)));
      s2 = f32x4.add(s2, f32x4.mul(x, loadPart(k2, left)));
      s3 = f32x4.add(s3, f32x4.mul(x, loadPart(k3, left)));
    }
    const pairs01 = f32x4.add(v128.shuffle<i32>(s0, s1, 0, 4, 1, 5), v128.shuffle<i32>(s0, s1, 2, 6, 3, 7));
    const pairs23 = f32x4.add(v128.shuffle<i32>(s2, s3, 0, 4, 1, 5), v128.shuffle<i32>(s2, s3, 2, 6, 3, 7));
    const low = v128.shuffle<i64>(pairs01, pairs23, 0, 2);
    v128.store(to, f32x4.add(low, v128.shuffle<i64>(pairs01, pairs23, 1, 3)));
    to += 16;
  }
}

/** The same a query at a time, reading keys and values where they are: for few queries, which copies would not pay for.
 *  Items: queries x heads x samples. */
export function attentionRows(args: usize, begin: i32, end: i32, scratch: usize): void {
  const heads = headsOf(args);
  const width = widthOf(args);
  const queries = queriesOf(args);
  const scale = scaleOf(args);
  const keys = integer(args, ownArgs + 5);
  const fused = fusedStride(args);
  const stats = scratch + statsAt;
  for (let item = begin; item < end; item++) {
    const i = item % queries;
    const h = (item / queries) % heads;
    const b = item / (queries * heads);
    const row = <usize>b * queries + i;
    const q = address(args, ownArgs) + row * fused + queryOffset(args, h);
    const sample = address(args, ownArgs + 1) + <usize>b * integer(args, ownArgs + 6) * fused;
    const y = address(args, ownArgs + 2) + (row * heads + h) * (<usize>width << 2);
    const seen = i + keys - queries + 1;
    clearStats(stats);
    for (let j0 = 0; j0 < seen; j0 += tileRows) {
      const count = min(tileRows, seen - j0);
      const k = sample + <usize>j0 * fused + keyOffset(args, h);
      rowScores(scratch, q, k, fused, count, width);
      const factor = softmaxTile(scratch, stats, count, count, scale);
      if (hasDropout(args)) {
        dropoutWords(args, scratch + wordsAt, b, h, i, j0, count);
        dropWeights(args, scratch, scratch + wordsAt, count);
      }
      if (j0 > 0) scaleRow(y, width, factor);
      oneRow(y, scratch, 4, k + (<usize>width << 2), fused, width, count, j0 > 0);
    }
    finishRow(y, address(args, ownArgs + 3) + (<usize>item << 2), width, stats);
  }
}

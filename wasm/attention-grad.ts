// The gradient of attention, of fused rows: tiles of 64 queries x 64 keys compute their weights again from lse
// (FlashAttention-2, arXiv 2307.08691). dqkv gathers in place.
//
// p = exp(scale q kT - lse)    dp = (dy vT) dropout    ds = scale p (dp - delta)
// dv = (p dropout)T dy         dq = ds k               dk = dsT q

import { address, integer } from "./args";
import {
  dropoutFactors,
  dropoutWords,
  fusedStride,
  groupOf,
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
import { loadPart, sumLanes } from "./lanes";
import { expx4 } from "./math";
import { pack, packTransposed, slabCols, someRows, tileRows, tileStride } from "./tiles";

// Scratch: p and ds of a tile, the words of a row's dropout, then a slab each of keys and values (transposed), keys, queries and dy.
const weightsAt: usize = 0;
const gradsAt: usize = 16384;
const wordsAt: usize = 32768;
const transposedKeysAt: usize = 33024;
const transposedValuesAt: usize = transposedKeysAt + 32768;
const keysAt: usize = transposedValuesAt + 32768;
const queriesAt: usize = keysAt + 32768;
const dyAt: usize = queriesAt + 32768;

/** delta[batch, heads, tokens], the row sums of dy y. Items: heads x tokens x samples. args: y, dy, delta, heads, tokens, width */
export function attentionDelta(args: usize, begin: i32, end: i32, scratch: usize): void {
  const heads = integer(args, 3);
  const tokens = integer(args, 4);
  const width = integer(args, 5);
  for (let item = begin; item < end; item++) {
    let y = address(args, 0) + ((<usize>item * width) << 2);
    let dy = address(args, 1) + ((<usize>item * width) << 2);
    let sum = f32x4.splat(0);
    let left = width;
    for (; left >= 4; left -= 4) {
      sum = f32x4.add(sum, f32x4.mul(v128.load(y), v128.load(dy)));
      y += 16;
      dy += 16;
    }
    if (left > 0) sum = f32x4.add(sum, f32x4.mul(loadPart(y, left), loadPart(dy, left)));
    const h = item % heads;
    const t = (item / heads) % tokens;
    const b = item / (heads * tokens);
    store<f32>(address(args, 2) + ((<usize>(b * heads + h) * tokens + t) << 2), <f32>sumLanes(sum));
  }
}

/** A row of scores and of dy vT, of which the query sees `seen` keys, becomes a row of weights and of ds; 0 up to `end`. */
function gradRow(
  args: usize,
  scores: usize,
  grads: usize,
  lse: f32,
  delta: f32,
  seen: i32,
  end: i32,
  words: usize,
): void {
  const scale = scaleOf(args);
  const dropping = hasDropout(args);
  const threshold = thresholdOf(args);
  const keep = keepOf(args);
  const rowLse = f32x4.splat(lse);
  const rowDelta = f32x4.splat(delta);
  let left = seen;
  for (; left > 0; left -= 4) {
    const lanes = seenLanes(left, 0);
    // Masked before exp: a later key's score may be too great for it.
    let p = expx4(v128.bitselect(f32x4.sub(f32x4.mul(scale, v128.load(scores)), rowLse), f32x4.splat(-Infinity), lanes));
    let dp = v128.load(grads);
    let kept = p;
    if (dropping) {
      const factors = dropoutFactors(words, threshold, keep);
      dp = f32x4.mul(dp, factors);
      kept = f32x4.mul(p, factors);
      words += 16;
    }
    p = f32x4.mul(f32x4.mul(p, f32x4.sub(dp, rowDelta)), scale);
    v128.store(scores, kept);
    v128.store(grads, v128.and(p, lanes));
    scores += 16;
    grads += 16;
  }
  for (left = end - ((max(seen, 0) + 3) & ~3); left > 0; left -= 4) {
    v128.store(scores, f32x4.splat(0));
    v128.store(grads, f32x4.splat(0));
    scores += 16;
    grads += 16;
  }
}

/** What a tile adds to. */
const toQueries: i32 = 1;
const toKeys: i32 = 2;

/** Adds the tile of queries from i0 and keys from j0, of head h of sample b, to dq and (or) to dk and dv.
 *  newKeys, newQueries: the tile before this one had other keys, other queries. firstForKeys: none before it added to dk and dv. */
function addTile(
  args: usize,
  scratch: usize,
  b: i32,
  h: i32,
  i0: i32,
  j0: i32,
  to: i32,
  newKeys: bool,
  newQueries: bool,
  firstForKeys: bool,
): void {
  const heads = headsOf(args);
  const width = widthOf(args);
  const tokens = queriesOf(args);
  const fused = fusedStride(args);
  const dyRow = (<usize>heads * width) << 2;
  const rows = min(tileRows, tokens - i0);
  const count = min(tileRows, tokens - j0);
  const atQ = (<usize>b * tokens + i0) * fused + queryOffset(args, h);
  const atK = (<usize>b * tokens + j0) * fused + keyOffset(args, h);
  const atV = atK + (<usize>width << 2);
  const qkv = address(args, ownArgs);
  const dqkv = address(args, ownArgs + 4);
  const dy = address(args, ownArgs + 1) + ((<usize>b * tokens + i0) * heads + h) * (<usize>width << 2);
  const statistic = ((<usize>b * heads + h) * tokens + i0) << 2;
  const lse = address(args, ownArgs + 2) + statistic;
  const delta = address(args, ownArgs + 3) + statistic;
  const weights = scratch + weightsAt;
  const grads = scratch + gradsAt;
  const slabs = width > slabCols;
  /** keys of the tile that its first query sees */
  const seenFirst = i0 - j0 + 1;

  for (let slab = 0; slab < width; slab += slabCols) {
    const cols = min(slabCols, width - slab);
    const offset = <usize>slab << 2;
    const keys = scratch + transposedKeysAt;
    const values = scratch + transposedValuesAt;
    if (newKeys || slabs) {
      packTransposed(keys, qkv + atK + offset, fused, count, cols);
      packTransposed(values, qkv + atV + offset, fused, count, cols);
    }
    for (let row = 0; row < rows; row += 4) {
      const some = min(4, rows - row);
      const cols8 = (min(count, seenFirst + row + some - 1) + 7) & ~7;
      const at = <usize>row * tileStride;
      const from = qkv + atQ + <usize>row * fused + offset;
      someRows(some, weights + at, tileStride, from, fused, 4, keys, tileStride, cols8, cols, slab > 0);
      const fromDy = dy + <usize>row * dyRow + offset;
      someRows(some, grads + at, tileStride, fromDy, dyRow, 4, values, tileStride, cols8, cols, slab > 0);
    }
  }
  for (let row = 0; row < rows; row++) {
    const seen = min(count, seenFirst + row);
    const words = scratch + wordsAt;
    if (hasDropout(args)) dropoutWords(args, words, b, h, i0 + row, j0, seen);
    const at = <usize>row * tileStride;
    const at4 = <usize>row << 2;
    gradRow(args, weights + at, grads + at, load<f32>(lse + at4), load<f32>(delta + at4), seen, count, words);
  }
  for (let slab = 0; slab < width; slab += slabCols) {
    const cols = min(slabCols, width - slab);
    const offset = <usize>slab << 2;
    const stride = <usize>((cols + 7) & ~7) << 2;
    if (to & toQueries) {
      const keys = scratch + keysAt;
      if (newKeys || slabs) pack(keys, qkv + atK + offset, fused, count, cols);
      for (let row = 0; row < rows; row += 4) {
        const some = min(4, rows - row);
        const seen = min(count, seenFirst + row + some - 1);
        const c = dqkv + atQ + <usize>row * fused + offset;
        someRows(some, c, fused, grads + <usize>row * tileStride, tileStride, 4, keys, stride, cols, seen, j0 > 0);
      }
    }
    if (to & toKeys) {
      const queries = scratch + queriesAt;
      const dys = scratch + dyAt;
      if (newQueries || slabs) {
        pack(queries, qkv + atQ + offset, fused, rows, cols);
        pack(dys, dy + offset, dyRow, rows, cols);
      }
      for (let row = 0; row < count; row += 4) {
        const some = min(4, count - row);
        // The queries before the first key see none of these.
        const first = max(0, row + 1 - seenFirst);
        const at = (<usize>row << 2) + <usize>first * tileStride;
        const atB = <usize>first * stride;
        const c = dqkv + <usize>row * fused + offset;
        const more = !firstForKeys;
        someRows(some, c + atK, fused, grads + at, 4, tileStride, queries + atB, stride, cols, rows - first, more);
        someRows(some, c + atV, fused, weights + at, 4, tileStride, dys + atB, stride, cols, rows - first, more);
      }
    }
  }
}

// Every element of dqkv is the same sum in all three passes: dq over tiles of keys in order, dk and dv over their group's heads, and
// within one over tiles of queries, in order. So which of them run is a choice of speed alone.

/** All of dqkv. Items: groups x samples. args: heads.ts's, then qkv, dy, lse, delta, dqkv */
export function attentionGrad(args: usize, begin: i32, end: i32, scratch: usize): void {
  const group = groupOf(args);
  const kvHeads = headsOf(args) / group;
  const tokens = queriesOf(args);
  for (let item = begin; item < end; item++) {
    const b = item / kvHeads;
    const h0 = (item % kvHeads) * group;
    for (let j0 = 0; j0 < tokens; j0 += tileRows) {
      for (let r = 0; r < group; r++) {
        for (let i0 = j0; i0 < tokens; i0 += tileRows) {
          const first = r == 0 && i0 == j0;
          addTile(args, scratch, b, h0 + r, i0, j0, toQueries | toKeys, first, true, first);
        }
      }
    }
  }
}

/** dq. Items: tiles of 64 queries x samples x heads, the last tiles, which see most, first. args: as attentionGrad */
export function attentionGradQueries(args: usize, begin: i32, end: i32, scratch: usize): void {
  const heads = headsOf(args);
  const tiles = (queriesOf(args) + tileRows - 1) / tileRows;
  const per = integer(args, ownArgs + 5) * heads;
  for (let item = begin; item < end; item++) {
    const i0 = (tiles - 1 - item / per) * tileRows;
    const b = (item % per) / heads;
    for (let j0 = 0; j0 <= i0; j0 += tileRows)
      addTile(args, scratch, b, item % heads, i0, j0, toQueries, true, true, false);
  }
}

/** dk and dv. Items: tiles of 64 keys x samples x groups, the first tiles, which most queries see, first. args: as attentionGrad */
export function attentionGradKeys(args: usize, begin: i32, end: i32, scratch: usize): void {
  const group = groupOf(args);
  const kvHeads = headsOf(args) / group;
  const tokens = queriesOf(args);
  const per = integer(args, ownArgs + 5) * kvHeads;
  for (let item = begin; item < end; item++) {
    const j0 = (item / per) * tileRows;
    const b = (item % per) / kvHeads;
    const h0 = (item % kvHeads) * group;
    for (let r = 0; r < group; r++) {
      for (let i0 = j0; i0 < tokens; i0 += tileRows) {
        const first = r == 0 && i0 == j0;
        addTile(args, scratch, b, h0 + r, i0, j0, toKeys, first, true, first);
      }
    }
  }
}

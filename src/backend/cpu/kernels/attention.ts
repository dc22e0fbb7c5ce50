// Causal attention and its gradient over fused rows, a block of queries at a time (arXiv 2307.08691): a block's scores
// are [queriesPerBlock, keys], so memory grows with the context and not with its square.

// Legend: W head width, C fused columns, G = heads / kvHeads query heads of a group; p probabilities, s scaled scores.
import type { AttentionDropout, HeadShape } from "../../kernels.ts";
import { DropoutMask } from "./dropout-mask.ts";
import { gemm } from "./gemm.ts";
import type { Kernel } from "./kernel.ts";

/** Enough rows that packing keys and values for each block costs a few per cent of the products. */
const queriesPerBlock = 32;

/** Columns of fused rows where head h's query, key and value start. */
function columnsOf({ heads, kvHeads, headWidth }: HeadShape, h: number) {
  const group = heads / kvHeads;
  const start = Math.floor(h / group) * (group + 2) * headWidth;
  return { q: start + (h % group) * headWidth, k: start + group * headWidth, v: start + (group + 1) * headWidth };
}

const fusedColumns = ({ heads, kvHeads, headWidth }: HeadShape): number => (heads + 2 * kvHeads) * headWidth;

/** Row of the whole, for dropout, of query 0 of (b, h). */
function firstRow(
  { batchOffset, headOffset, globalHeads }: AttentionDropout,
  { b, h, tokens }: { b: number; h: number; tokens: number },
): number {
  return ((b + batchOffset) * globalHeads + h + headOffset) * tokens;
}

export const attention: Kernel<"attention"> = (args, views) => {
  const { batch, queries, keys, capacity, heads, headWidth: W, scale } = args;
  const q = views.f32(args.q);
  const kv = views.f32(args.kv);
  const y = views.f32(args.y);
  const lse = views.f32(args.lse);
  const C = fusedColumns(args);
  const mask = args.dropout && new DropoutMask(args.dropout);
  const scores = new Float32Array(queriesPerBlock * keys);
  const factors = new Float32Array(keys);

  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      const columns = columnsOf(args, h);
      const kvStart = b * capacity * C;
      for (let i0 = 0; i0 < queries; i0 += queriesPerBlock) {
        const m = Math.min(queriesPerBlock, queries - i0);
        const visible = i0 + m + keys - queries; // of the block's last query
        // scores[m, visible] = q kT
        gemm({
          ...{ a: q, aOffset: (b * queries + i0) * C + columns.q, aRowStride: C, aColStride: 1 },
          ...{ b: kv, bOffset: kvStart + columns.k, bRowStride: 1, bColStride: C },
          ...{ c: scores, cOffset: 0, cRowStride: visible, m, n: visible, k: W, accumulate: false },
        });
        for (let i = 0; i < m; i++) {
          const row = scores.subarray(i * visible, (i + 1) * visible);
          const seen = visible - m + i + 1;
          lse[(b * heads + h) * queries + i0 + i] = softmaxRow(row, { seen, scale });
          if (mask && args.dropout) {
            const f = factors.subarray(0, seen);
            mask.row({ row: firstRow(args.dropout, { b, h, tokens: queries }) + i0 + i, firstCol: 0 }, f);
            for (let j = 0; j < seen; j++) row[j] *= f[j];
          }
        }
        // y[m, W] = p v
        gemm({
          ...{ a: scores, aOffset: 0, aRowStride: visible, aColStride: 1 },
          ...{ b: kv, bOffset: kvStart + columns.v, bRowStride: C, bColStride: 1 },
          ...{
            c: y,
            cOffset: ((b * queries + i0) * heads + h) * W,
            cRowStride: heads * W,
            m,
            n: W,
            k: visible,
            accumulate: false,
          },
        });
      }
    }
  }
};

/** row = softmax(scale row) over its first `seen` columns, 0 after them; returns the log of the sum of exp. */
function softmaxRow(row: Float32Array, { seen, scale }: { seen: number; scale: number }): number {
  let max = Number.NEGATIVE_INFINITY;
  for (let j = 0; j < seen; j++) {
    const s = row[j] * scale;
    if (s > max) max = s;
  }
  let sum = 0;
  for (let j = 0; j < seen; j++) {
    const e = Math.exp(row[j] * scale - max);
    row[j] = e;
    sum += e;
  }
  for (let j = 0; j < seen; j++) row[j] /= sum;
  row.fill(0, seen);
  return max + Math.log(sum);
}

// p = exp(s - lse)            pd = p * dropout            dv = pdT dy
// dp = (dy vT) * dropout      ds = p (dp - delta) scale   dq = ds k      dk = dsT q
export const attentionGrad: Kernel<"attentionGrad"> = (args, views) => {
  const { batch, tokens, heads, headWidth: W, scale } = args;
  const qkv = views.f32(args.qkv);
  const dy = views.f32(args.dy);
  const lse = views.f32(args.lse);
  const delta = views.f32(args.delta);
  const dqkv = views.f32(args.dqkv);
  const C = fusedColumns(args);
  const mask = args.dropout && new DropoutMask(args.dropout);
  const p = new Float32Array(queriesPerBlock * tokens);
  const dp = new Float32Array(queriesPerBlock * tokens);
  const factors = new Float32Array(tokens).fill(1);

  rowDots({ y: views.f32(args.y), dy, delta, batch, tokens, heads, W });
  dqkv.fill(0, 0, batch * tokens * C); // keys and values gather over blocks and over the heads of their group
  for (let b = 0; b < batch; b++) {
    const sample = b * tokens * C;
    for (let h = 0; h < heads; h++) {
      const columns = columnsOf(args, h);
      for (let i0 = 0; i0 < tokens; i0 += queriesPerBlock) {
        const m = Math.min(queriesPerBlock, tokens - i0);
        const visible = i0 + m;
        const queryStart = sample + i0 * C + columns.q;
        const dyStart = ((b * tokens + i0) * heads + h) * W;
        // p[m, visible] = q kT, dp[m, visible] = dy vT
        gemm({
          ...{ a: qkv, aOffset: queryStart, aRowStride: C, aColStride: 1 },
          ...{ b: qkv, bOffset: sample + columns.k, bRowStride: 1, bColStride: C },
          ...{ c: p, cOffset: 0, cRowStride: visible, m, n: visible, k: W, accumulate: false },
        });
        gemm({
          ...{ a: dy, aOffset: dyStart, aRowStride: heads * W, aColStride: 1 },
          ...{ b: qkv, bOffset: sample + columns.v, bRowStride: 1, bColStride: C },
          ...{ c: dp, cOffset: 0, cRowStride: visible, m, n: visible, k: W, accumulate: false },
        });
        for (let i = 0; i < m; i++) {
          const at = (b * heads + h) * tokens + i0 + i;
          const seen = i0 + i + 1;
          if (mask && args.dropout) {
            mask.row(
              { row: firstRow(args.dropout, { b, h, tokens }) + i0 + i, firstCol: 0 },
              factors.subarray(0, seen),
            );
          }
          const rowLse = lse[at];
          const rowDelta = delta[at];
          const row = i * visible;
          for (let j = 0; j < seen; j++) {
            const probability = Math.exp(p[row + j] * scale - rowLse);
            dp[row + j] = probability * (dp[row + j] * factors[j] - rowDelta) * scale;
            p[row + j] = probability * factors[j];
          }
          p.fill(0, row + seen, row + visible);
          dp.fill(0, row + seen, row + visible);
        }
        // dq[m, W] = ds k, dk[visible, W] += dsT q, dv[visible, W] += pdT dy
        gemm({
          ...{ a: dp, aOffset: 0, aRowStride: visible, aColStride: 1 },
          ...{ b: qkv, bOffset: sample + columns.k, bRowStride: C, bColStride: 1 },
          ...{ c: dqkv, cOffset: queryStart, cRowStride: C, m, n: W, k: visible, accumulate: false },
        });
        gemm({
          ...{ a: dp, aOffset: 0, aRowStride: 1, aColStride: visible },
          ...{ b: qkv, bOffset: queryStart, bRowStride: C, bColStride: 1 },
          ...{ c: dqkv, cOffset: sample + columns.k, cRowStride: C, m: visible, n: W, k: m, accumulate: true },
        });
        gemm({
          ...{ a: p, aOffset: 0, aRowStride: 1, aColStride: visible },
          ...{ b: dy, bOffset: dyStart, bRowStride: heads * W, bColStride: 1 },
          ...{ c: dqkv, cOffset: sample + columns.v, cRowStride: C, m: visible, n: W, k: m, accumulate: true },
        });
      }
    }
  }
};

interface RowDots {
  y: Float32Array;
  dy: Float32Array;
  delta: Float32Array;
  batch: number;
  tokens: number;
  heads: number;
  W: number;
}

/** delta[batch, heads, tokens] = row sums of dy * y. */
function rowDots({ y, dy, delta, batch, tokens, heads, W }: RowDots): void {
  for (let b = 0; b < batch; b++) {
    for (let t = 0; t < tokens; t++) {
      for (let h = 0; h < heads; h++) {
        const at = ((b * tokens + t) * heads + h) * W;
        let sum = 0;
        for (let c = 0; c < W; c++) sum += dy[at + c] * y[at + c];
        delta[(b * heads + h) * tokens + t] = sum;
      }
    }
  }
}

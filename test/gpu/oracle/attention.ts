// Causal attention and its gradient through the explicit [tokens, tokens] matrix, in f64, with the error an f32
// kernel of the FlashAttention kind (running maximum, rescaled sums, scores recomputed) is allowed.

import type { Expected } from "../bounds.ts";
import { expRelative, gamma, smallest, unit } from "../bounds.ts";
import type { Dropout } from "./philox.ts";
import { keeps } from "./philox.ts";

// B batch, H heads, K kvHeads, W head width, Q queries, T keys, C = (H + 2K) W
export interface Heads {
  heads: number;
  kvHeads: number;
  headWidth: number;
}
export type AttentionDropout = Dropout & { batchOffset: number; headOffset: number; globalHeads: number };

/** First columns of head h's query, key and value in a fused row. */
export function columns({ heads, kvHeads, headWidth }: Heads, h: number): { q: number; k: number; v: number } {
  const perGroup = heads / kvHeads;
  const group = Math.floor(h / perGroup);
  const first = group * (perGroup + 2) * headWidth;
  return {
    q: first + (h % perGroup) * headWidth,
    k: first + perGroup * headWidth,
    v: first + (perGroup + 1) * headWidth,
  };
}

export const fusedWidth = ({ heads, kvHeads, headWidth }: Heads): number => (heads + 2 * kvHeads) * headWidth;

function zeros(length: number): Expected {
  return { values: new Float64Array(length), bounds: new Float64Array(length) };
}

/** What scales the probability of (b, h, i, j): 1 / (1 - p) where kept, 0 where dropped, 1 without dropout. */
function dropoutFactor(
  dropout: AttentionDropout | undefined,
  tokens: number,
): (b: number, h: number, i: number, j: number) => number {
  if (!dropout) return () => 1;
  const kept = keeps(dropout);
  const { batchOffset, headOffset, globalHeads, probability } = dropout;
  const factor = 1 / (1 - probability);
  return (b, h, i, j) => (kept(((b + batchOffset) * globalHeads + h + headOffset) * tokens + i, j) ? factor : 0);
}

type Numbers = ArrayLike<number>;

/** sum of x[xAt + c] y[yAt + c] over c < width. */
function dot(x: Numbers, xAt: number, y: Numbers, yAt: number, width: number): number {
  let sum = 0;
  for (let c = 0; c < width; c++) sum += x[xAt + c] * y[yAt + c];
  return sum;
}

/** The same of magnitudes: |x||y|. */
function dotOfMagnitudes(x: Numbers, xAt: number, y: Numbers, yAt: number, width: number): number {
  let sum = 0;
  for (let c = 0; c < width; c++) sum += Math.abs(x[xAt + c] * y[yAt + c]);
  return sum;
}

export interface AttentionCase extends Heads {
  q: ArrayLike<number>;
  kv: ArrayLike<number>;
  batch: number;
  queries: number;
  keys: number;
  capacity: number;
  scale: number;
  dropout?: AttentionDropout;
}

/** y [B, Q, H W] and lse [B, H, Q].
 *
 *  A score s carries gamma(W + 2) |scale| |q||k|. Its weight exp(s - m), m the running maximum, adds the rounding of s - m, that
 *  of exp at s - m, and one rescale by exp(m - m') each time the maximum rises, at most T times: the exponents of the rescales
 *  add up to at most the range R of the row's scores. So a weight is relatively off by at most
 *  rho = error(s) + (R + 2 max|s|) unit + 2 unit (3 (T + 1) + 2 R) + T unit, and m itself cancels. */
export function attention(c: AttentionCase): { y: Expected; lse: Expected } {
  const { q, kv, batch, heads, headWidth, queries, keys, capacity, scale } = c;
  const width = fusedWidth(c);
  const factor = dropoutFactor(c.dropout, queries);
  const y = zeros(batch * queries * heads * headWidth);
  const lse = zeros(batch * heads * queries);
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      const at = columns(c, h);
      for (let i = 0; i < queries; i++) {
        const visible = i + keys - queries + 1;
        const scores = new Float64Array(visible);
        const scoreErrors = new Float64Array(visible);
        const query = (b * queries + i) * width + at.q;
        for (let j = 0; j < visible; j++) {
          const key = (b * capacity + j) * width + at.k;
          scores[j] = scale * dot(q, query, kv, key, headWidth);
          const magnitude = Math.abs(scale) * dotOfMagnitudes(q, query, kv, key, headWidth);
          scoreErrors[j] = gamma(headWidth + 2) * magnitude;
        }
        const max = Math.max(...scores);
        const range = max - Math.min(...scores);
        const largest = Math.max(...scores.map(Math.abs));
        const relative = (range + 2 * largest) * unit + 2 * unit * (3 * (visible + 1) + 2 * range) + visible * unit;
        const weights = scores.map((s) => Math.exp(s - max));
        const sum = weights.reduce((p, w) => p + w, 0);
        const rhos = scoreErrors.map((e) => Math.expm1(e + relative));
        const sumError = weights.reduce((p, w, j) => p + (w / sum) * rhos[j], 0) + gamma(visible);
        const row = (b * heads + h) * queries + i;
        lse.values[row] = max + Math.log(sum);
        // log is good to 2^-21 near 1 and 3 ULP elsewhere; max + log rounds once more
        lse.bounds[row] =
          sumError + 2 ** -21 + 6 * unit * Math.log(sum) + unit * Math.abs(lse.values[row]) + 2 * unit * largest;
        const out = (b * queries + i) * heads * headWidth + h * headWidth;
        for (let j = 0; j < visible; j++) {
          const p = (weights[j] / sum) * factor(b, h, i, j);
          const value = (b * capacity + j) * width + at.v;
          // beside the weights': the sum of products, the dropout factor (3 roundings), the division by the sum (2.5 ULP)
          const relative = rhos[j] + gamma(visible + 9) + sumError;
          for (let column = 0; column < headWidth; column++) {
            const term = p * kv[value + column];
            y.values[out + column] += term;
            // a weight too small for a normal number may count as 0
            y.bounds[out + column] += relative * Math.abs(term) + smallest * (1 + Math.abs(kv[value + column]));
          }
        }
      }
    }
  }
  return { y, lse };
}

export interface AttentionGradCase extends Heads {
  qkv: ArrayLike<number>;
  y: ArrayLike<number>;
  dy: ArrayLike<number>;
  lse: ArrayLike<number>;
  batch: number;
  tokens: number;
  scale: number;
  dropout?: AttentionDropout;
}

/** dqkv [B, T, C] and delta [B, H, T], from the y and lse that are given: with P = exp(s - lse), D the dropout factors,
 *  delta_i = dy_i . y_i and dS = P (D (dy v^T) - delta): dq = scale dS k, dk = scale dS^T q, dv = (P D)^T dy.
 *
 *  P is relatively off by error(s) + (|s| + |s - lse|) unit + exp's 2 unit (3 + 2 |s - lse|); the dot products dy.v and dy.y carry
 *  gamma(W) of their magnitudes; the outer sums gamma of their lengths (for dk and dv, over the group's heads too). */
export function attentionGrad(c: AttentionGradCase): { dqkv: Expected; delta: Expected } {
  const { qkv, y, dy, lse, batch, heads, kvHeads, headWidth, tokens, scale } = c;
  const width = fusedWidth(c);
  const factor = dropoutFactor(c.dropout, tokens);
  const dqkv = zeros(batch * tokens * width);
  const delta = zeros(batch * heads * tokens);
  const terms = gamma((tokens * heads) / kvHeads + 4);
  const accumulate = (to: number, value: number, error: number) => {
    dqkv.values[to] += value;
    dqkv.bounds[to] += error + terms * Math.abs(value) + smallest;
  };
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      const at = columns(c, h);
      for (let i = 0; i < tokens; i++) {
        const rowStart = (b * tokens + i) * width;
        const outStart = ((b * tokens + i) * heads + h) * headWidth;
        const row = (b * heads + h) * tokens + i;
        delta.values[row] = dot(dy, outStart, y, outStart, headWidth);
        const ownMagnitude = dotOfMagnitudes(dy, outStart, y, outStart, headWidth);
        delta.bounds[row] = gamma(headWidth) * ownMagnitude + headWidth * smallest;
        for (let j = 0; j <= i; j++) {
          const keyStart = (b * tokens + j) * width;
          const s = scale * dot(qkv, rowStart + at.q, qkv, keyStart + at.k, headWidth);
          const magnitude = Math.abs(scale) * dotOfMagnitudes(qkv, rowStart + at.q, qkv, keyStart + at.k, headWidth);
          const exponent = s - lse[row];
          const p = Math.exp(exponent);
          const scoreError = gamma(headWidth + 2) * magnitude;
          const rho = Math.expm1(scoreError + (Math.abs(s) + Math.abs(exponent)) * unit + expRelative(exponent));
          const d = factor(b, h, i, j);
          const dp = d * dot(dy, outStart, qkv, keyStart + at.v, headWidth);
          const dpMagnitude = d * dotOfMagnitudes(dy, outStart, qkv, keyStart + at.v, headWidth);
          const bracket = dp - delta.values[row];
          const bracketError =
            gamma(headWidth + 4) * dpMagnitude + delta.bounds[row] + unit * (Math.abs(bracket) + Math.abs(dp));
          const ds = p * bracket;
          // a device may flush p to 0
          const pError = p * rho + smallest;
          const dsError = pError * Math.abs(bracket) + (p + pError) * bracketError + smallest;
          for (let column = 0; column < headWidth; column++) {
            const key = qkv[keyStart + at.k + column];
            const query = qkv[rowStart + at.q + column];
            accumulate(rowStart + at.q + column, scale * ds * key, Math.abs(scale * key) * dsError);
            accumulate(keyStart + at.k + column, scale * ds * query, Math.abs(scale * query) * dsError);
            const dv = p * d * dy[outStart + column];
            // the factor 1 / (1 - p) comes with 3 roundings and the product with one
            accumulate(
              keyStart + at.v + column,
              dv,
              Math.abs(dv) * gamma(4) + pError * d * Math.abs(dy[outStart + column]),
            );
          }
        }
      }
    }
  }
  return { dqkv, delta };
}

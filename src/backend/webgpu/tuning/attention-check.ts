// What attention and its gradient should be, in f64, for some rows of a trial, with the error an f32 kernel of the FlashAttention kind
// (running maximum, rescaled sums, scores recomputed) is allowed.

import type { KernelArgs } from "../../kernels.ts";
import { philox } from "../../philox.ts";
import { gamma, storedBound, type Trace, type Trial, unit } from "./family.ts";

type Forward = KernelArgs["attention"];
type Gradient = KernelArgs["attentionGrad"];
type Shape = Pick<Forward, "heads" | "kvHeads" | "headWidth" | "dropout">;

/** C, the columns of a fused row. */
export const fusedWidth = ({ heads, kvHeads, headWidth }: Shape): number => (heads + 2 * kvHeads) * headWidth;

type OnHost<Args> = { [F in keyof Args]: Args[F] extends { dtype: unknown } ? Trace : Args[F] };

/** Where head h of a sample's token has its query, its key and its value in the fused rows [tokens, (heads + 2 kvHeads) headWidth]. */
function columnsOf({ heads, kvHeads, headWidth }: Shape, h: number): { q: number; k: number; v: number } {
  const repeat = heads / kvHeads;
  const group = Math.floor(h / repeat) * (repeat + 2) * headWidth;
  return { q: group + (h % repeat) * headWidth, k: group + repeat * headWidth, v: group + (repeat + 1) * headWidth };
}

/** x[atX + c] y[atY + c] summed over c, and their magnitudes. */
function dot(x: Float32Array, atX: number, y: Float32Array, { atY, width }: { atY: number; width: number }) {
  let value = 0;
  let magnitude = 0;
  for (let c = 0; c < width; c++) {
    const term = x[atX + c] * y[atY + c];
    value += term;
    magnitude += Math.abs(term);
  }
  return { value, magnitude };
}

/** What dropout multiplies the weight of (b, h, i, j) by. */
function dropoutOf({ dropout }: Shape, tokens: number): (at: { b: number; h: number; i: number; j: number }) => number {
  if (!dropout) return () => 1;
  const { probability, seed, stream, step, batchOffset, headOffset, globalHeads } = dropout;
  const words = new Uint32Array(4);
  const key = Uint32Array.of(seed, 0);
  return ({ b, h, i, j }) => {
    const row = ((b + batchOffset) * globalHeads + h + headOffset) * tokens + i;
    philox({ counter: Uint32Array.of(j >> 2, row, step, stream), key }, words);
    return words[j & 3] < Math.floor(probability * 2 ** 32) ? 0 : 1 / (1 - probability);
  };
}

/** Rows of results to look at: the first, the last, and some between, as many as take some ten milliseconds. */
const checkedTerms = 2_000_000;
const sampled = (count: number, termsEach: number): number[] => {
  const samples = Math.min(count, Math.max(4, Math.floor(checkedTerms / termsEach)));
  return Array.from({ length: samples }, (_, i) => (samples === count ? i : i === 0 ? count - 1 : (i * 40503) % count));
};

interface Outcome {
  readonly name: string;
  readonly at: number;
  readonly value: number;
  readonly bound: number;
}

function firstWrong(results: Readonly<Record<string, Float32Array>>, wanted: Iterable<Outcome>): string | undefined {
  for (const { name, at, value, bound } of wanted)
    if (!(Math.abs(results[name][at] - value) <= bound))
      return `${name}[${at}] is ${results[name][at]}, not ${value} within ${bound.toExponential(1)}`;
}

export function forwardTrial(call: OnHost<Forward>): Trial<"attention"> {
  const { batch, heads, queries, keys, headWidth } = call;
  const rows = sampled(batch * heads * queries, 2 * keys * headWidth);
  let wanted: Outcome[] | undefined;
  return {
    args: call,
    results: ["y", "lse"],
    wrongIn(results) {
      wanted ??= rows.flatMap((row) => forwardRow(call, row));
      return firstWrong(results, wanted);
    },
  };
}

/** One query's y and lse. A score carries gamma(W + 2) |scale| |q||k|; its weight exp(s - m), m the running maximum, adds what s - m
 *  and exp round (3 + 2 |s - m| ULP), and a rescale each time the maximum rises, at most once a key: relative to a weight rho in all. */
function forwardRow(call: OnHost<Forward>, row: number): Outcome[] {
  const { heads, queries, keys, capacity, headWidth: width, q, kv, y, scale } = call;
  const b = Math.floor(row / (heads * queries));
  const h = Math.floor(row / queries) % heads;
  const i = row % queries;
  const at = columnsOf(call, h);
  const fused = fusedWidth(call);
  const visible = i + keys - queries + 1;
  const rounded = Math.fround(scale);
  const scores = Array.from({ length: visible }, (_, j) =>
    dot(q.data, (b * queries + i) * fused + at.q, kv.data, { atY: (b * capacity + j) * fused + at.k, width }),
  );
  const values = scores.map(({ value }) => rounded * value);
  const most = Math.max(...values);
  const range = most - Math.min(...values);
  const largest = Math.max(...values.map(Math.abs));
  const scoreError = gamma(width + 2) * rounded * Math.max(...scores.map(({ magnitude }) => magnitude));
  const rho = Math.expm1(
    scoreError + (range + 2 * largest) * unit + 2 * unit * (3 * (visible + 1) + 2 * range) + visible * unit,
  );
  const weights = values.map((s) => Math.exp(s - most));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  const sumError = rho + gamma(visible);
  const lse = most + Math.log(sum);
  const lseBound = sumError + 2 ** -21 + 6 * unit * Math.log(sum) + unit * Math.abs(lse) + 2 * unit * largest;
  const outcomes: Outcome[] = [{ name: "lse", at: row, value: lse, bound: lseBound }];
  const factor = dropoutOf(call, queries);
  const shares = weights.map((weight, j) => (weight / sum) * factor({ b, h, i, j }));
  for (let c = 0; c < width; c++) {
    let value = 0;
    let magnitude = 0;
    for (let j = 0; j < visible; j++) {
      const term = shares[j] * kv.data[(b * capacity + j) * fused + at.v + c];
      value += term;
      magnitude += Math.abs(term);
    }
    const bound = (rho + gamma(visible + 9) + sumError) * magnitude + visible * 2 ** -126;
    const position = ((b * queries + i) * heads + h) * width + c;
    outcomes.push({ name: "y", at: position, value, bound: storedBound(bound, { value, dtype: y.dtype }) });
  }
  return outcomes;
}

export function gradientTrial(call: OnHost<Gradient>): Trial<"attentionGrad"> {
  const { batch, heads, kvHeads, tokens, headWidth } = call;
  const terms = 3 * tokens * headWidth;
  const queries = sampled(batch * heads * tokens, 2 * terms);
  const keys = sampled(batch * kvHeads * tokens, (2 * terms * heads) / kvHeads);
  let wanted: Outcome[] | undefined;
  return {
    args: call,
    results: ["delta", "dqkv"],
    wrongIn(results) {
      wanted ??= [
        ...queries.flatMap((row) => queryGradient(call, row)),
        ...keys.flatMap((row) => keyGradient(call, row)),
      ];
      return firstWrong(results, wanted);
    },
  };
}

/** Of query i and key j of one head: p = exp(s - lse) with dropout's factor, ds = p (dp - delta), and how far each may be off. p's error
 *  is that of s and of exp (3 + 2 |s - lse| ULP); the products dp and delta carry gamma(W) of their magnitudes. */
function pairOf(
  call: OnHost<Gradient>,
  { b, h, i, j }: { b: number; h: number; i: number; j: number },
  factor: number,
) {
  const { heads, tokens, headWidth: width, qkv, dy, y, lse, scale } = call;
  const at = columnsOf(call, h);
  const fused = fusedWidth(call);
  const [atI, atJ] = [(b * tokens + i) * fused, (b * tokens + j) * fused];
  const out = ((b * tokens + i) * heads + h) * width;
  const rounded = Math.fround(scale);
  const score = dot(qkv.data, atI + at.q, qkv.data, { atY: atJ + at.k, width });
  const s = rounded * score.value;
  const e = s - lse.data[(b * heads + h) * tokens + i];
  const p = Math.exp(e);
  const scoreError = gamma(width + 2) * rounded * score.magnitude;
  const pError =
    p * Math.expm1(scoreError + (Math.abs(s) + Math.abs(e)) * unit + 2 * unit * (3 + 2 * Math.abs(e))) + 2 ** -126;
  const dp = dot(dy.data, out, qkv.data, { atY: atJ + at.v, width });
  const delta = dot(dy.data, out, y.data, { atY: out, width });
  const bracket = factor * dp.value - delta.value;
  const bracketError =
    gamma(width + 4) * (factor * dp.magnitude + delta.magnitude) +
    unit * (Math.abs(bracket) + Math.abs(factor * dp.value));
  const dsError = pError * Math.abs(bracket) + (p + pError) * bracketError + 2 ** -126;
  return {
    p: p * factor,
    pError: pError * factor,
    ds: p * bracket,
    dsError,
    delta,
    out,
    atI: atI + at.q,
    atJ: atJ + at.k,
  };
}

type Sums = { value: number; magnitude: number; error: number }[];

const sums = (length: number): Sums => Array.from({ length }, () => ({ value: 0, magnitude: 0, error: 0 }));

/** sums[c] += weight x[at + c], the weight being off by `error`. */
function addRow(to: Sums, x: Float32Array, { at, weight, error }: { at: number; weight: number; error: number }): void {
  for (let c = 0; c < to.length; c++) {
    const term = weight * x[at + c];
    to[c].value += term;
    to[c].magnitude += Math.abs(term);
    to[c].error += error * Math.abs(x[at + c]) + 2 ** -126;
  }
}

const outcomesOf = (of: Sums, { at, terms, dtype }: { at: number; terms: number; dtype: Trace["dtype"] }): Outcome[] =>
  of.map(({ value, magnitude, error }, c) => {
    const bound = storedBound(error + gamma(terms + 4) * magnitude, { value, dtype });
    return { name: "dqkv", at: at + c, value, bound };
  });

/** dq of one query: scale times the sum of ds k over its keys. */
function queryGradient(call: OnHost<Gradient>, row: number): Outcome[] {
  const { heads, tokens, headWidth, qkv, dqkv, scale } = call;
  const [b, h, i] = [Math.floor(row / (heads * tokens)), Math.floor(row / tokens) % heads, row % tokens];
  const factor = dropoutOf(call, tokens);
  const rounded = Math.fround(scale);
  const dq = sums(headWidth);
  let outcomes: Outcome[] = [];
  for (let j = 0; j <= i; j++) {
    const { ds, dsError, delta, atI, atJ } = pairOf(call, { b, h, i, j }, factor({ b, h, i, j }));
    addRow(dq, qkv.data, { at: atJ, weight: rounded * ds, error: rounded * dsError });
    const bound = gamma(headWidth) * delta.magnitude + headWidth * 2 ** -126;
    outcomes = [{ name: "delta", at: row, value: delta.value, bound }];
    if (j === i) outcomes.push(...outcomesOf(dq, { at: atI, terms: tokens, dtype: dqkv.dtype }));
  }
  return outcomes;
}

/** dk and dv of one key: sums over the queries that see it, of all heads that share it. */
function keyGradient(call: OnHost<Gradient>, row: number): Outcome[] {
  const { heads, kvHeads, tokens, headWidth, qkv, dy, dqkv, scale } = call;
  const [b, group, j] = [Math.floor(row / (kvHeads * tokens)), Math.floor(row / tokens) % kvHeads, row % tokens];
  const factor = dropoutOf(call, tokens);
  const rounded = Math.fround(scale);
  const repeat = heads / kvHeads;
  const [dk, dv] = [sums(headWidth), sums(headWidth)];
  for (let h = group * repeat; h < (group + 1) * repeat; h++)
    for (let i = j; i < tokens; i++) {
      const { p, pError, ds, dsError, out, atI } = pairOf(call, { b, h, i, j }, factor({ b, h, i, j }));
      addRow(dk, qkv.data, { at: atI, weight: rounded * ds, error: rounded * dsError });
      addRow(dv, dy.data, { at: out, weight: p, error: pError });
    }
  const token = (b * tokens + j) * fusedWidth(call);
  const at = columnsOf(call, group * repeat);
  const rest = { terms: repeat * tokens, dtype: dqkv.dtype };
  return [...outcomesOf(dk, { at: token + at.k, ...rest }), ...outcomesOf(dv, { at: token + at.v, ...rest })];
}

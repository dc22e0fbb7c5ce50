// Whether an engine computed what it was asked for: sampled elements against float64, within bounds that hold for any order of sums.

import { type AttentionTask, inputsOf, type NormTask, type ProductTask, type StepTask, type Task } from "./tasks.ts";

type Values = Readonly<Record<string, Float32Array>>;
/** The exact value of an element, and how far f32 may be from it. */
interface Expected {
  readonly value: number;
  readonly bound: number;
}

/** Elements looked at: enough to meet every tile, few enough to take no time. */
const samples = 257;
const unit = 2 ** -24;
/** gamma(n): relative error of a sum of n products in any order (Higham, Accuracy and Stability, section 3.1). */
const gamma = (n: number) => (n * unit) / (1 - n * unit);

function product({ m, n, k, form }: ProductTask, { a, b }: Values, index: number): Expected {
  const [row, col] = [Math.floor(index / n), index % n];
  let [value, magnitude] = [0, 0];
  for (let q = 0; q < k; q++) {
    const term = a[form === "TN" ? q * m + row : row * k + q] * b[form === "NT" ? col * k + q : q * n + col];
    value += term;
    magnitude += Math.abs(term);
  }
  return { value, bound: gamma(k) * magnitude };
}

/** |q|, |k| and |v| are below 1/2, so a score's error stays below gamma(K) sqrt(K) / 4 and moves a weight by as much, relatively, twice (sum and
 *  numerator); exponentials differ by some ulps, up to 16 here; the weighted sum over T adds gamma(T). */
function attention({ tokens: T, heads: H, headWidth: K }: AttentionTask, { q, k, v }: Values, index: number): Expected {
  const [column, head] = [index % K, Math.floor(index / K) % H];
  const token = Math.floor(index / (K * H)) % T;
  const sample = Math.floor(index / (K * H * T));
  const at = (t: number, c: number) => ((sample * T + t) * H + head) * K + c;
  let [sum, value] = [0, 0];
  for (let t = 0; t <= token; t++) {
    let score = 0;
    for (let c = 0; c < K; c++) score += q[at(token, c)] * k[at(t, c)];
    const weight = Math.exp(score / Math.sqrt(K));
    sum += weight;
    value += weight * v[at(t, column)];
  }
  const relative = 2 * gamma(K) * (Math.sqrt(K) / 4) + 2 * gamma(T) + 16 * unit;
  return { value: value / sum, bound: 0.5 * relative };
}

/** Variance of uniform noise is near 1/12, so no cancellation: errors of two sums over the row, a root and three roundings. The mean of squares
 *  less the square of the mean, as some compute it, is as good here. */
function norm({ cols }: NormTask, { x, gain }: Values, index: number): Expected {
  const [row, col] = [Math.floor(index / cols), index % cols];
  const elements = x.subarray(row * cols, (row + 1) * cols);
  const mean = elements.reduce((sum, value) => sum + value, 0) / cols;
  const variance = elements.reduce((sum, value) => sum + (value - mean) ** 2, 0) / cols;
  const value = ((elements[col] - mean) / Math.sqrt(variance + 1e-5)) * gain[col];
  return { value, bound: (2 * gamma(cols) + 16 * unit) * Math.abs(gain[col]) * 2 };
}

/** Relative. Losses of the first steps: f32 sums differ by 1e-6 or so, and AdamW's first updates, near the sign of a gradient, can turn on
 *  elements that are almost zero; together far below this, while a step with another model, loss or optimizer is far above it. */
export const lossTolerance = 1e-4;

/** The first element that is wrong, in words; undefined when all looked at are right. */
export function wrongIn(task: Exclude<Task, StepTask>, result: ArrayLike<number>): string | undefined {
  const inputs = inputsOf(task);
  const length =
    task.subject === "products"
      ? task.m * task.n
      : task.subject === "attention"
        ? task.batch * task.tokens * task.heads * task.headWidth
        : task.rows * task.cols;
  if (result.length !== length) return `has ${result.length} elements, not ${length}`;
  for (let i = 0; i < samples; i++) {
    const index = Math.floor((i * (length - 1)) / (samples - 1));
    const { value, bound } =
      task.subject === "products"
        ? product(task, inputs, index)
        : task.subject === "attention"
          ? attention(task, inputs, index)
          : norm(task, inputs, index);
    if (!(Math.abs(result[index] - value) <= bound))
      return `has ${result[index]} at ${index}, not ${value} within ${bound.toExponential(1)}`;
  }
  return undefined;
}

/** The first loss that is not ours, in words. */
export function wrongLoss(losses: readonly number[], ours: readonly number[]): string | undefined {
  for (const [i, loss] of losses.entries())
    if (!(Math.abs(loss / ours[i] - 1) <= lossTolerance))
      return `has loss ${loss} at step ${i + 1}, not ${ours[i]} within ${lossTolerance}`;
  return undefined;
}

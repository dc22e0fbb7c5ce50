// What is measured: tasks as plain data (they cross to a page as JSON), their inputs, their work, and what a right result is.
// Inputs are a function of the task alone, so every engine, in every process, gets the same.

import { uniform } from "../src/tensor/random.ts";

export type Form = "NN" | "NT" | "TN";

/** y[m, n] = op(a) op(b): NT has b as [n, k], TN has a as [k, m]. */
export interface ProductTask {
  readonly subject: "products";
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly form: Form;
}
/** y[B, T, H, K] = causal softmax(q k^T / sqrt(K)) v of q, k, v[B, T, H, K]. */
export interface AttentionTask {
  readonly subject: "attention";
  readonly batch: number;
  readonly tokens: number;
  readonly heads: number;
  readonly headWidth: number;
}
/** LayerNorm over the last dim of x[rows, cols], with a gain and no bias, eps 1e-5. */
export interface NormTask {
  readonly subject: "norms";
  readonly rows: number;
  readonly cols: number;
}
/** One step of nanoGPT's CPU recipe. */
export interface StepTask {
  readonly subject: "step";
}
export type Task = ProductTask | AttentionTask | NormTask | StepTask;
export type Subject = Task["subject"];

/** nanoGPT's CPU recipe: GPT-2 without biases, exact GELU, tied head; AdamW with decay on matrices alone, gradients clipped to norm 1. */
export const recipe = {
  batch: 12,
  context: 64,
  layers: 4,
  heads: 4,
  width: 128,
  vocabulary: 65,
  eps: 1e-5,
  learningRate: 1e-3,
  beta1: 0.9,
  beta2: 0.99,
  adamEps: 1e-8,
  weightDecay: 0.1,
  clip: 1,
} as const;

/** M x N x K of the recipe's linears and head, then two larger ones. */
const productShapes = [
  [768, 128, 128],
  [768, 384, 128],
  [768, 512, 128],
  [768, 128, 512],
  [768, 65, 128],
  [512, 512, 512],
  [1024, 1024, 256],
] as const;

const forms: readonly Form[] = ["NN", "NT", "TN"];

/** Every task of the subjects; `shapes` replaces those of the products. */
export function tasksOf(subjects: readonly Subject[], shapes?: readonly (readonly number[])[]): Task[] {
  const all: Record<Subject, () => Task[]> = {
    products: () =>
      (shapes ?? productShapes).flatMap(([m, n, k]) =>
        forms.map((form): Task => ({ subject: "products", m, n, k, form })),
      ),
    attention: () => [
      { subject: "attention", batch: 12, tokens: 64, heads: 4, headWidth: 32 },
      { subject: "attention", batch: 1, tokens: 512, heads: 4, headWidth: 64 },
    ],
    norms: () => [
      { subject: "norms", rows: 768, cols: 128 },
      { subject: "norms", rows: 1024, cols: 768 },
    ],
    step: () => [{ subject: "step" }],
  };
  return subjects.flatMap((subject) => all[subject]());
}

export const shapeOf = (task: Task): string => {
  if (task.subject === "products") return `${task.m}x${task.n}x${task.k}`;
  if (task.subject === "attention") return `${task.batch}x${task.tokens}x${task.heads}x${task.headWidth}`;
  if (task.subject === "norms") return `${task.rows}x${task.cols}`;
  return `${recipe.batch}x${recipe.context}, ${recipe.layers} layers, width ${recipe.width}`;
};
export const formOf = (task: Task): string =>
  task.subject === "products" ? task.form : task.subject === "attention" ? "causal" : "";

/** Parameters of the recipe's model: embeddings, per layer 12 D^2 and two gains, the last gain. */
const recipeParameters = () => {
  const { vocabulary, context, layers, width: D } = recipe;
  return (vocabulary + context) * D + layers * (12 * D * D + 2 * D) + D;
};

/** Floating-point operations that count. Attention: scores and values of the allowed pairs, as if halved by the mask. Step: 6 N + 12 layers
 *  context width a token (arXiv 2204.02311, appendix B). Norm: none, memory bounds it. */
export function flopsOf(task: Task): number {
  if (task.subject === "products") return 2 * task.m * task.n * task.k;
  if (task.subject === "attention") return (4 * task.batch * task.heads * task.headWidth * task.tokens ** 2) / 2;
  if (task.subject === "norms") return 0;
  const { batch, context, layers, width } = recipe;
  return batch * context * (6 * recipeParameters() + 12 * layers * context * width);
}

/** Bytes that have to be read and written once; what a memory-bound task is scored by. */
export const bytesOf = (task: Task): number => (task.subject === "norms" ? 8 * task.rows * task.cols : 0);

/** Uniform in [-0.5, 0.5). A multiplicative hash: the counter-based generator would take longer than the runs. */
export function noise(length: number, seed: number): Float32Array<ArrayBuffer> {
  const values = new Float32Array(length);
  let state = (seed * 0x9e3779b9) >>> 0;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    values[i] = state / 2 ** 32 - 0.5;
  }
  return values;
}

/** Random ids below the vocabulary, [batch * context]. */
export function recipeIds(stream: number): Int32Array<ArrayBuffer> {
  const { batch, context, vocabulary } = recipe;
  return Int32Array.from({ length: batch * context }, (_, index) =>
    Math.floor(vocabulary * uniform({ seed: 1, stream, step: 0, index })),
  );
}

/** Row-major inputs by name, in the layout the task's comment gives. */
export function inputsOf(task: Exclude<Task, StepTask>): Record<string, Float32Array<ArrayBuffer>> {
  if (task.subject === "products")
    return { a: noise(task.m * task.k, 1 + task.m), b: noise(task.k * task.n, 2 + task.n) };
  if (task.subject === "attention") {
    const length = task.batch * task.tokens * task.heads * task.headWidth;
    return { q: noise(length, 3), k: noise(length, 4), v: noise(length, 5) };
  }
  return { x: noise(task.rows * task.cols, 6), gain: noise(task.cols, 7) };
}

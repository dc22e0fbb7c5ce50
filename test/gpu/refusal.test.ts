// Every kernel refuses what does not fit it, before the device sees it: empty input, short buffers, wrong element types.

import { test } from "uvu";
import type { HostArray } from "../../src/backend/buffer.ts";
import type { KernelName } from "../../src/backend/kernels.ts";
import { reducePartials } from "../../src/backend/kernels.ts";
import { closeBackend, compute, type HostArgs, refusal } from "./harness.ts";

const f = (length: number): Float32Array => new Float32Array(length).fill(0.5);
const ids = (...values: number[]): Int32Array => Int32Array.from(values);
const heads = { heads: 4, kvHeads: 2, headWidth: 2 };
const norm = { rows: 3, cols: 5, width: 5, eps: 1e-5 };
const block = { rows: 3, cols: 5, validCols: 4, colOffset: 0 };
const flat = { shape: [1, 1, 3, 5], xStrides: [0, 0, 6, 1], yStrides: [0, 0, 5, 1] } as const;

/** Arguments each kernel takes, every buffer exactly as long as it must be. */
const accepted: { [K in KernelName]: HostArgs<K> } = {
  matmul: {
    ...{ a: f(24), b: f(40), y: f(30), bias: f(5), batch: 2, m: 3, n: 5, k: 4 },
    ...{ transposeA: false, transposeB: false, accumulate: false },
  },
  // C = 16
  attention: {
    ...{ q: f(2 * 3 * 16), kv: f(2 * 5 * 16), y: f(2 * 3 * 8), lse: f(2 * 4 * 3) },
    ...{ ...heads, batch: 2, queries: 3, keys: 4, capacity: 5, scale: 1 },
  },
  attentionGrad: {
    ...{ qkv: f(2 * 3 * 16), y: f(2 * 3 * 8), dy: f(2 * 3 * 8), lse: f(24), delta: f(24), dqkv: f(2 * 3 * 16) },
    ...{ ...heads, batch: 2, tokens: 3, scale: 1 },
  },
  rotary: { ...heads, x: f(6 * 16), table: f(5 * 2), y: f(6 * 16), rows: 6, tokens: 3, offset: 2, inverse: false },
  normStats: { x: f(15), stats: f(6), rows: 3, cols: 5, kind: "layer" },
  normApply: { ...norm, x: f(15), stats: f(6), gain: f(5), bias: f(5), y: f(15) },
  normGradSums: { ...norm, x: f(15), stats: f(6), gain: f(5), dy: f(15), sums: f(6), kind: "rms" },
  normGradInput: { ...norm, x: f(15), stats: f(6), gain: f(5), dy: f(15), sums: f(6), dx: f(15), accumulate: false },
  normGradGain: { ...norm, x: f(15), stats: f(6), dy: f(15), dgain: f(5), accumulate: false },
  gelu: { x: f(7), y: f(7), n: 7, form: "tanh" },
  geluGrad: { x: f(7), dy: f(7), dx: f(7), n: 7, form: "exact" },
  siluGate: { x: f(14), y: f(7), n: 7 },
  siluGateGrad: { x: f(14), dy: f(7), dx: f(14), n: 7 },
  dropout: {
    ...{ x: f(15), y: f(15), rows: 3, cols: 5, rowOffset: 0, colOffset: 0 },
    ...{ probability: 0.5, seed: 1, stream: 2, step: 3 },
  },
  embedding: { ids: ids(0, 1, 2), table: f(20), y: f(15), count: 3, cols: 5, rows: 4, rowOffset: 0, accumulate: false },
  embeddingGrad: {
    ...{ unique: ids(1, 3), starts: ids(0, 2, 3), order: ids(0, 2, 1), dy: f(15), dtable: f(20) },
    ...{ segments: 2, count: 3, cols: 5, rows: 4, rowOffset: 0 },
  },
  rowMax: { x: f(15), max: f(3), rows: 3, cols: 5, validCols: 4 },
  sumExp: { ...block, x: f(15), max: f(3), targets: ids(0, 1, 2), sums: f(6) },
  crossEntropy: { max: f(3), sums: f(6), losses: f(3), rows: 3 },
  crossEntropyGrad: {
    ...{ ...block, x: f(15), max: f(3), sums: f(6), targets: ids(0, 1, 2) },
    ...{ dy: f(1), dx: f(15), scale: 1 },
  },
  sum: { x: f(7), partials: f(reducePartials), y: f(1), n: 7, scale: 1, square: false, accumulate: false },
  columnSum: { x: f(15), y: f(5), rows: 3, cols: 5, accumulate: false },
  adamw: {
    ...{ w: f(7), g: f(7), m: f(7), v: f(7), normSquared: f(1), n: 7, learningRate: 1e-3, beta1: 0.9, beta2: 0.99 },
    ...{ eps: 1e-8, weightDecay: 0.1, correction1: 0.1, correction2: 0.01, clip: 1, lossScale: 1 },
  },
  add: { a: f(7), b: f(7), y: f(7), n: 7 },
  maximum: { x: f(7), y: f(7), n: 7 },
  normMerge: { a: f(6), b: f(6), y: f(6), rows: 3, countA: 2, countB: 5 },
  axpy: { x: f(7), y: f(7), n: 7, alpha: 2 },
  scale: { x: f(7), y: f(7), n: 7, alpha: 2 },
  fill: { y: f(7), n: 7, value: 2 },
  packHalf: { x: f(7), y: ids(0, 0, 0, 0), n: 7 },
  unpackHalf: { x: ids(0, 0, 0, 0), y: f(7), n: 7 },
  copy: { ...flat, x: f(2 + 12 + 5), y: f(1 + 15), xOffset: 2, yOffset: 1 },
};

/** Extents that must be positive, wherever they occur. */
const extents = [
  ...["batch", "m", "n", "k", "heads", "kvHeads", "headWidth", "queries", "keys", "capacity", "tokens"],
  ...["rows", "cols", "width", "count", "countA", "countB", "segments"],
];

function mustName(message: string, words: string[]): void {
  for (const word of words) {
    if (!new RegExp(`\\b${word}\\b`).test(message)) throw new Error(`the refusal does not name ${word}: ${message}`);
  }
}

/** `args` with one of them another; what is refused need not be of the argument's type. */
function withOne<K extends KernelName>(args: HostArgs<K>, name: string, value: unknown): HostArgs<K> {
  return { ...args, [name]: value };
}

const isArray = (value: unknown): value is HostArray => value instanceof Float32Array || value instanceof Int32Array;

function testRefusals<K extends KernelName>(kernel: K): void {
  const args: HostArgs<K> = accepted[kernel];
  test(`${kernel}: takes buffers exactly as long as needed`, async () => {
    await compute(kernel, args);
  });
  test(`${kernel}: refuses every empty extent, negative, fractional and NaN ones, naming kernel and argument`, async () => {
    for (const [name, value] of Object.entries(args)) {
      if (name === "shape") {
        for (const bad of [
          [0, 1, 3, 5],
          [1, 0, 3, 5],
          [1, 1, -3, 5],
          [1, 1, 3, 0.5],
        ]) {
          mustName(await refusal(kernel, withOne(args, name, bad)), [kernel, name]);
        }
      }
      if (!extents.includes(name) || typeof value !== "number") continue;
      for (const bad of [0, -1, 1.5, Number.NaN])
        mustName(await refusal(kernel, withOne(args, name, bad)), [kernel, name]);
    }
  });
  test(`${kernel}: refuses each buffer one element short or of the other element type, naming kernel and argument`, async () => {
    for (const [name, value] of Object.entries(args)) {
      if (!isArray(value)) continue;
      if (value.length > 1) mustName(await refusal(kernel, withOne(args, name, value.slice(1))), [kernel, name]);
      // a copy moves either type, but both sides must have the same
      const other = value instanceof Float32Array ? Int32Array.from(value) : Float32Array.from(value);
      const message = await refusal(kernel, withOne(args, name, other));
      mustName(message, kernel === "copy" ? [kernel] : [kernel, name]);
    }
  });
}

for (const kernel of Object.keys(accepted) as KernelName[]) testRefusals(kernel);

const refused: { [K in KernelName]?: [string, Partial<HostArgs<K>>][] } = {
  matmul: [["transpose", { transposeA: true, transposeB: true }]],
  attention: [
    ["heads", { heads: 3 }],
    ["queries", { queries: 5 }],
    ["keys", { keys: 6 }],
    ["scale", { scale: Number.NaN }],
  ],
  attentionGrad: [["heads", { heads: 5 }]],
  rotary: [
    ["headWidth", { headWidth: 3 }],
    ["offset", { offset: -1 }],
    ["table", { offset: 3 }],
  ],
  normApply: [
    ["width", { width: 4 }],
    ["eps", { eps: -1 }],
  ],
  dropout: [
    ["probability", { probability: 1 }],
    ["probability", { probability: -0.1 }],
    ["seed", { seed: 2 ** 32 }],
    ["rows", { rowOffset: 2 ** 32 - 2 }],
  ],
  rowMax: [
    ["validCols", { validCols: 6 }],
    ["validCols", { validCols: -1 }],
  ],
  copy: [
    ["xOffset", { xOffset: -1 }],
    ["yStrides", { yStrides: [0, 0, -5, 1] }],
    ["x", { xOffset: 3 }],
  ],
};

function testRefused<K extends KernelName>(kernel: K): void {
  for (const [word, change] of refused[kernel] ?? []) {
    const what = Object.entries(change).map(([name, value]) => `${name} ${value}`);
    test(`${kernel}: refuses ${what.join(", ")}`, async () => {
      const message = await refusal(kernel, { ...accepted[kernel], ...change });
      if (!message.startsWith(kernel) || !message.includes(word))
        throw new Error(`the refusal does not name ${word}: ${message}`);
    });
  }
}

for (const kernel of Object.keys(refused) as KernelName[]) testRefused(kernel);

test.after(closeBackend);
test.run();

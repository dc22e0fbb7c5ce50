// Every kernel of the catalogue takes arguments that just fit and refuses, by name, each that does not.

import { test } from "uvu";
import { match, ok, throws, unreachable } from "uvu/assert";
import type { DeviceBuffer, DType } from "../../src/backend/buffer.ts";
import { checkKernel } from "../../src/backend/check.ts";
import type { KernelArgs, KernelName } from "../../src/backend/kernels.ts";

let ids = 0;
const f32 = (length: number, dtype: DType = "f32"): DeviceBuffer => ({ id: ids++, dtype, length, purpose: "scratch" });
const i32 = (length: number): DeviceBuffer => f32(length, "i32");

const dropout = { probability: 0.25, seed: 1, stream: 2, step: 3 };
// 6 heads in 2 groups of 5 wide: C = (6 + 2 * 2) * 5 = 50. Lengths are written out, not computed as the check does.
const heads = { heads: 6, kvHeads: 2, headWidth: 5 };
const norm = { rows: 3, cols: 7, width: 14, eps: 1e-5 };
const vocabulary = { rows: 3, cols: 7, validCols: 6 };

/** Arguments whose buffers are exactly as long as they must be. */
const fitting: { [K in KernelName]: () => KernelArgs[K] } = {
  matmul: () => ({
    ...{ a: f32(2 * 3 * 4), b: f32(2 * 4 * 5), y: f32(2 * 3 * 5), bias: f32(5), batch: 2, m: 3, n: 5, k: 4 },
    ...{ transposeA: false, transposeB: true, accumulate: false },
  }),
  attention: () => ({
    ...heads,
    ...{ q: f32(2 * 3 * 50), kv: f32(2 * 9 * 50), y: f32(2 * 3 * 30), lse: f32(2 * 6 * 3) },
    ...{ batch: 2, queries: 3, keys: 4, capacity: 9, scale: 0.5 },
    dropout: { ...dropout, batchOffset: 1, headOffset: 6, globalHeads: 12 },
  }),
  attentionGrad: () => ({
    ...heads,
    ...{ qkv: f32(2 * 3 * 50), y: f32(2 * 3 * 30), dy: f32(2 * 3 * 30), lse: f32(36), delta: f32(36) },
    ...{ dqkv: f32(2 * 3 * 50), batch: 2, tokens: 3, scale: 0.5 },
  }),
  rotary: () => ({
    ...{ heads: 6, kvHeads: 2, headWidth: 4, x: f32(8 * 40), table: f32(7 * 4), y: f32(8 * 40) },
    ...{ rows: 8, tokens: 4, offset: 3, inverse: false },
  }),
  normStats: () => ({ x: f32(21), stats: f32(6), rows: 3, cols: 7, kind: "layer" }),
  normApply: () => ({ ...norm, x: f32(21), stats: f32(6), gain: f32(7), bias: f32(7), y: f32(21) }),
  normGradSums: () => ({ ...norm, x: f32(21), stats: f32(6), gain: f32(7), dy: f32(21), sums: f32(6), kind: "rms" }),
  normGradInput: () => ({
    ...{ ...norm, x: f32(21), stats: f32(6), gain: f32(7), dy: f32(21), sums: f32(6), dx: f32(21), accumulate: true },
  }),
  normGradGain: () => ({ ...norm, x: f32(21), stats: f32(6), dy: f32(21), dgain: f32(7), accumulate: false }),
  gelu: () => ({ x: f32(9), y: f32(9), n: 9, form: "tanh" }),
  geluGrad: () => ({ x: f32(9), dy: f32(9), dx: f32(9), n: 9, form: "exact" }),
  siluGate: () => ({ x: f32(18), y: f32(9), n: 9 }),
  siluGateGrad: () => ({ x: f32(18), dy: f32(9), dx: f32(18), n: 9 }),
  dropout: () => ({ ...dropout, x: f32(21), y: f32(21), rows: 3, cols: 7, rowOffset: 5, colOffset: 2 }),
  embedding: () => ({
    ...{ ids: i32(4), table: f32(35), y: f32(28), count: 4, cols: 7, rows: 5, rowOffset: 10, accumulate: false },
  }),
  embeddingGrad: () => ({
    ...{ unique: i32(3), starts: i32(4), order: i32(4), dy: f32(28), dtable: f32(35) },
    ...{ segments: 3, count: 4, cols: 7, rows: 5, rowOffset: 0 },
  }),
  rowMax: () => ({ ...vocabulary, x: f32(21), max: f32(3) }),
  sumExp: () => ({ ...vocabulary, x: f32(21), max: f32(3), targets: i32(3), sums: f32(6), colOffset: 7 }),
  crossEntropy: () => ({ max: f32(3), sums: f32(6), losses: f32(3), rows: 3 }),
  crossEntropyGrad: () => ({
    ...{ ...vocabulary, x: f32(21), max: f32(3), sums: f32(6), targets: i32(3), dy: f32(1), dx: f32(21) },
    ...{ colOffset: 7, scale: 0.1 },
  }),
  sum: () => ({ x: f32(9), partials: f32(256), y: f32(1), n: 9, scale: 1, square: true, accumulate: false }),
  columnSum: () => ({ x: f32(21), y: f32(7), rows: 3, cols: 7, accumulate: false }),
  adamw: () => ({
    ...{
      w: f32(9),
      g: f32(9),
      m: f32(9),
      v: f32(9),
      normSquared: f32(1),
      n: 9,
      learningRate: 1e-3,
      beta1: 0.9,
      beta2: 0.99,
    },
    ...{ eps: 1e-8, weightDecay: 0.1, correction1: 0.1, correction2: 0.01, clip: 1, lossScale: 1 },
  }),
  add: () => ({ a: f32(9), b: f32(9), y: f32(9), n: 9 }),
  maximum: () => ({ x: f32(9), y: f32(9), n: 9 }),
  normMerge: () => ({ a: f32(6), b: f32(6), y: f32(6), rows: 3, countA: 4, countB: 3 }),
  axpy: () => ({ x: f32(9), y: f32(9), n: 9, alpha: -2 }),
  scale: () => ({ x: f32(9), y: f32(9), n: 9, alpha: 0 }),
  fill: () => ({ y: f32(9), n: 9, value: Number.NEGATIVE_INFINITY }),
  packHalf: () => ({ x: f32(9), y: i32(5), n: 9 }),
  unpackHalf: () => ({ x: i32(5), y: f32(9), n: 9 }),
  // furthest of x: 3 + 1*40 + 1*20 + 2*5 + 3*1 = 76; of y: 1 + 1*12 + 1*24 + 2*1 + 3*3 = 48
  copy: () => ({
    ...{ x: f32(77), y: f32(49), shape: [2, 2, 3, 4], xStrides: [40, 20, 5, 1], yStrides: [12, 24, 1, 3] },
    ...{ xOffset: 3, yOffset: 1 },
  }),
};

/** Buffers each kernel writes, each with the inputs that may be the same buffer. */
const outputs: { [K in KernelName]: Partial<Record<keyof KernelArgs[K], string[]>> } = {
  matmul: { y: [] },
  attention: { y: [], lse: [] },
  attentionGrad: { delta: [], dqkv: [] },
  rotary: { y: [] },
  normStats: { stats: [] },
  normApply: { y: [] },
  normGradSums: { sums: [] },
  normGradInput: { dx: [] },
  normGradGain: { dgain: [] },
  gelu: { y: [] },
  geluGrad: { dx: [] },
  siluGate: { y: [] },
  siluGateGrad: { dx: [] },
  dropout: { y: [] },
  embedding: { y: [] },
  embeddingGrad: { dtable: [] },
  rowMax: { max: [] },
  sumExp: { sums: [] },
  crossEntropy: { losses: [] },
  crossEntropyGrad: { dx: ["x"] },
  sum: { partials: [], y: [] },
  columnSum: { y: [] },
  adamw: { w: [], m: [], v: [] },
  add: { y: [] },
  maximum: { y: [] },
  normMerge: { y: [] },
  axpy: { y: [] },
  scale: { y: [] },
  fill: { y: [] },
  packHalf: { y: [] },
  unpackHalf: { y: [] },
  copy: { y: [] },
};

/** Arguments that are sizes: positive integers. */
const sizes = new Set(
  "batch m n k heads kvHeads headWidth queries keys capacity tokens rows cols width count countA countB segments".split(
    " ",
  ),
);
const offsets = new Set("rowOffset colOffset offset xOffset yOffset validCols".split(" "));
const reals = new Set("scale eps alpha learningRate weightDecay clip lossScale".split(" "));

const isBuffer = (value: unknown): value is DeviceBuffer =>
  typeof value === "object" && value !== null && "purpose" in value;

function refused<K extends KernelName>(kernel: K, args: KernelArgs[K], pattern: RegExp): void {
  try {
    checkKernel(kernel, args);
  } catch (error) {
    ok(error instanceof RangeError, `${kernel}: ${error}`);
    match(error.message, pattern);
    return;
  }
  unreachable(`${kernel} took what it must refuse; need ${pattern}`);
}

/** The fitting arguments with some replaced; the types are left behind on purpose, as a JavaScript caller may. */
const but = <K extends KernelName>(kernel: K, change: Record<string, unknown>): KernelArgs[K] => ({
  ...fitting[kernel](),
  ...change,
});

for (const kernel of Object.keys(fitting) as KernelName[]) {
  test(`${kernel}: buffers exactly as long as needed are taken`, () => {
    checkKernel(kernel, fitting[kernel]());
  });

  test(`${kernel}: each buffer one element short, or of the other dtype, is refused by name`, () => {
    const buffers = Object.entries(fitting[kernel]()).filter(([, value]) => isBuffer(value));
    ok(buffers.length > 0);
    for (const [name, buffer] of buffers as [string, DeviceBuffer][]) {
      const short = { ...buffer, length: buffer.length - 1 };
      refused(
        kernel,
        but(kernel, { [name]: short }),
        new RegExp(`^${kernel}: ${name} holds .*, needs .* = ${buffer.length}$`),
      );
      const other = { ...buffer, dtype: buffer.dtype === "f32" ? "i32" : "f32" };
      refused(
        kernel,
        but(kernel, { [name]: other }),
        kernel === "copy" ? /^copy: y holds/ : new RegExp(`^${kernel}: ${name} holds`),
      );
    }
  });

  test(`${kernel}: sizes that are not positive integers, offsets below 0 and reals that are not finite are refused`, () => {
    for (const [name, value] of Object.entries(fitting[kernel]())) {
      if (isBuffer(value)) continue; // adamw's m is one
      if (sizes.has(name)) {
        refused(kernel, but(kernel, { [name]: 0 }), new RegExp(`^${kernel}: ${name} is 0, and empty input is refused`));
        for (const bad of [-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, "3", undefined]) {
          refused(
            kernel,
            but(kernel, { [name]: bad }),
            new RegExp(`^${kernel}: ${name} is ${bad}, needs a positive integer$`),
          );
        }
      }
      if (offsets.has(name)) {
        for (const bad of [-1, 0.5, Number.NaN])
          refused(kernel, but(kernel, { [name]: bad }), new RegExp(`^${kernel}: ${name} is`));
      }
      if (reals.has(name)) {
        for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
          refused(
            kernel,
            but(kernel, { [name]: bad }),
            new RegExp(`^${kernel}: ${name} is ${bad}, needs a finite number$`),
          );
        }
      }
    }
  });

  test(`${kernel}: an output that is another argument's buffer is refused`, () => {
    const large = f32(4096);
    const buffers = fitting[kernel]() as Partial<Record<string, unknown>>;
    for (const [output, shared] of Object.entries(outputs[kernel]) as [string, string[]][]) {
      // Of another type than the inputs: it cannot be their buffer.
      if ((buffers[output] as DeviceBuffer).dtype === "i32") continue;
      for (const [name, buffer] of Object.entries(fitting[kernel]())) {
        if (!isBuffer(buffer) || name === output || buffer.dtype === "i32") continue;
        const args = but(kernel, { [output]: large, [name]: large });
        if (shared.includes(name)) checkKernel(kernel, args);
        else refused(kernel, args, new RegExp(`^${kernel}: \\w+ is \\w+'s own buffer`));
      }
    }
  });
}

test("the message says what was got and what is needed", () => {
  const args = but("matmul", { batch: 1, b: f32(12), transposeB: false });
  throws(() => checkKernel("matmul", args), /^matmul: b holds 12 elements of f32, needs batch \* k \* n = 20$/);
});

test("probability outside [0, 1) and words beyond 32 bits are refused", () => {
  for (const probability of [1, -0.1, Number.NaN])
    refused("dropout", but("dropout", { probability }), /needs \[0, 1\)$/);
  checkKernel("dropout", but("dropout", { probability: 0 }));
  for (const name of ["seed", "stream", "step"]) {
    checkKernel("dropout", but("dropout", { [name]: 2 ** 32 - 1 }));
    for (const bad of [2 ** 32, -1, 0.5]) refused("dropout", but("dropout", { [name]: bad }), new RegExp(`${name} is`));
  }
  refused("dropout", but("dropout", { rowOffset: 2 ** 32 - 2 }), /4294967297 rows/);
  const masked = { ...dropout, batchOffset: 0, headOffset: 7, globalHeads: 12 };
  refused("attention", but("attention", { dropout: masked }), /globalHeads is 12, needs >= headOffset \+ heads = 13/);
  refused("attention", but("attention", { dropout: { ...masked, probability: 1 } }), /probability is 1/);
});

test("shapes that contradict each other are refused", () => {
  refused("matmul", but("matmul", { transposeA: true }), /transposeA and transposeB/);
  refused("attention", but("attention", { kvHeads: 4 }), /6 heads do not divide over 4 kvHeads/);
  refused("attention", but("attention", { queries: 5 }), /queries is 5, needs <= keys = 4/);
  refused("attention", but("attention", { capacity: 3 }), /keys is 4, needs <= capacity = 3/);
  refused("rotary", but("rotary", { headWidth: 3 }), /headWidth is 3, needs an even number/);
  refused("normApply", but("normApply", { width: 6 }), /width is 6, needs >= cols = 7/);
  refused("rowMax", but("rowMax", { validCols: 8 }), /validCols is 8, needs <= cols = 7/);
  refused("embeddingGrad", but("embeddingGrad", { segments: 5 }), /segments is 5, needs <= count = 4/);
  for (const bad of [1, -0.1, Number.NaN]) refused("adamw", but("adamw", { beta2: bad }), /beta2 is/);
  for (const bad of [0, 1.1]) refused("adamw", but("adamw", { correction1: bad }), /correction1 is/);
});

test("padding alone is taken: validCols = 0", () => {
  for (const kernel of ["rowMax", "sumExp", "crossEntropyGrad"] as const)
    checkKernel(kernel, but(kernel, { validCols: 0 }));
});

test("copy: a shape or stride that is no count is refused, and zero strides broadcast", () => {
  refused("copy", but("copy", { shape: [2, 0, 3, 4] }), /shape is 0/);
  refused("copy", but("copy", { xStrides: [40, 20, 5, -1] }), /xStrides is -1/);
  refused("copy", but("copy", { yStrides: [12, 24, 0.5, 3] }), /yStrides is 0.5/);
  checkKernel("copy", but("copy", { x: f32(4), xStrides: [0, 0, 0, 0] }));
});

test("a missing buffer and an unknown kernel are named", () => {
  refused("add", but("add", { b: undefined }), /^add: b is missing/);
  throws(() => checkKernel("convolution" as KernelName, fitting.add()), /no kernel is named convolution/);
});

test("optional arguments may be left out", () => {
  checkKernel("matmul", but("matmul", { bias: undefined }));
  checkKernel("normApply", but("normApply", { bias: undefined }));
  checkKernel("attention", but("attention", { dropout: undefined }));
});

/** Buffers that may be f16 together; the kernel's others stay as they are. */
const halves: { [K in KernelName]?: string[][] } = {
  matmul: [
    ["a", "b"],
    ["a", "b", "y"],
  ],
  attention: [["q", "kv", "y"]],
  attentionGrad: [["qkv", "y", "dy", "dqkv"]],
  rotary: [["x", "y"]],
  normStats: [["x"]],
  normApply: [["x", "y"]],
  normGradSums: [["x", "dy"]],
  normGradInput: [["x", "dy", "dx"]],
  normGradGain: [["x", "dy"]],
  gelu: [["x", "y"]],
  geluGrad: [["x", "dy", "dx"]],
  siluGate: [["x", "y"]],
  siluGateGrad: [["x", "dy", "dx"]],
  dropout: [["x", "y"]],
  embedding: [["table", "y"]],
  embeddingGrad: [["dy"]],
  rowMax: [["x"]],
  sumExp: [["x"]],
  crossEntropyGrad: [["x", "dx"]],
  columnSum: [["x"]],
  add: [["a", "b", "y"]],
  axpy: [["x"], ["x", "y"]],
  scale: [["x"], ["y"], ["x", "y"]],
  fill: [["y"]],
  copy: [["x", "y"]],
};

for (const kernel of Object.keys(fitting) as KernelName[])
  test(`${kernel}: of all choices of buffers in f16 exactly ${(halves[kernel] ?? []).join("; ") || "none"} is taken`, () => {
    const all = Object.entries(fitting[kernel]()).filter((entry): entry is [string, DeviceBuffer] =>
      isBuffer(entry[1]),
    );
    const taken = new Set((halves[kernel] ?? []).map((names) => [...names].sort().join()));
    for (let choice = 1; choice < 2 ** all.length; choice++) {
      const chosen = all.filter((_, i) => (choice >> i) & 1);
      const names = chosen.map(([name]) => name).sort();
      const args = but(kernel, Object.fromEntries(chosen.map(([name, buffer]) => [name, { ...buffer, dtype: "f16" }])));
      if (taken.has(names.join())) checkKernel(kernel, args);
      else refused(kernel, args, /holds (f16|f32|i32)/);
    }
  });

test("adamw's copy of the weights is f16 and as long as they are", () => {
  checkKernel("adamw", but("adamw", { half: f32(9, "f16") }));
  refused("adamw", but("adamw", { half: f32(9) }), /^adamw: half holds f32, needs f16$/);
  refused("adamw", but("adamw", { half: f32(8, "f16") }), /^adamw: half holds 8 elements of f16, needs n = 9$/);
});

test.run();

// What check.ts demands of an argument, one function each. A demand that is met costs a comparison and allocates
// nothing; one that is not throws a RangeError that says what was got and what is needed.

import type { DeviceBuffer, DType } from "./buffer.ts";
import { mayBeHalf } from "./halves.ts";
import type { DropoutArgs, HeadShape, KernelArgs, KernelName } from "./kernels.ts";

const u32Limit = 2 ** 32;

export function size(kernel: KernelName, name: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 1) {
    const why =
      value === 0 ? "is 0, and empty input is refused: skip the call" : `is ${value}, needs a positive integer`;
    throw new RangeError(`${kernel}: ${name} ${why}`);
  }
}

export function offset(kernel: KernelName, name: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0)
    throw new RangeError(`${kernel}: ${name} is ${value}, needs an integer >= 0`);
}

function u32(kernel: KernelName, name: string, value: number): void {
  if (!Number.isInteger(value) || value < 0 || value >= u32Limit) {
    throw new RangeError(`${kernel}: ${name} is ${value}, needs an integer in [0, 2^32)`);
  }
}

export function finite(kernel: KernelName, name: string, value: number): void {
  if (!Number.isFinite(value)) throw new RangeError(`${kernel}: ${name} is ${value}, needs a finite number`);
}

export function atLeast(kernel: KernelName, name: string, value: number, least: number, needs: string): void {
  if (!(value >= least)) throw new RangeError(`${kernel}: ${name} is ${value}, needs >= ${needs} = ${least}`);
}

export function atMost(kernel: KernelName, name: string, value: number, most: number, needs: string): void {
  if (!(value <= most)) throw new RangeError(`${kernel}: ${name} is ${value}, needs <= ${needs} = ${most}`);
}

/** How many buffers of f16 were taken where f32 goes as well: what says, at no cost to kernels of f32 alone, that a call has some. */
export let halvesTaken = 0;

/** `buffer` holds at least `length` elements of `dtype`, or f16 for f32 where the kernel takes that; `shape` is how the catalogue writes that length. */
export function holds(
  kernel: KernelName,
  name: string,
  buffer: DeviceBuffer,
  length: number,
  shape: string,
  dtype: DType = "f32",
): void {
  if (buffer === undefined || buffer === null)
    throw new RangeError(`${kernel}: ${name} is missing, needs a buffer of ${shape} = ${length} ${dtype}`);
  if (buffer.dtype !== dtype) {
    if (buffer.dtype !== "f16" || dtype !== "f32" || !mayBeHalf(kernel, name))
      throw new RangeError(`${kernel}: ${name} holds ${buffer.dtype}, needs ${dtype}`);
    halvesTaken++;
  }
  if (!(buffer.length >= length)) {
    throw new RangeError(
      `${kernel}: ${name} holds ${buffer.length} elements of ${buffer.dtype}, needs ${shape} = ${length}`,
    );
  }
}

export function distinct(
  kernel: KernelName,
  output: string,
  written: DeviceBuffer,
  other: string,
  read: DeviceBuffer | undefined,
): void {
  if (written === read)
    throw new RangeError(`${kernel}: ${output} is ${other}'s own buffer; give the result a buffer of its own`);
}

/** Columns of a fused row. */
export function fusedColumns(kernel: KernelName, shape: HeadShape): number {
  size(kernel, "heads", shape.heads);
  size(kernel, "kvHeads", shape.kvHeads);
  size(kernel, "headWidth", shape.headWidth);
  if (shape.heads % shape.kvHeads !== 0) {
    throw new RangeError(
      `${kernel}: ${shape.heads} heads do not divide over ${shape.kvHeads} kvHeads; use a divisor of ${shape.heads}`,
    );
  }
  return (shape.heads + 2 * shape.kvHeads) * shape.headWidth;
}

export function dropoutArgs(kernel: KernelName, args: DropoutArgs): void {
  if (!(args.probability >= 0 && args.probability < 1)) {
    throw new RangeError(`${kernel}: dropout probability is ${args.probability}, needs [0, 1)`);
  }
  u32(kernel, "seed", args.seed);
  u32(kernel, "stream", args.stream);
  u32(kernel, "step", args.step);
}

/** The masks count rows and columns of the whole in 32 bits. */
export function withinU32(kernel: KernelName, name: string, extent: number): void {
  if (extent > u32Limit)
    throw new RangeError(
      `${kernel}: dropout counts ${extent} ${name}, and its counter has 32 bits; use smaller batches`,
    );
}

export function attentionDropout(
  kernel: KernelName,
  args: KernelArgs["attention"]["dropout"],
  batch: number,
  heads: number,
  tokens: number,
): void {
  if (args === undefined) return;
  dropoutArgs(kernel, args);
  offset(kernel, "batchOffset", args.batchOffset);
  offset(kernel, "headOffset", args.headOffset);
  size(kernel, "globalHeads", args.globalHeads);
  atLeast(kernel, "globalHeads", args.globalHeads, args.headOffset + heads, "headOffset + heads");
  withinU32(kernel, "rows", (batch + args.batchOffset) * args.globalHeads * tokens);
}

/** rows, cols, width and eps of every norm kernel that knows the whole row. */
export function normShape(kernel: KernelName, args: { rows: number; cols: number; width: number; eps: number }): void {
  size(kernel, "rows", args.rows);
  size(kernel, "cols", args.cols);
  size(kernel, "width", args.width);
  atLeast(kernel, "width", args.width, args.cols, "cols");
  finite(kernel, "eps", args.eps);
  atLeast(kernel, "eps", args.eps, 0, "0");
}

export function normKind(kernel: KernelName, kind: string): void {
  if (kind !== "layer" && kind !== "rms") throw new RangeError(`${kernel}: kind is ${kind}, needs "layer" or "rms"`);
}

export function geluForm(kernel: KernelName, form: string): void {
  if (form !== "tanh" && form !== "exact") throw new RangeError(`${kernel}: form is ${form}, needs "tanh" or "exact"`);
}

/** rows, cols and validCols of the softmax kernels; validCols may be 0: a shard that is all padding. */
export function vocabularyShape(kernel: KernelName, args: { rows: number; cols: number; validCols: number }): void {
  size(kernel, "rows", args.rows);
  size(kernel, "cols", args.cols);
  offset(kernel, "validCols", args.validCols);
  atMost(kernel, "validCols", args.validCols, args.cols, "cols");
}

// What tuning knows of a kernel: which calls are alike, the plans there are for them, and how to try one. Knows no device.

import type { DType } from "../../buffer.ts";
import type { KernelArgs, KernelName } from "../../kernels.ts";
import type { DeviceFacts, Dispatch, Workshop } from "../plan.ts";

/** One way to run a kernel. */
export interface Variant<K extends KernelName> {
  readonly name: string;
  readonly plan: (args: KernelArgs[K], device: Workshop) => Dispatch[];
}

/** An array for a trial's buffer; the same one in two places is one buffer. */
export interface Trace {
  readonly dtype: DType;
  readonly data: Float32Array;
}

/** A call on data of the trial's own, and what its results should be. */
export interface Trial<K extends KernelName> {
  /** the call's arguments with arrays in place of buffers */
  readonly args: { readonly [F in keyof KernelArgs[K]]: unknown };
  /** the arguments that are written; their buffers are longer than the kernel may write, see `guard` */
  readonly results: readonly (keyof KernelArgs[K] & string)[];
  /** What is wrong with what was written, or undefined. Looks at samples of the results; whoever calls it has looked for missing ones. */
  wrongIn(results: Readonly<Record<string, Float32Array>>): string | undefined;
}

export interface Family<K extends KernelName> {
  /** Calls of one number are alike: the same form and types, extents of the same power of two, the same divisibility. Runs before every
   *  call of the kernel. */
  classOf(args: KernelArgs[K]): number;
  /** The same in words: the name of the class in tables of choices. */
  nameOf(args: KernelArgs[K]): string;
  /** The plans that can run this call; the first is what the fixed table takes. */
  variants(args: KernelArgs[K], device: DeviceFacts): readonly [Variant<K>, ...Variant<K>[]];
  /** Calls to check a variant with, as large as this one where that fits the limits; the last is also the one to time. */
  trials(args: KernelArgs[K], limits: TrialLimits): readonly Trial<K>[];
}

/** What one call of a trial may take. */
export interface TrialLimits {
  readonly bytes: number;
  readonly flop: number;
}

/** f32 elements behind a result that must stay as they were. */
export const guard = 64;

/** Least e with 2^e >= n. */
export const exponent = (n: number): number => (n <= 1 ? 0 : 32 - Math.clz32(n - 1));

/** Numbers that repeat after a prime many: any stride of a kernel's meets different ones. */
const period = 65521;

/** Uniform in [-1, 1), the same for the same seed; in f16 exact. Mulberry32, Tommy Ettinger 2017. */
export function noise(length: number, { seed, dtype }: { seed: number; dtype: DType }): Trace {
  const data = new Float32Array(length);
  let state = seed;
  for (let i = 0; i < Math.min(length, period); i++) {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    const word = (t ^ (t >>> 14)) >>> 0;
    data[i] = dtype === "f16" ? (word >>> 21) / 2 ** 10 - 1 : word / 2 ** 31 - 1;
  }
  for (let filled = period; filled < length; filled *= 2) data.copyWithin(filled, 0, Math.min(filled, length - filled));
  return { dtype, data };
}

/** A result before the call: NaN, so that an element that is forgotten, or one written behind the end, is seen. */
export const blank = (length: number, dtype: DType): Trace => ({
  dtype,
  data: new Float32Array(length + guard).fill(Number.NaN),
});

/** Unit roundoff of f32; of f16, where WGSL lets a device take either neighbour; and the error of n roundings in a row per sum of magnitudes: Higham, Accuracy and Stability of
 *  Numerical Algorithms, 2nd ed., lemma 3.1. */
export const unit = 2 ** -24;
export const unitHalf = 2 ** -10;
export const gamma = (n: number): number => (n * unit) / (1 - n * unit);

/** `bound` widened by what storing the value in `dtype` adds, with room for the smallest normal f32 and the spacing of small f16. */
export const storedBound = (bound: number, { value, dtype }: { value: number; dtype: DType }): number =>
  dtype === "f16" ? bound + unitHalf * (Math.abs(value) + bound) + 2 ** -24 : bound + 2 ** -126;

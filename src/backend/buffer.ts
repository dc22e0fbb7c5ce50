// A piece of device memory, as kernels and their callers name it.

import type { Purpose } from "./memory.ts";

/** Element types: 4 bytes each, f16 2. Token ids are i32. Only WebGPU has f16, and there only adapters with `shader-f16`: it is a way to
 *  store numbers, kernels compute in f32. */
export type DType = "f32" | "f16" | "i32";
/** How a model's matrices and activations are stored. */
export type FloatType = Exclude<DType, "i32">;
/** What the host has of a buffer: f16 is widened as it is read, and rounded to nearest as it is written. */
export type HostArray = Float32Array | Int32Array;

/** Bytes of so many elements. */
export const bytesOf = ({ dtype, length }: { dtype: DType; length: number }): number =>
  (dtype === "f16" ? 2 : 4) * length;

/** A piece of device memory. Its owner frees it once; nobody reads it after that. */
export interface DeviceBuffer {
  readonly id: number;
  readonly dtype: DType;
  /** elements */
  readonly length: number;
  /** changes by Backend.retag alone */
  readonly purpose: Purpose;
}

// A piece of device memory, as kernels and their callers name it.

import type { Purpose } from "./memory.ts";

/** Element types: 4 bytes each. Token ids are i32. */
export type DType = "f32" | "i32";
export type HostArray = Float32Array | Int32Array;

/** A piece of device memory. Its owner frees it once; nobody reads it after that. */
export interface DeviceBuffer {
  readonly id: number;
  readonly dtype: DType;
  /** elements */
  readonly length: number;
  /** changes by Backend.retag alone */
  readonly purpose: Purpose;
}

// What ranks do in one step, as a graph without times: kernels, sends, receives, and which waits for which.

import type { DType } from "../backend/buffer.ts";
import type { KernelName } from "../backend/kernels.ts";

export const kernelOp = 0;
export const sendOp = 1;
export const receiveOp = 2;
/** The program goes on after what it waits for; takes no time. */
export const goOnOp = 3;

/** A kernel of one size, whoever runs it. */
export interface KernelWork {
  readonly kernel: KernelName;
  readonly flops: number;
  /** read and written */
  readonly bytes: number;
  /** of a product, whose rate depends on its shape */
  readonly product?: {
    readonly dtype: DType;
    readonly batch: number;
    readonly m: number;
    readonly n: number;
    readonly k: number;
  };
}

export interface StepProgram {
  readonly ranks: number;
  /** The ops of rank r, in the order of its program, are first[r] to first[r + 1] - 1. */
  readonly first: Int32Array;
  readonly kinds: Uint8Array;
  /** a kernel's work, a send's or receive's message */
  readonly what: Int32Array;
  /** how many ops each waits for */
  readonly waits: Uint16Array;
  /** those that wait for op i are dependents[dependentsFrom[i]] to dependents[dependentsFrom[i + 1] - 1] */
  readonly dependentsFrom: Int32Array;
  readonly dependents: Int32Array;
  readonly works: readonly KernelWork[];
  readonly messages: {
    /** ranks */
    readonly from: Int32Array;
    readonly to: Int32Array;
    readonly bytes: Float64Array;
    /** the op that ends with the message's arrival */
    readonly receive: Int32Array;
  };
}

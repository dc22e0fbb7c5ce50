// How a kernel becomes passes: exported functions of wasm/, each over items that threads may take in any order.

import type { DeviceBuffer } from "../buffer.ts";
import type { KernelArgs, KernelName } from "../kernels.ts";

export interface Pass {
  /** an export of wasm/index.ts: (args, begin, end, scratch) */
  readonly run: string;
  /** addresses, sizes and scalars alike, f64s to the pass */
  readonly args: readonly number[];
  /** independent pieces of work */
  readonly items: number;
  /** items of a chunk, what a thread takes at a time: what is computed never depends on it */
  readonly grain: number;
}

/** Where things are in the linear memory. */
export interface Places {
  /** @throws RangeError when the buffer was freed or is another backend's */
  at(buffer: DeviceBuffer): number;
  /** Start of room for the passes of this kernel only. */
  temporary(bytes: number): number;
  /** for a choice of grain, never of what is computed */
  readonly threads: number;
}

export type Plan<K extends KernelName> = (args: KernelArgs[K], places: Places) => readonly Pass[];
export type Plans = { readonly [K in KernelName]: Plan<K> };

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
  /** nanoseconds an item takes, by an estimate: how many a thread takes at a time. What is computed never depends on it. */
  readonly cost: number;
}

/** Vectors of four, of n elements. */
export const vectors = (n: number): number => Math.ceil(n / 4);

/** One thread's work in nanoseconds: less is not worth waking another for (2 to 5 microseconds), more may keep the others waiting. */
const least = 10_000;
const most = 50_000;

/** Items of a chunk, what a thread takes at a time. */
export function grainOf({ items, cost }: Pass): number {
  const whole = items * cost;
  // Under 2 `least`, one chunk; then as many of `least` as there are, up to eight: enough to level threads of unequal speed.
  return Math.ceil(items / Math.max(Math.min(Math.floor(whole / least), 8), Math.ceil(whole / most), 1));
}

/** Where things are in the linear memory. */
export interface Places {
  /** @throws RangeError when the buffer was freed or is another backend's */
  at(buffer: DeviceBuffer): number;
  /** Start of room for the passes of this kernel only. */
  temporary(bytes: number): number;
  /** for a choice among passes that compute the same */
  readonly threads: number;
}

export type Plan<K extends KernelName> = (args: KernelArgs[K], places: Places) => readonly Pass[];
export type Plans = { readonly [K in KernelName]: Plan<K> };

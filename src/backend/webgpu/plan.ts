// What a kernel call becomes on WebGPU: a list of dispatches of specialised shaders. Pure data, no device.

import type { SubgroupMatrix } from "../backend.ts";
import type { DeviceBuffer } from "../buffer.ts";
import type { KernelArgs, KernelName } from "../kernels.ts";

/** One dispatch. Names are the shader's own: `constants` replace initialisers of its named consts, `buffers` its storage
 *  bindings, `params` the fields of its `Params` uniform struct (scalars: u32, i32, f32). A name the shader does not have, or
 *  one it has and this lacks, throws. What types its bindings have follows from the buffers, and no plan says it. */
export interface Dispatch {
  /** file name in shaders/ without .wgsl */
  shader: string;
  constants?: Record<string, number | boolean>;
  buffers: Record<string, DeviceBuffer>;
  params?: Record<string, number>;
  workgroups: readonly [number, number, number];
}

/** What a plan may ask of the device it plans for. */
export interface DeviceFacts {
  readonly software: boolean;
  readonly vendor: string;
  readonly architecture: string;
  readonly maxInvocations: number;
  /** threads a subgroup when all have the same number, else 0; 0 also without the feature */
  readonly subgroupSize: number;
  /** threads a subgroup has at most */
  readonly subgroupMaxSize: number;
  /** empty without the feature */
  readonly subgroupMatrices: readonly SubgroupMatrix[];
}

export type Plan<K extends KernelName> = (args: KernelArgs[K], device: Workshop) => Dispatch[];
export type Plans = { [K in KernelName]: Plan<K> };

/** What a plan of several passes has beside the device's facts. */
export interface Workshop extends DeviceFacts {
  /** f32, for what passes of this one call leave each other; contents are undefined. */
  scratch(length: number): DeviceBuffer;
}

/** Takes a plan for a call where several compute the same: see tuning/. Without one, every call takes the table's. */
export interface Chooser {
  /** Another number once calls may get other plans than before. */
  readonly generation: number;
  /** @returns undefined for the table's plan */
  choose<K extends KernelName>(
    kernel: K,
    args: KernelArgs[K],
  ): ((args: KernelArgs[K], device: Workshop) => Dispatch[]) | undefined;
  /** As `Backend.tune`. `submit` hands the device what callers have enqueued so far; it is called before anything else is. */
  tune(submit: () => void): Promise<void> | undefined;
}

/** Workgroups a dispatch may have along one dimension, in every WebGPU implementation. */
export const maxWorkgroups = 65535;

/** A 2-D grid of at least `count` workgroups: the shader's index is workgroup_id.y * num_workgroups.x + workgroup_id.x, guarded. */
export function grid(count: number): [number, number, number] {
  const y = Math.ceil(count / maxWorkgroups);
  return [Math.ceil(count / y), y, 1];
}

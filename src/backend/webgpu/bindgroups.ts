// Bind groups by pipeline and slots, found again without making a key of them: a step of training asks for hundreds that the step
// before has made. Keeps at most a number of them.

import type { Pipeline } from "./pipelines.ts";
import type { Slot } from "./pool.ts";

/** Bind groups kept. A training step of a small model makes some hundreds, one of 64 ranks on one device 20,000. Mesa's lavapipe maps a
 *  page of memory for each, and Linux gives a process 65,530 mappings: beyond them the driver crashes. */
const maxBindGroups = 24_576;

interface Entry {
  readonly pipeline: Pipeline;
  readonly slots: readonly Slot[];
  readonly group: GPUBindGroup;
  /** another one of the same hash */
  readonly next: Entry | undefined;
}

export class BindGroups {
  readonly #device: GPUDevice;
  readonly #uniforms: GPUBuffer;
  readonly #entries = new Map<number, Entry>();
  #count = 0;
  /** Bind groups were dropped that the device still holds. */
  crowded = false;

  constructor(device: GPUDevice, uniforms: GPUBuffer) {
    this.#device = device;
    this.#uniforms = uniforms;
  }

  /** slots: in the order of pipeline.storage, and any behind them. */
  find(pipeline: Pipeline, slots: readonly Slot[]): GPUBindGroup | undefined {
    let entry = this.#entries.get(hashOf(pipeline, slots));
    while (entry && !(entry.pipeline === pipeline && sameSlots(entry.slots, slots))) entry = entry.next;
    return entry?.group;
  }

  make(pipeline: Pipeline, slots: readonly Slot[]): GPUBindGroup {
    const entries: GPUBindGroupEntry[] = pipeline.storage.map(({ binding }, i) => ({
      binding,
      resource: { buffer: slots[i].buffer, offset: slots[i].offset, size: slots[i].bytes },
    }));
    if (pipeline.uniform)
      entries.push({
        binding: pipeline.uniform.binding,
        resource: { buffer: this.#uniforms, size: pipeline.uniform.bytes },
      });
    const group = this.#device.createBindGroup({ label: pipeline.shader, layout: pipeline.layout, entries });
    if (this.#count >= maxBindGroups) {
      this.clear();
      this.crowded = true;
    }
    const hash = hashOf(pipeline, slots);
    this.#entries.set(hash, {
      pipeline,
      slots: slots.slice(0, pipeline.storage.length),
      group,
      next: this.#entries.get(hash),
    });
    this.#count++;
    return group;
  }

  clear(): void {
    this.#entries.clear();
    this.#count = 0;
  }
}

/** 30 bits: an integer that no engine keeps on the heap. */
function hashOf(pipeline: Pipeline, slots: readonly Slot[]): number {
  let hash = pipeline.id;
  for (let i = 0; i < pipeline.storage.length; i++) hash = Math.imul(hash, 0x9e3779b1) ^ slots[i].id;
  return hash & 0x3fffffff;
}

/** Whether `b` begins with `a`. */
function sameSlots(a: readonly Slot[], b: readonly Slot[]): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

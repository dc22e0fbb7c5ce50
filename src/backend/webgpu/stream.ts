// The stream of commands to a device: dispatches gathered into submits of one compute pass each, with their
// uniforms uploaded at once. Knows slots and pipelines, not kernels.

import { BindGroups } from "./bindgroups.ts";
import type { Call, Faults } from "./faults.ts";
import { checkNames, type Pipeline, uniformBytes } from "./pipelines.ts";
import type { Dispatch } from "./plan.ts";
import type { Slot } from "./pool.ts";

/** Uploads after which an empty submit lets the device free its staging memory: writeBuffer alone never does. */
const maxStagedBytes = 32 * 2 ** 20;

/** Bytes from one dispatch's uniforms to the next's: the alignment every device accepts, and room for 64 scalars. */
const stride = uniformBytes;

/** UNIFORM | COPY_DST; the global GPUBufferUsage is missing in Node. */
const uniformUsage = 0x40 | 0x8;

export class Stream {
  #device: GPUDevice;
  #faults: Faults;
  #maxDispatches: number;
  #uniforms: GPUBuffer;
  #u32: Uint32Array;
  #i32: Int32Array;
  #f32: Float32Array;
  #bindGroups: BindGroups;
  #offsets = [0];
  #encoder: GPUCommandEncoder | undefined;
  #pass: GPUComputePassEncoder | undefined;
  #pipeline: Pipeline | undefined;
  #closeScope: ((call: Call) => void) | undefined;
  #firstCall: Call | undefined;
  #lastCall: Call | undefined;
  #dispatches = 0;
  #stagedBytes = 0;
  /** number of the submit being gathered; slots remember it */
  batch = 0;

  constructor({ device, faults, maxDispatches }: { device: GPUDevice; faults: Faults; maxDispatches: number }) {
    this.#device = device;
    this.#faults = faults;
    this.#maxDispatches = maxDispatches;
    const bytes = stride * maxDispatches;
    // One copy on the device is enough: uploads and submits take turns on the queue.
    this.#uniforms = device.createBuffer({ label: "uniforms", size: bytes, usage: uniformUsage });
    this.#bindGroups = new BindGroups(device, this.#uniforms);
    const host = new ArrayBuffer(bytes);
    this.#u32 = new Uint32Array(host);
    this.#i32 = new Int32Array(host);
    this.#f32 = new Float32Array(host);
  }

  /** slots: in the order of pipeline.storage; the array is the caller's again afterwards. */
  dispatch(pipeline: Pipeline, slots: readonly Slot[], dispatch: Dispatch, call: Call): void {
    const { params, workgroups } = dispatch;
    let group = this.#bindGroups.find(pipeline, slots);
    if (!group) {
      // A plan's mistake is the same in every call.
      checkNames(pipeline, dispatch);
      group = this.#bindGroups.make(pipeline, slots);
    }
    const pass = this.#open(call);
    if (pipeline !== this.#pipeline) {
      pass.setPipeline(pipeline.gpu);
      this.#pipeline = pipeline;
    }
    if (pipeline.uniform) {
      const offset = stride * this.#dispatches;
      this.#writeParams(pipeline, params, offset / 4);
      this.#offsets[0] = offset;
      pass.setBindGroup(0, group, this.#offsets);
    } else pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(workgroups[0], workgroups[1], workgroups[2]);
    for (const { whole } of slots) whole.usedBy = this.batch;
    if (++this.#dispatches === this.#maxDispatches) this.submit();
  }

  write(slot: Slot, data: Float32Array | Int32Array | Uint16Array): void {
    // The queue would run an upload before dispatches not yet submitted.
    if (slot.whole.usedBy === this.batch) this.submit();
    this.#device.queue.writeBuffer(slot.buffer, slot.offset, data.buffer, data.byteOffset, data.byteLength);
    this.#stagedBytes += data.byteLength;
    if (this.#stagedBytes > maxStagedBytes && this.#dispatches === 0) {
      this.#device.queue.submit([]);
      this.#stagedBytes = 0;
    }
  }

  /** Ends the batch with a copy of the slot's first bytes. */
  copyOut(slot: Slot, { to, bytes, call }: { to: GPUBuffer; bytes: number; call: Call }): void {
    this.#open(call);
    this.#endPass();
    this.#encoder?.copyBufferToBuffer(slot.buffer, slot.offset, to, 0, bytes);
    this.submit();
  }

  /** Clears `whole` and copies slots into parts of it. */
  move(
    whole: Slot,
    { copies, call }: { copies: readonly { from: Slot; to: Slot; bytes: number }[]; call: Call },
  ): void {
    this.#open(call);
    this.#endPass();
    this.#encoder?.clearBuffer(whole.buffer);
    whole.usedBy = this.batch;
    for (const { from, to, bytes } of copies) {
      this.#encoder?.copyBufferToBuffer(from.buffer, from.offset, to.buffer, to.offset, bytes);
      from.whole.usedBy = this.batch;
    }
  }

  submit(): void {
    if (!this.#encoder || !this.#firstCall || !this.#lastCall) return;
    this.#endPass();
    const { queue } = this.#device;
    if (this.#dispatches > 0) queue.writeBuffer(this.#uniforms, 0, this.#u32.buffer, 0, stride * this.#dispatches);
    queue.submit([this.#encoder.finish()]);
    const [first, last] = [this.#firstCall, this.#lastCall];
    this.#closeScope?.({
      order: first.order,
      text: () => (first === last ? first.text() : `a call from "${first.text()}" to "${last.text()}"`),
    });
    this.#encoder = undefined;
    this.#firstCall = undefined;
    this.#dispatches = 0;
    this.#stagedBytes = 0;
    this.batch++;
  }

  /** Whether bind groups were dropped that the device still holds, since this was last asked. */
  wasCrowded(): boolean {
    const { crowded } = this.#bindGroups;
    this.#bindGroups.crowded = false;
    return crowded;
  }

  /** To be called before any slot's buffer is destroyed. */
  forgetBuffers(): void {
    this.submit();
    this.#bindGroups.clear();
  }

  destroy(): void {
    this.#bindGroups.clear();
    this.#uniforms.destroy();
  }

  #open(call: Call): GPUComputePassEncoder {
    this.#lastCall = call;
    if (!this.#encoder) {
      this.#closeScope = this.#faults.open(["validation"]);
      this.#firstCall = call;
      this.#encoder = this.#device.createCommandEncoder();
    }
    if (!this.#pass) this.#pass = this.#encoder.beginComputePass();
    return this.#pass;
  }

  #endPass(): void {
    this.#pass?.end();
    this.#pass = undefined;
    this.#pipeline = undefined;
  }

  #writeParams(pipeline: Pipeline, params: Dispatch["params"], at: number): void {
    let i = at;
    for (const { name, type } of pipeline.fields) {
      const value = params?.[name];
      if (value === undefined) throw new Error(`${pipeline.shader}.wgsl: Params.${name} is not given`);
      if (type === "f32") this.#f32[i++] = value;
      else if (type === "u32") this.#u32[i++] = value;
      else this.#i32[i++] = value;
    }
  }
}

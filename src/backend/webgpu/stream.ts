// The stream of commands to a device: dispatches gathered into submits of one compute pass each, with their
// uniforms uploaded at once. Knows slots and pipelines, not kernels.

import { nextTurn } from "../turn.ts";
import { BindGroups } from "./bindgroups.ts";
import type { Call, Faults } from "./faults.ts";
import { type Pipeline, uniformBytes } from "./pipelines.ts";
import type { Slot } from "./pool.ts";
import type { PreparedDispatch } from "./prepared.ts";

/** Uploads after which an empty submit lets the device free its staging memory: writeBuffer alone never does. */
const maxStagedBytes = 32 * 2 ** 20;

/** Dispatches a submit. A software adapter takes up to some 20 ms for one, and a submit should stay well under a second; a GPU
 *  wants enough of them to hide the submit's own 10-20 us. */
const maxDispatches = { software: 24, hardware: 128 };

/** Bytes from one dispatch's uniforms to the next's: the alignment every device accepts, and room for 64 scalars. */
const stride = uniformBytes;

/** UNIFORM | COPY_DST; the global GPUBufferUsage is missing in Node. */
const uniformUsage = 0x40 | 0x8;

/** Whoever wants to know when each dispatch ran: timing.ts. */
export interface Timer {
  /** of the pass of the submit's `index`-th dispatch, alone in it */
  pass(index: number): GPUComputePassDescriptor;
  /** Ends the commands of a submit of so many dispatches; what it returns is called when they are submitted. */
  finish(encoder: GPUCommandEncoder, count: number): () => void;
}

export class Stream {
  /** set and left between submits */
  timer: Timer | undefined;
  #device: GPUDevice;
  #faults: Faults;
  readonly maxDispatches: number;
  #uniforms: GPUBuffer;
  #uniformBits: Uint32Array;
  #bindGroups: BindGroups;
  #offsets = [0];
  /** Dispatches of this submit: encoded all together when it ends. One by one, between other work, a step's encoding takes 6% longer. */
  #gathered: PreparedDispatch[] = [];
  #groups: GPUBindGroup[] = [];
  #dispatches = 0;
  /** how many of them are encoded */
  #encoded = 0;
  #encoder: GPUCommandEncoder | undefined;
  #closeScope: ((call: Call) => void) | undefined;
  #firstCall: Call | undefined;
  #lastCall: Call | undefined;
  #stagedBytes = 0;
  /** number of the submit being gathered; slots remember it */
  batch = 0;

  constructor({ device, faults, software }: { device: GPUDevice; faults: Faults; software: boolean }) {
    this.#device = device;
    this.#faults = faults;
    this.maxDispatches = maxDispatches[software ? "software" : "hardware"];
    const bytes = stride * this.maxDispatches;
    // One copy on the device is enough: uploads and submits take turns on the queue.
    this.#uniforms = device.createBuffer({ label: "uniforms", size: bytes, usage: uniformUsage });
    this.#bindGroups = new BindGroups(device, this.#uniforms);
    this.#uniformBits = new Uint32Array(bytes / 4);
  }

  /** slots: in the order of pipeline.storage, and any behind them; the array is the caller's again afterwards. */
  dispatch(dispatch: PreparedDispatch, slots: readonly Slot[], call: Call): void {
    const { pipeline, params } = dispatch;
    const group = this.#bindGroups.find(pipeline, slots) ?? this.#bindGroups.make(pipeline, slots);
    const at = this.#dispatches;
    if (at === 0) this.#submitSoon();
    const from = (stride / 4) * at;
    for (let i = 0; i < params.length; i++) this.#uniformBits[from + i] = params[i];
    this.#gathered[at] = dispatch;
    this.#groups[at] = group;
    this.#firstCall ??= call;
    this.#lastCall = call;
    for (let i = 0; i < pipeline.storage.length; i++) slots[i].whole.usedBy = this.batch;
    if (++this.#dispatches === this.maxDispatches) this.submit();
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
    this.#encode(call).copyBufferToBuffer(slot.buffer, slot.offset, to, 0, bytes);
    this.submit();
  }

  /** Clears `whole` and copies slots into parts of it. */
  move(
    whole: Slot,
    { copies, call }: { copies: readonly { from: Slot; to: Slot; bytes: number }[]; call: Call },
  ): void {
    const encoder = this.#encode(call);
    encoder.clearBuffer(whole.buffer);
    whole.usedBy = this.batch;
    for (const { from, to, bytes } of copies) {
      encoder.copyBufferToBuffer(from.buffer, from.offset, to.buffer, to.offset, bytes);
      from.whole.usedBy = this.batch;
    }
  }

  submit(): void {
    const [first, last] = [this.#firstCall, this.#lastCall];
    if (!first || !last) return;
    const encoder = this.#encode(last);
    const { queue } = this.#device;
    if (this.#dispatches > 0)
      queue.writeBuffer(this.#uniforms, 0, this.#uniformBits.buffer, 0, stride * this.#dispatches);
    const submitted = this.timer?.finish(encoder, this.#dispatches);
    queue.submit([encoder.finish()]);
    submitted?.();
    this.#closeScope?.({
      order: first.order,
      text: () => (first === last ? first.text() : `a call from "${first.text()}" to "${last.text()}"`),
    });
    this.#encoder = undefined;
    this.#firstCall = undefined;
    this.#dispatches = 0;
    this.#encoded = 0;
    this.#stagedBytes = 0;
    this.batch++;
  }

  /** What was gathered begins at the end of this turn of the event loop at the latest: whoever waits for something else than the device,
   *  such as another rank's message, does not say so, and the device should compute meanwhile. */
  #submitSoon(): void {
    const { batch } = this;
    nextTurn(() => {
      if (this.batch === batch) this.submit();
    });
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
    this.#firstCall = undefined;
    this.#bindGroups.clear();
    this.#uniforms.destroy();
  }

  /** The encoder of this submit with all dispatches so far in it, for what `call` adds. */
  #encode(call: Call): GPUCommandEncoder {
    this.#firstCall ??= call;
    this.#lastCall = call;
    if (!this.#encoder) {
      this.#closeScope = this.#faults.open(["validation"]);
      this.#encoder = this.#device.createCommandEncoder();
    }
    if (this.#encoded === this.#dispatches) return this.#encoder;
    let pass: GPUComputePassEncoder | undefined;
    let current: Pipeline | undefined;
    for (let i = this.#encoded; i < this.#dispatches; i++) {
      if (!pass || this.timer) {
        pass?.end();
        pass = this.#encoder.beginComputePass(this.timer?.pass(i));
        current = undefined;
      }
      const { pipeline, workgroups } = this.#gathered[i];
      if (pipeline !== current) pass.setPipeline(pipeline.gpu);
      current = pipeline;
      if (pipeline.uniform) {
        this.#offsets[0] = stride * i;
        pass.setBindGroup(0, this.#groups[i], this.#offsets);
      } else pass.setBindGroup(0, this.#groups[i]);
      pass.dispatchWorkgroups(workgroups[0], workgroups[1], workgroups[2]);
    }
    pass?.end();
    this.#encoded = this.#dispatches;
    return this.#encoder;
  }
}

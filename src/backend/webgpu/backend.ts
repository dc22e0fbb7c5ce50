// Backend on a GPUDevice: buffers from a pool, kernels as the dispatches of plans.ts. In the browser and in
// Node alike; opening a device is device.ts.

import type { AdapterInfo, Backend } from "../backend.ts";
import type { DeviceBuffer, DType, HostArray } from "../buffer.ts";
import { checkKernel } from "../check.ts";
import { collectGarbage } from "../dawn.ts";
import { OutOfMemoryError } from "../errors.ts";
import type { KernelArgs, KernelName } from "../kernels.ts";
import { MemoryAccount, type Purpose } from "../memory.ts";
import { deviceFacts } from "./device.ts";
import { type Call, Faults } from "./faults.ts";
import { checkNames, Pipelines } from "./pipelines.ts";
import type { DeviceFacts, Dispatch, Plan } from "./plan.ts";
import { plans } from "./plans.ts";
import { BufferPool, partAlignment, type Slot, sizeClass } from "./pool.ts";
import { shaders } from "./shaders.ts";
import { Stream } from "./stream.ts";

/** STORAGE | COPY_SRC | COPY_DST and MAP_READ | COPY_DST; the global GPUBufferUsage is missing in Node. */
const storageUsage = 0x80 | 0x4 | 0x8;
const stagingUsage = 0x1 | 0x8;

/** Dispatches a submit. A software adapter takes up to some 20 ms for one, and a submit should stay well under a second; a GPU
 *  wants enough of them to hide the submit's own 10-20 us. */
const maxDispatches = { software: 24, hardware: 128 };

class WebGpuBuffer implements DeviceBuffer {
  constructor(
    readonly id: number,
    readonly dtype: DType,
    readonly length: number,
    public purpose: Purpose,
    readonly owner: WebGpuBackend,
    public slot: Slot | undefined,
  ) {}

  /** the buffer that spans this one and others, see `join` */
  joined: WebGpuBuffer | undefined;
}

export interface WebGpuBackendOptions {
  device: GPUDevice;
  info: AdapterInfo;
  /** What is run in place of shaders/: tests of the errors give broken ones. */
  sources?: Readonly<Record<string, string>>;
  onDispose?: () => void;
}

export class WebGpuBackend implements Backend {
  readonly name = "webgpu";
  readonly adapter: AdapterInfo;
  readonly memory = new MemoryAccount();
  readonly maxBufferBytes: number;
  #device: GPUDevice;
  #facts: DeviceFacts;
  #faults: Faults;
  #pipelines: Pipelines;
  #stream: Stream;
  #pool: BufferPool;
  #staging = new Map<number, GPUBuffer[]>();
  #nextId = 1;
  #disposed = false;
  #onDispose: (() => void) | undefined;
  #call: Call | undefined;
  /** of the dispatch being enqueued */
  #slots: Slot[] = [];
  #resting: Promise<void> | undefined;

  constructor({ device, info, sources = shaders, onDispose }: WebGpuBackendOptions) {
    const { maxBufferSize, maxStorageBufferBindingSize } = device.limits;
    this.adapter = info;
    this.maxBufferBytes = Math.floor(Math.min(maxBufferSize, maxStorageBufferBindingSize) / 16) * 16;
    this.#device = device;
    this.#facts = deviceFacts(info);
    this.#faults = new Faults(device);
    this.#pipelines = new Pipelines(device, this.#faults, sources);
    this.#stream = new Stream({
      device,
      faults: this.#faults,
      maxDispatches: maxDispatches[info.software ? "software" : "hardware"],
    });
    this.#pool = new BufferPool((bytes) => this.#createBuffer(bytes, storageUsage), this.maxBufferBytes);
    this.#onDispose = onDispose;
  }

  allocate({ dtype, length, purpose }: { dtype: DType; length: number; purpose: Purpose }): DeviceBuffer {
    this.#call = this.#faults.call(describeAllocate, purpose, length);
    if (!Number.isInteger(length) || length <= 0)
      throw new RangeError(`allocate: length ${length}; need a positive integer`);
    const bytes = 4 * length;
    if (bytes > this.maxBufferBytes) {
      const text = this.#call.text();
      throw new OutOfMemoryError(
        `${text}: ${this.adapter.description} gives at most ${inUnits(this.maxBufferBytes)} a buffer; ${smaller[purpose]}`,
        text,
      );
    }
    const slot = this.#pool.take(bytes);
    this.memory.reservedBytes = this.#pool.reservedBytes;
    this.memory.take(purpose, bytes);
    return new WebGpuBuffer(this.#nextId++, dtype, length, purpose, this, slot);
  }

  free(buffer: DeviceBuffer): void {
    if (this.#disposed) return; // its memory went with the device
    const slot = this.#slot(buffer);
    this.#pool.give(slot);
    const own = buffer as WebGpuBuffer;
    own.slot = undefined;
    if (own.joined) own.joined.slot = undefined;
    this.memory.give(buffer.purpose, 4 * buffer.length);
  }

  retag(buffer: DeviceBuffer, purpose: Purpose): void {
    this.#slot(buffer);
    this.memory.move(4 * buffer.length, { from: buffer.purpose, to: purpose });
    (buffer as WebGpuBuffer).purpose = purpose;
  }

  join(buffers: readonly DeviceBuffer[]): DeviceBuffer {
    const call = this.#faults.call(describeOther, "join ", `${buffers.length} buffers`);
    this.#call = call;
    let bytes = 0;
    const places = (buffers as WebGpuBuffer[]).map((buffer) => {
      const from = this.#slot(buffer);
      if (buffer.dtype !== buffers[0].dtype)
        throw new RangeError(`join: got ${buffers[0].dtype} and ${buffer.dtype}; need buffers of one type`);
      const offset = Math.ceil(bytes / partAlignment) * partAlignment;
      bytes = offset + 4 * buffer.length;
      return { buffer, from, offset };
    });
    if (!(bytes > 0 && bytes <= this.maxBufferBytes))
      throw new RangeError(`join: ${bytes} bytes; need more than 0 and at most ${this.maxBufferBytes}`);
    const whole = this.#pool.take(bytes);
    const { dtype, purpose } = buffers[0];
    const joined = new WebGpuBuffer(this.#nextId++, dtype, bytes / 4, purpose, this, whole);
    const copies = places.map(({ buffer, from, offset }) => {
      const length = 4 * buffer.length;
      const to = this.#pool.part(whole, { offset, bytes: Math.ceil(length / 16) * 16 });
      buffer.slot = to;
      if (buffer.joined) buffer.joined.slot = undefined;
      buffer.joined = joined;
      return { from, to, bytes: length };
    });
    this.#stream.move(whole, { copies, call });
    for (const { from } of copies) this.#pool.give(from);
    this.memory.reservedBytes = this.#pool.reservedBytes;
    return joined;
  }

  write(buffer: DeviceBuffer, data: HostArray): void {
    this.#faults.call(describeTransfer, "write", data.length);
    const slot = this.#slot(buffer);
    const dtype = data instanceof Float32Array ? "f32" : "i32";
    if (data.length > buffer.length || dtype !== buffer.dtype)
      throw new RangeError(`write: ${data.length} ${dtype} into a buffer of ${buffer.length} ${buffer.dtype}`);
    this.#stream.write(slot, data);
  }

  async read(buffer: DeviceBuffer, length = buffer.length): Promise<HostArray> {
    const call = this.#faults.call(describeTransfer, "read", length);
    const slot = this.#slot(buffer);
    if (!Number.isInteger(length) || length < 0 || length > buffer.length)
      throw new RangeError(`read: ${length} of ${buffer.length} elements`);
    if (length === 0) return buffer.dtype === "f32" ? new Float32Array(0) : new Int32Array(0);
    const bytes = 4 * length;
    this.#call = call;
    const size = sizeClass(bytes);
    const staging = this.#staging.get(size)?.pop() ?? this.#createBuffer(size, stagingUsage);
    this.#stream.copyOut(slot, { to: staging, bytes, call });
    try {
      await staging.mapAsync(1, 0, bytes); // GPUMapMode.READ
    } catch (cause) {
      return this.#faults.explain(call, cause);
    }
    const copy = staging.getMappedRange(0, bytes).slice(0);
    staging.unmap();
    const kept = this.#staging.get(size);
    if (kept) kept.push(staging);
    else this.#staging.set(size, [staging]);
    await this.#faults.settle(call);
    return buffer.dtype === "f32" ? new Float32Array(copy) : new Int32Array(copy);
  }

  run<K extends KernelName>(kernel: K, args: KernelArgs[K]): void {
    const call = this.#faults.call(describeRun, kernel, args);
    checkKernel(kernel, args);
    const plan = plans[kernel] as Plan<K>;
    for (const dispatch of plan(args, this.#facts)) this.#enqueue(dispatch, call);
  }

  /** Enqueues one dispatch outside the catalogue: benchmarks' reference kernels, and tests. */
  dispatch(dispatch: Dispatch): void {
    const call = this.#faults.call(describeOther, "dispatch ", dispatch.shader);
    checkNames(this.#pipelines.get(dispatch.shader, dispatch.constants, call), dispatch);
    this.#enqueue(dispatch, call);
  }

  async sync(): Promise<void> {
    const call = this.#faults.call(describeOther, "sync", "");
    this.#stream.submit();
    try {
      await this.#device.queue.onSubmittedWorkDone();
    } catch (cause) {
      return this.#faults.explain(call, cause);
    }
    await this.#faults.settle(call);
  }

  rest(): Promise<void> | undefined {
    if (this.#stream.wasCrowded()) {
      this.#resting = this.#collect().finally(() => {
        this.#resting = undefined;
      });
    }
    return this.#resting;
  }

  /** What the collector finds is released in a later turn of the event loop, and by the device when it no longer runs. */
  async #collect(): Promise<void> {
    await this.sync();
    collectGarbage();
    await new Promise((resolve) => setTimeout(resolve, 0));
  }

  trim(): void {
    this.#faults.call(describeOther, "trim", "");
    this.#stream.forgetBuffers();
    this.#pool.trim();
    this.memory.reservedBytes = this.#pool.reservedBytes;
    for (const buffers of this.#staging.values()) for (const buffer of buffers) buffer.destroy();
    this.#staging.clear();
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#faults.close();
    this.#stream.destroy();
    this.#device.destroy();
    this.#onDispose?.();
  }

  #enqueue(dispatch: Dispatch, call: Call): void {
    const { shader, constants, buffers } = dispatch;
    const pipeline = this.#pipelines.get(shader, constants, call);
    const { storage } = pipeline;
    const slots = this.#slots;
    slots.length = storage.length;
    for (let i = 0; i < storage.length; i++) {
      const buffer = buffers[storage[i].name];
      if (!buffer) throw new Error(`${shader}.wgsl: no buffer is given for ${storage[i].name}`);
      slots[i] = this.#slot(buffer);
    }
    this.#stream.dispatch(pipeline, slots, dispatch, call);
  }

  #slot(buffer: DeviceBuffer): Slot {
    if (!(buffer instanceof WebGpuBuffer) || buffer.owner !== this)
      throw new Error(`buffer ${buffer.id} belongs to another backend`);
    if (!buffer.slot)
      throw new Error(`buffer ${buffer.id} (${buffer.length} ${buffer.dtype} of ${buffer.purpose}) was freed already`);
    return buffer.slot;
  }

  #createBuffer(size: number, usage: number): GPUBuffer {
    const call = this.#call ?? { order: 0, text: () => "allocate" };
    return this.#faults.scope(call, {
      filters: ["out-of-memory", "validation"],
      body: () => this.#device.createBuffer({ size, usage }),
    });
  }
}

const smaller: Record<Purpose, string> = {
  weights: "use a smaller vocabulary or width, or split the weights over more devices",
  gradients: "use a smaller vocabulary or width, or split the weights over more devices",
  optimizer: "use a smaller vocabulary or width, or split the weights over more devices",
  activations: "use a smaller batch or context, or split them over more devices",
  scratch: "use a smaller batch or context",
};

function inUnits(bytes: number): string {
  if (bytes < 1e4) return `${bytes} B`;
  if (bytes < 1e7) return `${Math.round(bytes / 1e3)} kB`;
  return `${Math.round(bytes / 1e6)} MB`;
}

const describeAllocate = (purpose: string, length: number) => `allocate ${inUnits(4 * length)} for ${purpose}`;
const describeTransfer = (name: string, length: number) => `${name} ${length} elements`;
const describeOther = (name: string, of: string) => name + of;

/** e.g. "run matmul m=768 n=384 k=128": the numbers of a call, which say its shapes. */
function describeRun(kernel: string, args: object): string {
  const numbers = Object.entries(args).filter(([, value]) => typeof value === "number" && Number.isInteger(value));
  return `run ${kernel} ${numbers.map(([name, value]) => `${name}=${value}`).join(" ")}`;
}

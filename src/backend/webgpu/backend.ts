// Backend on a GPUDevice: buffers from a pool, kernels as the dispatches of plans.ts. In the browser and in
// Node alike; opening a device is device.ts.

import type { AdapterInfo, Backend, KernelWatch, ReadBytes } from "../backend.ts";
import { bytesOf, type DeviceBuffer, type DType, type HostArray } from "../buffer.ts";
import { checkKernel } from "../check.ts";
import { OutOfMemoryError } from "../errors.ts";
import { fromF16, toF16 } from "../f16.ts";
import type { KernelArgs, KernelName } from "../kernels.ts";
import { MemoryAccount, type Purpose } from "../memory.ts";
import { collectGarbage, giveWay } from "../node.ts";
import { deviceFacts } from "./device.ts";
import { type Call, Faults } from "./faults.ts";
import { Pipelines } from "./pipelines.ts";
import type { Chooser, Dispatch } from "./plan.ts";
import { BufferPool, partElements, type Slot, sizeClass } from "./pool.ts";
import { PreparedCalls, type PreparedDispatch } from "./prepared.ts";
import { Stream } from "./stream.ts";
import type { Timing } from "./timing.ts";
import { describeAllocate, describeOther, describeRun, describeTransfer, inUnits, smaller } from "./words.ts";

/** STORAGE | COPY_SRC | COPY_DST and MAP_READ | COPY_DST; the global GPUBufferUsage is missing in Node. */
const storageUsage = 0x80 | 0x4 | 0x8;
const stagingUsage = 0x1 | 0x8;

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
  /** the texts of shaders/ by name: as `openDevice` gives them, or with others beside them */
  sources: Readonly<Record<string, string>>;
  /** takes the plans of plans.ts where it is left out */
  chooser?: Chooser;
  onDispose?: () => void;
}

export class WebGpuBackend implements Backend {
  readonly name = "webgpu";
  readonly adapter: AdapterInfo;
  readonly memory = new MemoryAccount();
  readonly maxBufferBytes: number;
  readonly tune?: () => Promise<void> | undefined;
  readonly trace?: (watch: KernelWatch | undefined) => Promise<number>;
  #device: GPUDevice;
  #faults: Faults;
  #calls: PreparedCalls;
  #stream: Stream;
  #pool: BufferPool;
  #staging = new Map<number, GPUBuffer[]>();
  #nextId = 1;
  #disposed = false;
  #timing: Timing | undefined;
  #watch: KernelWatch | undefined;
  #onDispose: (() => void) | undefined;
  #call: Call | undefined;
  /** of the dispatch being enqueued, and older ones behind them */
  #slots: Slot[] = [];
  #resting: Promise<void> | undefined;
  /** lent to the plan of the call under way */
  #lent: DeviceBuffer[] = [];

  constructor({ device, info, sources, chooser, onDispose }: WebGpuBackendOptions) {
    const { maxBufferSize, maxStorageBufferBindingSize } = device.limits;
    this.adapter = info;
    this.maxBufferBytes = Math.floor(Math.min(maxBufferSize, maxStorageBufferBindingSize) / 16) * 16;
    this.#device = device;
    if (chooser) this.tune = () => chooser.tune(() => this.#stream.submit());
    if (info.features.includes("timestamp-query")) this.trace = (watch) => this.#trace(watch);
    this.#faults = new Faults(device);
    this.#calls = new PreparedCalls(new Pipelines(device, this.#faults, sources), {
      facts: deviceFacts(info),
      chooser,
      lend: (length) => this.#lend(length),
    });
    this.#stream = new Stream({ device, faults: this.#faults, software: info.software });
    this.#pool = new BufferPool((bytes) => this.#createBuffer(bytes, storageUsage), this.maxBufferBytes);
    this.#onDispose = onDispose;
  }

  allocate({ dtype, length, purpose }: { dtype: DType; length: number; purpose: Purpose }): DeviceBuffer {
    this.#call = this.#faults.call(describeAllocate, purpose, bytesOf({ dtype, length }));
    if (!Number.isInteger(length) || length <= 0)
      throw new RangeError(`allocate: length ${length}; need a positive integer`);
    if (dtype === "f16" && !this.adapter.features.includes("shader-f16"))
      throw new RangeError(`allocate: ${this.adapter.description} has no shader-f16; use f32`);
    const bytes = bytesOf({ dtype, length });
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
    this.memory.give(buffer.purpose, bytesOf(buffer));
  }

  retag(buffer: DeviceBuffer, purpose: Purpose): void {
    this.#slot(buffer);
    this.memory.move(bytesOf(buffer), { from: buffer.purpose, to: purpose });
    (buffer as WebGpuBuffer).purpose = purpose;
  }

  join(buffers: readonly DeviceBuffer[]): DeviceBuffer {
    const call = this.#faults.call(describeOther, "join ", `${buffers.length} buffers`);
    this.#call = call;
    if (buffers.length === 0) throw new RangeError("join: 0 buffers; need at least one");
    const { dtype, purpose } = buffers[0];
    let length = 0;
    const places = (buffers as WebGpuBuffer[]).map((buffer) => {
      const from = this.#slot(buffer);
      if (buffer.dtype !== dtype)
        throw new RangeError(`join: got ${dtype} and ${buffer.dtype}; need buffers of one type`);
      const start = Math.ceil(length / partElements) * partElements;
      length = start + buffer.length;
      return { buffer, from, offset: bytesOf({ dtype, length: start }) };
    });
    const bytes = bytesOf({ dtype, length });
    if (bytes > this.maxBufferBytes) throw new RangeError(`join: ${bytes} bytes; need at most ${this.maxBufferBytes}`);
    const whole = this.#pool.take(bytes);
    const joined = new WebGpuBuffer(this.#nextId++, dtype, length, purpose, this, whole);
    const copies = places.map(({ buffer, from, offset }) => {
      const own = Math.ceil(bytesOf(buffer) / 16) * 16;
      const to = this.#pool.part(whole, { offset, bytes: own });
      buffer.slot = to;
      if (buffer.joined) buffer.joined.slot = undefined;
      buffer.joined = joined;
      return { from, to, bytes: wordsOf(bytesOf(buffer)) };
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
    const { dtype: stored, length } = buffer;
    if (data.length > length || !(dtype === stored || (dtype === "f32" && stored === "f16")))
      throw new RangeError(`write: ${data.length} ${dtype} into a buffer of ${length} ${stored}`);
    if (stored !== "f16") {
      this.#stream.write(slot, data);
      return;
    }
    // An upload is of whole words: behind an odd number there is one element more, that must not be somebody's.
    if (data.length % 2 === 1 && data.length < length)
      throw new RangeError(`write: ${data.length} of ${length} f16; need an even number, or all of them`);
    const bits = new Uint16Array(data.length + (data.length % 2));
    bits.set(toF16(data as Float32Array));
    this.#stream.write(slot, bits);
  }

  async read(buffer: DeviceBuffer, length = buffer.length): Promise<HostArray> {
    const { buffer: bytes } = await this.readBytes(buffer, { length, room: 0 });
    if (buffer.dtype === "f16") return fromF16(new Uint16Array(bytes));
    return buffer.dtype === "f32" ? new Float32Array(bytes) : new Int32Array(bytes);
  }

  async readBytes(buffer: DeviceBuffer, { length, room, into }: ReadBytes): Promise<Uint8Array<ArrayBuffer>> {
    const call = this.#faults.call(describeTransfer, "read", length);
    const slot = this.#slot(buffer);
    if (!Number.isInteger(length) || length < 0 || length > buffer.length)
      throw new RangeError(`read: ${length} of ${buffer.length} elements`);
    const total = room + bytesOf({ dtype: buffer.dtype, length });
    const result = into ? into.subarray(0, total) : new Uint8Array(total);
    if (length === 0) return result;
    const bytes = wordsOf(result.length - room);
    this.#call = call;
    const size = sizeClass(bytes);
    const staging = this.#staging.get(size)?.pop() ?? this.#createBuffer(size, stagingUsage);
    this.#stream.copyOut(slot, { to: staging, bytes, call });
    try {
      await this.#wait(staging.mapAsync(1, 0, bytes)); // GPUMapMode.READ
    } catch (cause) {
      return this.#faults.explain(call, cause);
    }
    result.set(new Uint8Array(staging.getMappedRange(0, bytes), 0, result.length - room), room);
    staging.unmap();
    const kept = this.#staging.get(size);
    if (kept) kept.push(staging);
    else this.#staging.set(size, [staging]);
    await this.#faults.settle(call);
    return result;
  }

  run<K extends KernelName>(kernel: K, args: KernelArgs[K]): void {
    const call = this.#faults.call(describeRun, kernel, args);
    checkKernel(kernel, args);
    const dispatches = this.#calls.prepare(kernel, args, call);
    this.#timing?.kernel(dispatches.length, this.#watch?.(kernel, args));
    for (let i = 0; i < dispatches.length; i++) this.#enqueue(dispatches[i], call);
    // Whoever gets this memory next uses it after the dispatches above.
    for (let buffer = this.#lent.pop(); buffer; buffer = this.#lent.pop()) this.free(buffer);
  }

  /** Enqueues one dispatch outside the catalogue: benchmarks' reference kernels, and tests. */
  dispatch(dispatch: Dispatch): void {
    const call = this.#faults.call(describeOther, "dispatch ", dispatch.shader);
    this.#timing?.kernel(1);
    this.#enqueue(this.#calls.single(dispatch, call), call);
  }

  async #trace(watch: KernelWatch | undefined): Promise<number> {
    const call = this.#faults.call(describeOther, "trace", "");
    this.#stream.submit();
    const before = this.#timing;
    this.#use(undefined);
    try {
      await before?.end();
      if (!watch) return 0;
      const { startTiming } = await import("./timing.ts");
      const timing = await startTiming(this.#device, this.#stream.maxDispatches);
      this.#stream.submit();
      this.#watch = watch;
      this.#use(timing);
      return timing.withinUs;
    } catch (cause) {
      return this.#faults.explain(call, cause);
    }
  }

  #use(timing: Timing | undefined): void {
    this.#timing = timing;
    this.#stream.timer = timing;
  }

  async sync(): Promise<void> {
    const call = this.#faults.call(describeOther, "sync", "");
    this.#stream.submit();
    try {
      await this.#wait(this.#device.queue.onSubmittedWorkDone());
    } catch (cause) {
      return this.#faults.explain(call, cause);
    }
    await this.#faults.settle(call);
  }

  #wait(done: Promise<unknown>): Promise<unknown> {
    return this.adapter.software ? giveWay(done) : done;
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

  /** A dispatch of the call that was read or prepared last. */
  #enqueue(dispatch: PreparedDispatch, call: Call): void {
    const { bound } = dispatch;
    for (let i = 0; i < bound.length; i++) this.#slots[i] = this.#slot(this.#calls.buffer(bound[i]));
    this.#stream.dispatch(dispatch, this.#slots, call);
  }

  #lend(length: number): DeviceBuffer {
    const buffer = this.allocate({ dtype: "f32", length, purpose: "scratch" });
    this.#lent.push(buffer);
    return buffer;
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

/** Bytes of the whole words that hold so many: what copies and uploads are made of. */
const wordsOf = (bytes: number): number => Math.ceil(bytes / 4) * 4;

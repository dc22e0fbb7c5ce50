// The backend that computes on the CPU, in the calling thread, in any browser and in Node. It owns buffers in one
// linear memory and runs the kernels of kernels/; it imports nothing of Node and starts no thread.

import type { AdapterInfo, Backend } from "../backend.ts";
import type { DeviceBuffer, DType, HostArray } from "../buffer.ts";
import { checkKernel } from "../check.ts";
import { OutOfMemoryError } from "../errors.ts";
import type { KernelArgs, KernelName } from "../kernels.ts";
import { MemoryAccount, type Purpose } from "../memory.ts";
import type { Kernel, Kernels, Views } from "./kernels/kernel.ts";
import { kernels } from "./kernels/table.ts";
import { addressableBytes, LinearMemory } from "./memory.ts";

/** Who multiplies matrices. */
export interface Products {
  /** plain loops when absent */
  readonly matmul?: Kernel<"matmul">;
  /** who, from which size on, and why: ends the adapter's description */
  readonly description: string;
}

export interface CpuOptions {
  /** most bytes of all buffers together; 4 GiB, what 32-bit addresses reach, by default */
  maxBytes?: number;
  products?: Products;
}

/** Buffers in linear memory, kernels as plain loops. `run` has finished when it returns. */
export function createCpuBackend(options: CpuOptions = {}): Backend {
  return new CpuBackend(options);
}

const bytesPerElement = 4;

/** Least time between two turns of the event loop: a page's frame or two. A turn costs a browser up to 4 ms. */
const turnMs = 30;

class CpuBuffer implements DeviceBuffer {
  freed = false;
  /** Made again when the memory has grown. */
  view: HostArray;
  constructor(
    readonly id: number,
    readonly dtype: DType,
    readonly length: number,
    public purpose: Purpose,
    readonly start: number,
    readonly owner: CpuBackend,
  ) {
    this.view = owner.viewOf(this);
  }
}

class CpuBackend implements Backend, Views {
  readonly name = "cpu";
  readonly adapter: AdapterInfo;
  readonly memory = new MemoryAccount();
  readonly maxBufferBytes: number;
  readonly #linear: LinearMemory;
  readonly #live = new Set<CpuBuffer>();
  readonly #kernels: Kernels;
  #nextId = 1;
  #lastTurn = 0;

  constructor({ maxBytes = addressableBytes, products }: CpuOptions) {
    this.#linear = new LinearMemory({ maxBytes });
    this.memory.reservedBytes = this.#linear.bytes.byteLength;
    this.maxBufferBytes = this.#linear.maxBytes;
    this.#kernels = products?.matmul ? { ...kernels, matmul: products.matmul } : kernels;
    this.adapter = {
      description: `cpu, plain loops in one thread${products ? `; ${products.description}` : ""}`,
      vendor: "",
      architecture: "",
      software: true,
      features: [],
      limits: { maxBufferBytes: this.maxBufferBytes },
    };
  }

  allocate({ dtype, length, purpose }: { dtype: DType; length: number; purpose: Purpose }): DeviceBuffer {
    if (!Number.isSafeInteger(length) || length < 1) {
      throw new RangeError(`allocate: length is ${length}, needs a positive integer of elements`);
    }
    const byteLength = length * bytesPerElement;
    if (byteLength > this.maxBufferBytes) {
      throw new OutOfMemoryError(
        `allocate: asked for ${byteLength} bytes, but a buffer of the cpu backend has at most ${this.maxBufferBytes}; use a smaller batch, context or model`,
        "allocate",
      );
    }
    const start = this.#linear.allocate(byteLength);
    this.memory.reservedBytes = this.#linear.bytes.byteLength;
    this.memory.take(purpose, byteLength);
    const buffer = new CpuBuffer(this.#nextId++, dtype, length, purpose, start, this);
    this.#live.add(buffer);
    return buffer;
  }

  free(buffer: DeviceBuffer): void {
    const own = this.#own(buffer, "free");
    own.freed = true;
    this.#live.delete(own);
    const byteLength = own.length * bytesPerElement;
    this.#linear.free(own.start, byteLength);
    this.memory.give(own.purpose, byteLength);
  }

  retag(buffer: DeviceBuffer, purpose: Purpose): void {
    const own = this.#own(buffer, "retag");
    this.memory.move(own.length * bytesPerElement, { from: own.purpose, to: purpose });
    own.purpose = purpose;
  }

  write(buffer: DeviceBuffer, data: HostArray): void {
    const view = this.#view(this.#own(buffer, "write"));
    const dtype = data instanceof Float32Array ? "f32" : "i32";
    if (dtype !== buffer.dtype || data.length > buffer.length) {
      throw new RangeError(
        `write: got ${data.length} elements of ${dtype}, buffer ${buffer.id} holds ${buffer.length} of ${buffer.dtype}`,
      );
    }
    view.set(data);
  }

  /** Kernels never return to the event loop by themselves: now and then whoever waits for them (timers, signals, painting) gets a turn. */
  async #turn(): Promise<void> {
    if (performance.now() - this.#lastTurn < turnMs) return;
    await new Promise((resolve) => setTimeout(resolve, 0));
    this.#lastTurn = performance.now();
  }

  async read(buffer: DeviceBuffer, length: number = buffer.length): Promise<HostArray> {
    const view = this.#view(this.#own(buffer, "read"));
    if (!Number.isInteger(length) || length < 0 || length > buffer.length) {
      throw new RangeError(`read: asked for ${length} elements, buffer ${buffer.id} holds ${buffer.length}`);
    }
    const values = view.slice(0, length);
    await this.#turn();
    return values;
  }

  run<K extends KernelName>(kernel: K, args: KernelArgs[K]): void {
    checkKernel(kernel, args);
    const compute: Kernel<K> = this.#kernels[kernel];
    compute(args, this);
  }

  async sync(): Promise<void> {}

  rest(): undefined {}

  /** Nothing to give back: a linear memory never shrinks. */
  trim(): void {}

  dispose(): void {
    for (const buffer of this.#live) this.free(buffer);
  }

  f32(buffer: DeviceBuffer): Float32Array {
    return this.#view(this.#own(buffer, "run")) as Float32Array;
  }

  i32(buffer: DeviceBuffer): Int32Array {
    return this.#view(this.#own(buffer, "run")) as Int32Array;
  }

  viewOf({ dtype, start, length }: CpuBuffer): HostArray {
    const View = dtype === "f32" ? Float32Array : Int32Array;
    return new View(this.#linear.bytes, start, length);
  }

  #own(buffer: DeviceBuffer, call: string): CpuBuffer {
    if (!(buffer instanceof CpuBuffer) || buffer.owner !== this) {
      throw new RangeError(
        `${call}: buffer ${buffer.id} belongs to another backend; use buffers of the backend that is called`,
      );
    }
    if (buffer.freed) throw new RangeError(`${call}: buffer ${buffer.id} (${buffer.purpose}) was freed already`);
    return buffer;
  }

  #view(buffer: CpuBuffer): HostArray {
    if (buffer.view.buffer !== this.#linear.bytes) buffer.view = this.viewOf(buffer);
    return buffer.view;
  }
}

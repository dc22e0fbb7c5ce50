// The backend that computes on the CPU, in the calling thread, in any browser and in Node. It owns buffers in one
// linear memory and runs the kernels of kernels/; it imports nothing of Node and starts no thread.

import type { AdapterInfo, Backend, KernelWatch, ReadBytes } from "../backend.ts";
import type { DeviceBuffer, DType, HostArray } from "../buffer.ts";
import { checkKernel } from "../check.ts";
import { nowUs } from "../clock.ts";
import type { KernelArgs, KernelName } from "../kernels.ts";
import type { MemoryAccount, Purpose } from "../memory.ts";
import { type LinearBuffer, LinearBuffers } from "./buffers.ts";
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

/** Least time between two turns of the event loop: a page's frame or two. A turn costs a browser up to 4 ms. */
const turnMs = 30;

class CpuBackend implements Backend, Views {
  readonly name = "cpu";
  readonly adapter: AdapterInfo;
  readonly memory: MemoryAccount;
  readonly maxBufferBytes: number;
  readonly #memory: WebAssembly.Memory;
  readonly #buffers: LinearBuffers;
  readonly #kernels: Kernels;
  #lastTurn = 0;
  #watch: KernelWatch | undefined;

  constructor({ maxBytes = addressableBytes, products }: CpuOptions) {
    const { memory, linear } = LinearMemory.create(maxBytes);
    this.#memory = memory;
    this.#buffers = new LinearBuffers(linear);
    this.memory = this.#buffers.account;
    this.maxBufferBytes = linear.maxBytes;
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

  allocate(spec: { dtype: DType; length: number; purpose: Purpose }): DeviceBuffer {
    return this.#buffers.allocate(spec);
  }

  free(buffer: DeviceBuffer): void {
    this.#buffers.free(buffer);
  }

  retag(buffer: DeviceBuffer, purpose: Purpose): void {
    this.#buffers.retag(buffer, purpose);
  }

  write(buffer: DeviceBuffer, data: HostArray): void {
    this.#view(this.#buffers.toWrite(buffer, data)).set(data);
  }

  /** Kernels never return to the event loop by themselves: now and then whoever waits for them (timers, signals, painting) gets a turn. */
  async #turn(): Promise<void> {
    if (performance.now() - this.#lastTurn < turnMs) return;
    await new Promise((resolve) => setTimeout(resolve, 0));
    this.#lastTurn = performance.now();
  }

  async read(buffer: DeviceBuffer, length: number = buffer.length): Promise<HostArray> {
    const values = this.#view(this.#buffers.toRead(buffer, length)).slice(0, length);
    await this.#turn();
    return values;
  }

  async readBytes(buffer: DeviceBuffer, { length, room, into }: ReadBytes): Promise<Uint8Array<ArrayBuffer>> {
    const { buffer: memory, byteOffset } = this.#view(this.#buffers.toRead(buffer, length));
    const bytes = into ? into.subarray(0, room + 4 * length) : new Uint8Array(room + 4 * length);
    bytes.set(new Uint8Array(memory, byteOffset, 4 * length), room);
    await this.#turn();
    return bytes;
  }

  run<K extends KernelName>(kernel: K, args: KernelArgs[K]): void {
    checkKernel(kernel, args);
    const compute: Kernel<K> = this.#kernels[kernel];
    const ran = this.#watch?.(kernel, args);
    const startUs = ran ? nowUs() : 0;
    compute(args, this);
    ran?.(startUs, nowUs());
  }

  async trace(watch: KernelWatch | undefined): Promise<number> {
    this.#watch = watch;
    return 0;
  }

  async sync(): Promise<void> {}

  rest(): undefined {}

  /** Nothing to give back: a linear memory never shrinks. */
  trim(): void {}

  dispose(): void {
    this.#buffers.freeAll();
  }

  f32(buffer: DeviceBuffer): Float32Array {
    return this.#view(this.#buffers.own(buffer, "run")) as Float32Array;
  }

  i32(buffer: DeviceBuffer): Int32Array {
    return this.#view(this.#buffers.own(buffer, "run")) as Int32Array;
  }

  #view(buffer: LinearBuffer): HostArray {
    const bytes = this.#memory.buffer;
    if (buffer.view?.buffer === bytes) return buffer.view;
    const { dtype, start, length } = buffer;
    buffer.view = dtype === "f32" ? new Float32Array(bytes, start, length) : new Int32Array(bytes, start, length);
    return buffer.view;
  }
}

// A backend without values: buffers have types, lengths and purposes, kernels are checked and told of. The same training step on it is
// a simulation's input.

import type { AdapterInfo, Backend } from "../backend.ts";
import { bytesOf, type DeviceBuffer, type DType, type HostArray } from "../buffer.ts";
import { checkKernel } from "../check.ts";
import type { KernelArgs, KernelName } from "../kernels.ts";
import { MemoryAccount, type Purpose } from "../memory.ts";

export class MetaBuffer implements DeviceBuffer {
  /** whatever somebody who follows the kernels notes of it; -1 at first */
  note = -1;

  constructor(
    readonly id: number,
    readonly dtype: DType,
    readonly length: number,
    public purpose: Purpose,
    public freed = false,
  ) {}
}

const adapter: AdapterInfo = {
  description: "no device: shapes alone",
  vendor: "",
  architecture: "",
  software: false,
  features: ["shader-f16"],
  limits: {},
};

/** Told of every kernel as it is asked for. */
export type OnKernel = <K extends KernelName>(kernel: K, args: KernelArgs[K]) => void;

export class MetaBackend implements Backend {
  readonly name = "meta";
  readonly valueless = true;
  readonly adapter = adapter;
  readonly memory = new MemoryAccount();
  readonly maxBufferBytes = Number.MAX_SAFE_INTEGER;
  readonly #onKernel: OnKernel | undefined;
  #nextId = 1;

  constructor({ onKernel }: { onKernel?: OnKernel } = {}) {
    this.#onKernel = onKernel;
  }

  allocate({ dtype, length, purpose }: { dtype: DType; length: number; purpose: Purpose }): DeviceBuffer {
    const buffer = new MetaBuffer(this.#nextId++, dtype, length, purpose);
    this.memory.take(purpose, bytesOf(buffer));
    return buffer;
  }

  free(buffer: DeviceBuffer): void {
    this.#live(buffer).freed = true;
    this.memory.give(buffer.purpose, bytesOf(buffer));
  }

  retag(buffer: DeviceBuffer, purpose: Purpose): void {
    this.memory.move(bytesOf(buffer), { from: buffer.purpose, to: purpose });
    this.#live(buffer).purpose = purpose;
  }

  write(buffer: DeviceBuffer, data: HostArray): void {
    this.#live(buffer);
    if (data.length > buffer.length)
      throw new RangeError(`write: ${data.length} elements into a buffer of ${buffer.length}`);
  }

  /** Zeros. */
  async read(buffer: DeviceBuffer, length = buffer.length): Promise<HostArray> {
    this.#live(buffer);
    return buffer.dtype === "i32" ? new Int32Array(length) : new Float32Array(length);
  }

  /** Zeros. */
  async readBytes(
    buffer: DeviceBuffer,
    { length, room }: { length: number; room: number },
  ): Promise<Uint8Array<ArrayBuffer>> {
    this.#live(buffer);
    return new Uint8Array(room + bytesOf({ dtype: buffer.dtype, length }));
  }

  run<K extends KernelName>(kernel: K, args: KernelArgs[K]): void {
    checkKernel(kernel, args);
    this.#onKernel?.(kernel, args);
  }

  async sync(): Promise<void> {}

  rest(): undefined {}

  trim(): void {}

  dispose(): void {}

  #live(buffer: DeviceBuffer): MetaBuffer {
    if (!(buffer instanceof MetaBuffer)) throw new Error(`buffer ${buffer.id} belongs to another backend`);
    if (buffer.freed) throw new Error(`buffer ${buffer.id} (${buffer.length} ${buffer.dtype}) was freed already`);
    return buffer;
  }
}

// One device for several ranks of a process: each rank sees a backend with a memory account of its own, and may read a buffer that
// another rank lent it. What a rank holds, lent to it or its own, is counted as if it had a device to itself.

import type { AdapterInfo, Backend } from "./backend.ts";
import type { DeviceBuffer, DType, HostArray } from "./buffer.ts";
import { invariant } from "./errors.ts";
import type { KernelArgs, KernelName } from "./kernels.ts";
import { MemoryAccount, type Purpose } from "./memory.ts";

/** How many ranks read a buffer beside its owner, and whether the owner has let go of it meanwhile. */
interface Loan {
  borrowers: number;
  abandoned: boolean;
}

/** A rank's share of a device. Disposing it leaves the device alone: that belongs to whoever opened it. */
export class SharedBackend implements Backend {
  readonly memory = new MemoryAccount();
  readonly #device: Backend;
  readonly #loans: Map<DeviceBuffer, Loan>;

  private constructor(device: Backend, loans: Map<DeviceBuffer, Loan>) {
    this.#device = device;
    this.#loans = loans;
  }

  /** `count` ranks on one device. */
  static divide(device: Backend, count: number): SharedBackend[] {
    const loans = new Map<DeviceBuffer, Loan>();
    return Array.from({ length: count }, () => new SharedBackend(device, loans));
  }

  get name(): Backend["name"] {
    return this.#device.name;
  }

  get adapter(): AdapterInfo {
    return this.#device.adapter;
  }

  get maxBufferBytes(): number {
    return this.#device.maxBufferBytes;
  }

  allocate(spec: { dtype: DType; length: number; purpose: Purpose }): DeviceBuffer {
    const buffer = this.#device.allocate(spec);
    this.memory.take(spec.purpose, 4 * buffer.length);
    return buffer;
  }

  free(buffer: DeviceBuffer): void {
    this.memory.give(buffer.purpose, 4 * buffer.length);
    const loan = this.#loans.get(buffer);
    if (loan) loan.abandoned = true;
    else this.#device.free(buffer);
  }

  retag(buffer: DeviceBuffer, purpose: Purpose): void {
    this.memory.move(4 * buffer.length, { from: buffer.purpose, to: purpose });
    this.#device.retag(buffer, purpose);
  }

  /** Another rank of the same device reads `buffer` until it calls what this returns. Nobody may write it meanwhile. */
  borrow(buffer: DeviceBuffer): () => void {
    const loan = this.#loans.get(buffer) ?? { borrowers: 0, abandoned: false };
    this.#loans.set(buffer, loan);
    loan.borrowers++;
    this.memory.take("scratch", 4 * buffer.length);
    return () => {
      this.memory.give("scratch", 4 * buffer.length);
      if (--loan.borrowers > 0) return;
      this.#loans.delete(buffer);
      if (loan.abandoned) this.#device.free(buffer);
    };
  }

  write(buffer: DeviceBuffer, data: HostArray): void {
    this.#device.write(buffer, data);
  }

  read(buffer: DeviceBuffer, length?: number): Promise<HostArray> {
    return this.#device.read(buffer, length);
  }

  run<K extends KernelName>(kernel: K, args: KernelArgs[K]): void {
    // The one buffer that is both lent and written in place: a rank that still multiplied by it would see half a step.
    if (kernel === "adamw")
      invariant(!this.#loans.has((args as KernelArgs["adamw"]).w), "a weight is updated while another rank reads it");
    this.#device.run(kernel, args);
  }

  sync(): Promise<void> {
    return this.#device.sync();
  }

  trim(): void {
    this.#device.trim();
  }

  dispose(): void {}
}

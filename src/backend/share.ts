// One device for several ranks of a process: each rank sees a backend with a memory account of its own, and may read a buffer that
// another rank lent it. What a rank holds, lent to it or its own, is counted as if it had a device to itself.

import type { AdapterInfo, Backend, KernelWatch, ReadBytes } from "./backend.ts";
import { bytesOf, type DeviceBuffer, type DType, type HostArray } from "./buffer.ts";
import { invariant } from "./errors.ts";
import type { KernelArgs, KernelName } from "./kernels.ts";
import { MemoryAccount, type Purpose } from "./memory.ts";
import { SharedTrace } from "./shared-trace.ts";

/** Who reads a buffer beside its owner, and whether the owner has let go of it meanwhile. */
interface Readers {
  count: number;
  abandoned: boolean;
}

/** Leave to read a buffer of another rank's, which nobody writes or frees before the end. */
export class Loan {
  readonly #device: Backend;
  readonly #all: Map<DeviceBuffer, Readers>;

  constructor(
    readonly buffer: DeviceBuffer,
    { device, all }: { device: Backend; all: Map<DeviceBuffer, Readers> },
  ) {
    this.#device = device;
    this.#all = all;
    const readers = all.get(buffer);
    if (readers) readers.count++;
    else all.set(buffer, { count: 1, abandoned: false });
  }

  end(): void {
    const readers = this.#all.get(this.buffer);
    invariant(readers, "a loan ended twice");
    if (--readers.count > 0) return;
    this.#all.delete(this.buffer);
    if (readers.abandoned) this.#device.free(this.buffer);
  }
}

/** A rank's share of a device. Disposing it frees what the rank holds, and ends its use of the device; the device itself belongs to
 *  whoever opened it. */
export class SharedBackend implements Backend {
  readonly memory = new MemoryAccount();
  readonly #device: Backend;
  readonly #readers: Map<DeviceBuffer, Readers>;
  readonly #owned = new Set<DeviceBuffer>();
  readonly #borrowed = new Set<Loan>();
  /** what each joined buffer spans */
  readonly #spans = new WeakMap<DeviceBuffer, readonly DeviceBuffer[]>();
  readonly #trace: SharedTrace;
  #watch: KernelWatch | undefined;
  #disposed = false;

  private constructor(
    device: Backend,
    { readers, trace }: { readers: Map<DeviceBuffer, Readers>; trace: SharedTrace },
  ) {
    this.#device = device;
    this.#readers = readers;
    this.#trace = trace;
  }

  /** `count` ranks on one device. */
  static divide(device: Backend, count: number): SharedBackend[] {
    const all = { readers: new Map<DeviceBuffer, Readers>(), trace: new SharedTrace() };
    return Array.from({ length: count }, () => new SharedBackend(device, all));
  }

  /** The device, while this rank may use it. */
  get #live(): Backend {
    invariant(!this.#disposed, "a rank goes on after its run has ended");
    return this.#device;
  }

  get name(): Backend["name"] {
    return this.#device.name;
  }

  get valueless(): Backend["valueless"] {
    return this.#device.valueless;
  }

  get adapter(): AdapterInfo {
    return this.#device.adapter;
  }

  get maxBufferBytes(): number {
    return this.#device.maxBufferBytes;
  }

  allocate(spec: { dtype: DType; length: number; purpose: Purpose }): DeviceBuffer {
    const buffer = this.#live.allocate(spec);
    this.#owned.add(buffer);
    this.memory.take(spec.purpose, bytesOf(buffer));
    return buffer;
  }

  free(buffer: DeviceBuffer): void {
    // Disposing has freed it before its holder did.
    if (!this.#owned.delete(buffer) && this.#disposed) return;
    this.memory.give(buffer.purpose, bytesOf(buffer));
    const readers = this.#readers.get(buffer);
    if (readers) readers.abandoned = true;
    else this.#device.free(buffer);
  }

  retag(buffer: DeviceBuffer, purpose: Purpose): void {
    this.memory.move(bytesOf(buffer), { from: buffer.purpose, to: purpose });
    this.#live.retag(buffer, purpose);
  }

  get join(): Backend["join"] {
    const device = this.#live;
    if (!device.join) return undefined;
    return (buffers) => {
      const joined = device.join!(buffers);
      this.#spans.set(joined, buffers);
      return joined;
    };
  }

  /** Leave for another rank to read `buffer`, counted as the owner's until that rank borrows it. */
  lend(buffer: DeviceBuffer): Loan {
    return new Loan(buffer, { device: this.#device, all: this.#readers });
  }

  /** Counts what another rank lent as this rank's scratch until `giveBack`. */
  borrow(loan: Loan): void {
    this.memory.take("scratch", bytesOf(loan.buffer));
    this.#borrowed.add(loan);
  }

  /** Safe to call twice: disposing gives back too. */
  giveBack(loan: Loan): void {
    if (!this.#borrowed.delete(loan)) return;
    this.memory.give("scratch", bytesOf(loan.buffer));
    loan.end();
  }

  write(buffer: DeviceBuffer, data: HostArray): void {
    this.#live.write(buffer, data);
  }

  read(buffer: DeviceBuffer, length?: number): Promise<HostArray> {
    return this.#live.read(buffer, length);
  }

  readBytes(buffer: DeviceBuffer, options: ReadBytes): Promise<Uint8Array<ArrayBuffer>> {
    return this.#live.readBytes(buffer, options);
  }

  run<K extends KernelName>(kernel: K, args: KernelArgs[K]): void {
    // The one buffer that is both lent and written in place: a rank that still multiplied by it would see half a step.
    if (kernel === "adamw") {
      const { w, half } = args as KernelArgs["adamw"];
      const lent = half ?? w;
      for (const weight of this.#spans.get(lent) ?? [lent])
        invariant(!this.#readers.has(weight), "a weight is updated while another rank reads it");
    }
    if (this.#trace.active) this.#trace.current = this.#watch;
    this.#live.run(kernel, args);
  }

  get trace(): Backend["trace"] {
    const device = this.#live;
    if (!device.trace) return undefined;
    return async (watch) => {
      const watched = this.#watch !== undefined;
      this.#watch = watch;
      if (watch && !watched) return this.#trace.add(device);
      return !watch && watched ? this.#trace.remove(device) : 0;
    };
  }

  sync(): Promise<void> {
    return this.#live.sync();
  }

  rest(): Promise<void> | undefined {
    return this.#device.rest();
  }

  trim(): void {
    this.#device.trim();
  }

  dispose(): void {
    this.#disposed = true;
    for (const loan of this.#borrowed) this.giveBack(loan);
    for (const buffer of this.#owned) this.free(buffer);
  }
}

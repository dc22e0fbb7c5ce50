// The interface between what is computed and where. A backend owns buffers and runs the kernels of
// kernels.ts on them; it knows no tensors, no gradients and no ranks.

import type { DeviceBuffer, DType, HostArray } from "./buffer.ts";
import type { KernelArgs, KernelName } from "./kernels.ts";
import type { MemoryAccount, Purpose } from "./memory.ts";

/** A product that subgroups compute as one instruction, [m, k] by [k, n]; the types are WGSL's. */
export interface SubgroupMatrix {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly component: string;
  readonly result: string;
}

export interface AdapterInfo {
  /** one line a person understands, e.g. "llvmpipe (LLVM 19.1.7, 256 bits)" */
  readonly description: string;
  readonly vendor: string;
  readonly architecture: string;
  /** true when a CPU stands in for a GPU, or is the device */
  readonly software: boolean;
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
  /** where the features have chromium-experimental-subgroup-matrix */
  readonly subgroupMatrices?: readonly SubgroupMatrix[];
}

/** Told of a kernel when it is asked for. What it returns is told when that ran, in the order of calls: microseconds as of clock.ts. */
export type KernelWatch = <K extends KernelName>(
  kernel: K,
  args: KernelArgs[K],
) => (startUs: number, endUs: number) => void;

export interface ReadBytes {
  /** elements */
  readonly length: number;
  /** bytes before them, a multiple of 4 */
  readonly room: number;
  /** Memory to read into instead of a fresh array, with as many bytes or more from its beginning. It is the backend's from now on, and
   *  what is returned lies in it. */
  readonly into?: Uint8Array<ArrayBuffer>;
}

export interface Backend {
  readonly name: "webgpu" | "cpu" | "meta";
  /** Buffers have no contents: what would fill them need not be made. */
  readonly valueless?: true;
  readonly adapter: AdapterInfo;
  readonly memory: MemoryAccount;
  /** bytes of the largest buffer this device gives */
  readonly maxBufferBytes: number;

  /** Contents are undefined.
   *  @throws OutOfMemoryError beyond maxBufferBytes, or when the device has no more */
  allocate(spec: { dtype: DType; length: number; purpose: Purpose }): DeviceBuffer;
  free(buffer: DeviceBuffer): void;
  /** Counts a buffer under another purpose from now on. */
  retag(buffer: DeviceBuffer, purpose: Purpose): void;
  /** Moves buffers of one type behind each other into one piece of memory, and returns a buffer that spans them all, with zeros between
   *  them: a kernel over that is a kernel over each. They stay what they are and are freed one by one; the first to be freed, or to be
   *  joined again, ends it.
   *  Missing where a kernel costs so little to start that this gains nothing.
   *  @throws RangeError when together they are longer than a buffer can be, or not of one type */
  join?(buffers: readonly DeviceBuffer[]): DeviceBuffer;
  /** Copies `data` to the buffer's start; the caller may change `data` at once. */
  write(buffer: DeviceBuffer, data: HostArray): void;
  /** Waits for the device, as nothing but `readBytes` and `sync` does. Returns a fresh array of the buffer's first `length` elements (all by
   *  default). */
  read(buffer: DeviceBuffer, length?: number): Promise<HostArray>;
  /** As `read`, but as they lie on the device (f16: two bytes each), behind `room` bytes of anything: what is sent needs no
   *  further copy. */
  readBytes(buffer: DeviceBuffer, options: ReadBytes): Promise<Uint8Array<ArrayBuffer>>;
  /** Enqueues a kernel. Kernels run in the order of their calls.
   *  @throws RangeError when an argument does not fit its kernel (see kernels.ts) */
  run<K extends KernelName>(kernel: K, args: KernelArgs[K]): void;
  /** Waits until everything enqueued has run, and surfaces its errors. */
  sync(): Promise<void>;
  /** A pause, when the device needs one to let go of what earlier calls left: to be awaited now and then by programs of very many
   *  kernels between two reads. */
  rest(): Promise<void> | undefined;
  /** Measures, on memory of its own, ways to run those kernels that calls so far asked for and this device has not measured yet; later
   *  calls take the fastest. Between two steps, when no rank that shares the device is in the middle of one: results before and after
   *  differ in their last bits. Missing, or undefined, where there is nothing to do. */
  tune?(): Promise<void> | undefined;
  /** From now on `watch` is told of every kernel; undefined ends it, and resolves when of all before is told. Resolves with the microseconds
   *  by which the times may be off. Taking them costs time. Missing where a device has none to give. */
  trace?(watch: KernelWatch | undefined): Promise<number>;
  /** Gives back memory kept for reuse. */
  trim(): void;
  dispose(): void;
}

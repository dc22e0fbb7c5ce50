// The backend that computes on the CPU in WebAssembly SIMD, on threads of its own: `run` only writes down what is to be done. Where
// memory can be shared (Node, and pages that are cross-origin isolated) as many threads as the machine has, elsewhere one.

import type { AdapterInfo, Backend, KernelWatch, ReadBytes } from "../backend.ts";
import type { DeviceBuffer, DType, HostArray } from "../buffer.ts";
import { checkKernel } from "../check.ts";
import { LinearBuffers } from "../cpu/buffers.ts";
import { addressableBytes, type Growable, LinearMemory, pageBytes } from "../cpu/memory.ts";
import { deferred } from "../deferred.ts";
import { DeviceError, DeviceLostError, OutOfMemoryError } from "../errors.ts";
import type { KernelArgs, KernelName } from "../kernels.ts";
import type { MemoryAccount, Purpose } from "../memory.ts";
import { PassTimes } from "../pass-times.ts";
import { heapAt } from "./control.ts";
import type { Answer } from "./messages.ts";
import type { Places, Plan } from "./plan.ts";
import { plans } from "./plans.ts";
import { Queue } from "./queue.ts";
import { hardwareThreads, startThread, type Thread } from "./threads.ts";

export interface WasmOptions {
  /** as many as the machine runs at once, at most 16, by default */
  threads?: number;
  /** most bytes of all buffers together; what 32-bit addresses reach, or the engine gives, by default */
  maxBytes?: number;
}

/** More threads than this share too little work. */
const maxThreads = 16;

/** Opens the backend.
 *  @throws Error where WebAssembly SIMD, or starting a thread, is not possible */
export async function createWasmBackend({ threads, maxBytes = addressableBytes }: WasmOptions = {}): Promise<Backend> {
  const canShare = typeof SharedArrayBuffer !== "undefined" && globalThis.crossOriginIsolated !== false;
  const count = canShare ? Math.max(1, Math.min(threads ?? (await hardwareThreads()), maxThreads)) : 1;
  const binary = canShare ? await import("./kernels.shared.wasm") : await import("./kernels.wasm");
  const module = await WebAssembly.compile(binary.default);
  const passes = WebAssembly.Module.exports(module).flatMap(({ name, kind }) => (kind === "function" ? [name] : []));
  const memory = canShare ? sharedMemory(heapAt(count), maxBytes) : undefined;
  const backend = new WasmBackend({ passes, memory, threads: count, maxBytes });
  try {
    await backend.start(module);
  } catch (error) {
    backend.dispose();
    throw error;
  }
  return backend;
}

/** Engines reserve the addresses of a shared memory at once; some give less than all. */
function sharedMemory(bytes: number, maxBytes: number): WebAssembly.Memory {
  const initial = Math.ceil(bytes / pageBytes);
  for (let maximum = Math.floor(maxBytes / pageBytes); ; maximum = Math.floor(maximum / 2)) {
    try {
      return new WebAssembly.Memory({ initial, maximum, shared: true });
    } catch (error) {
      if (!(error instanceof RangeError) || maximum / 2 < 16 * initial) throw error;
    }
  }
}

class WasmBackend implements Backend, Places {
  readonly name = "cpu";
  readonly adapter: AdapterInfo;
  readonly memory: MemoryAccount;
  readonly maxBufferBytes: number;
  readonly threads: number;
  readonly #linear: LinearMemory;
  readonly #buffers: LinearBuffers;
  readonly #shared: WebAssembly.Memory | undefined;
  readonly #passes: readonly string[];
  readonly #numbers: ReadonlyMap<string, number>;
  readonly #queue: Queue;
  readonly #crew: Thread[] = [];
  readonly #temporaries: { start: number; bytes: number }[] = [];
  readonly #times = new PassTimes();
  #watch: KernelWatch | undefined;
  #failure: Error | undefined;
  #disposed = false;

  constructor({
    passes,
    memory,
    threads,
    maxBytes,
  }: {
    passes: readonly string[];
    memory: WebAssembly.Memory | undefined;
    threads: number;
    maxBytes: number;
  }) {
    this.threads = threads;
    this.#shared = memory;
    this.#passes = passes;
    this.#numbers = new Map(passes.map((name, number) => [name, number]));
    this.#queue = new Queue({ memory, threads });
    const heap = heapAt(threads);
    this.#linear = new LinearMemory({ maxBytes, memory: memory ?? this.#remoteMemory(heap), base: heap });
    this.#buffers = new LinearBuffers(this.#linear);
    this.#queue.linear = this.#linear;
    this.memory = this.#buffers.account;
    this.maxBufferBytes = maxBytes - heap;
    this.adapter = {
      description: `cpu, WebAssembly SIMD on ${threads} thread${threads > 1 ? "s" : ""}`,
      vendor: "",
      architecture: "",
      software: true,
      features: [],
      limits: { maxBufferBytes: this.maxBufferBytes, threads },
    };
  }

  async start(module: WebAssembly.Module): Promise<void> {
    const started: Promise<void>[] = [];
    for (let thread = 0; thread < this.threads; thread++) {
      const { promise, resolve, reject } = deferred<void>();
      started.push(promise);
      const answer = (message: Answer) => (message.did === "start" ? resolve() : this.#answer(message));
      const lost = (message: string) => {
        reject(new Error(message));
        this.#fail(new DeviceLostError(`a thread of the cpu backend ended: ${message}`, "run"));
      };
      const each = await startThread({ answer, lost });
      this.#crew.push(each);
      if (thread === 0) this.#queue.leader = each;
      each.hold(true);
      each.post({ module, memory: this.#shared, thread, threads: this.threads, passes: this.#passes }, []);
    }
    await Promise.all(started);
    for (const each of this.#crew) each.hold(false);
  }

  /** Where memory is not shared it is the thread's own: this side knows its length. */
  #remoteMemory(bytes: number): Growable {
    const buffer = { byteLength: Math.ceil(bytes / pageBytes) * pageBytes };
    const grow = (pages: number) => {
      this.#queue.grow(pages);
      buffer.byteLength += pages * pageBytes;
    };
    return { buffer, grow };
  }

  allocate(spec: { dtype: DType; length: number; purpose: Purpose }): DeviceBuffer {
    this.#requireAlive();
    return this.#buffers.allocate(spec);
  }

  free(buffer: DeviceBuffer): void {
    if (!this.#disposed) this.#buffers.free(buffer);
  }

  retag(buffer: DeviceBuffer, purpose: Purpose): void {
    this.#buffers.retag(buffer, purpose);
  }

  write(buffer: DeviceBuffer, data: HostArray): void {
    this.#requireAlive();
    const { start } = this.#buffers.toWrite(buffer, data);
    this.#queue.write(start, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }

  async read(buffer: DeviceBuffer, length: number = buffer.length): Promise<HostArray> {
    this.#requireAlive();
    const { start, dtype } = this.#buffers.toRead(buffer, length);
    const { buffer: bytes } = await this.#queue.read({ from: start, bytes: 4 * length, room: 0 });
    return dtype === "f32" ? new Float32Array(bytes) : new Int32Array(bytes);
  }

  async readBytes(buffer: DeviceBuffer, { length, room, into }: ReadBytes): Promise<Uint8Array<ArrayBuffer>> {
    this.#requireAlive();
    const { start } = this.#buffers.toRead(buffer, length);
    return this.#queue.read({ from: start, bytes: 4 * length, room, into });
  }

  async sync(): Promise<void> {
    this.#requireAlive();
    await this.#queue.read({ from: 0, bytes: 0, room: 0 });
  }

  run<K extends KernelName>(kernel: K, args: KernelArgs[K]): void {
    this.#requireAlive();
    checkKernel(kernel, args);
    const plan = plans[kernel] as Plan<K>;
    const ran = this.#watch?.(kernel, args);
    let passes = 0;
    try {
      for (const pass of plan(args, this)) {
        if (pass.items === 0) continue;
        this.#queue.run(this.#number(pass.run), pass);
        passes++;
      }
    } finally {
      // Only now: what is allocated next may lie there, and be written after these passes have run.
      for (const { start, bytes } of this.#temporaries) this.#linear.free(start, bytes);
      this.#temporaries.length = 0;
    }
    if (ran && this.#times.asked(passes, ran)) void this.#takeTimes(true).catch(() => undefined);
  }

  async trace(watch: KernelWatch | undefined): Promise<number> {
    this.#requireAlive();
    this.#watch = watch;
    await this.#takeTimes(watch !== undefined);
    return 0;
  }

  async #takeTimes(on: boolean): Promise<void> {
    this.#times.take(await this.#queue.times(on));
  }

  rest(): undefined {}

  /** Nothing to give back: a linear memory never shrinks. */
  trim(): void {}

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#buffers.freeAll();
    for (const each of this.#crew) each.end();
    this.#fail(new DeviceLostError("the cpu backend was disposed of", "dispose"));
  }

  at(buffer: DeviceBuffer): number {
    return this.#buffers.own(buffer, "run").start;
  }

  temporary(bytes: number): number {
    const start = this.#linear.allocate(bytes);
    this.#temporaries.push({ start, bytes });
    return start;
  }

  #number(run: string): number {
    const number = this.#numbers.get(run);
    if (number === undefined) throw new Error(`wasm/ exports no ${run}`);
    return number;
  }

  #answer(message: Answer): void {
    if (message.did === "read") this.#queue.take(message.id, message.data);
    else if (message.did === "copy") this.#queue.look();
    else if (message.did === "times") this.#queue.takeTimes(message.times);
    else if (message.did === "fail") {
      this.#fail(
        message.error === "memory"
          ? new OutOfMemoryError(
              `allocate: the engine gives the cpu backend no more memory (${message.message}); use a smaller batch, context or model`,
              "allocate",
            )
          : new DeviceError(`the cpu backend failed: ${message.message}`, "run"),
      );
    }
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#queue.fail(this.#failure);
  }

  #requireAlive(): void {
    if (this.#failure) throw this.#failure;
  }
}

// Runs one kernel on the backend under test: uploads, runs, reads back, frees, and checks what a kernel must leave
// alone. Knows no arithmetic. Runs in Node and in a page; never skips.

import type { Backend } from "../../src/backend/backend.ts";
import type { DeviceBuffer, HostArray } from "../../src/backend/buffer.ts";
import { createCpuBackend } from "../../src/backend/cpu/backend.ts";
import { fromF16, toF16 } from "../../src/backend/f16.ts";
import type { KernelArgs, KernelName } from "../../src/backend/kernels.ts";
import { createBackend, findAdapter } from "../../src/backend/select.ts";
import { WebGpuBackend } from "../../src/backend/webgpu/backend.ts";
import { openDevice } from "../../src/backend/webgpu/device.ts";
import { grid, type Plan } from "../../src/backend/webgpu/plan.ts";
import { plans } from "../../src/backend/webgpu/plans.ts";
import { bringWireShaders } from "../../src/backend/webgpu/wire-shaders.ts";
import { written } from "../../src/backend/work.ts";
import { firstDifference } from "./compare.ts";

bringWireShaders();

/** A kernel's arguments with arrays where the kernel has buffers. One array given twice is one buffer. */
export type HostArgs<K extends KernelName> = {
  [F in keyof KernelArgs[K]]: NonNullable<KernelArgs[K][F]> extends DeviceBuffer ? HostArray : KernelArgs[K][F];
};

type Results<K extends KernelName> = Record<(typeof written)[K][number], Float32Array>;

/** Elements behind every buffer's end that no kernel may read (they are NaN) or write. */
const guardLength = 9;
/** Buffers above this are not read back only to see that they are unchanged: it would take longer than the test. */
const largeLength = 1 << 20;

const isArray = (value: unknown): value is HostArray => value instanceof Float32Array || value instanceof Int32Array;

const halves = new WeakSet<HostArray>();

/** An array that kernels have in f16: its numbers rounded to that. */
export function half(x: Float32Array): Float32Array {
  const rounded = fromF16(toF16(x));
  halves.add(rounded);
  return rounded;
}

/** An array to be written: NaN, so that an element the kernel forgets is seen. */
export const blank = (length: number): Float32Array => new Float32Array(length).fill(Number.NaN);

let opened: Promise<Backend> | undefined;

/** The backend named by SHARDGRAD_TEST_BACKEND (environment variable, or a global in a page), opened once: cpu, plain (its
 *  loops for where WebAssembly SIMD is missing), webgpu, or webgpu-as-gpu, which takes the kernels meant for a GPU also where a CPU stands in for one.
 *  @throws Error when it is not named, or when another one came */
export function backendUnderTest(): Promise<Backend> {
  opened ??= open();
  return opened;
}

async function open(): Promise<Backend> {
  const scope = globalThis as {
    SHARDGRAD_TEST_BACKEND?: string;
    process?: { env?: Record<string, string | undefined> };
  };
  const name = scope.SHARDGRAD_TEST_BACKEND ?? scope.process?.env?.SHARDGRAD_TEST_BACKEND;
  if (name === "webgpu-as-gpu") return openAsGpu();
  if (name === "plain") return createCpuBackend();
  if (name !== "cpu" && name !== "webgpu") {
    throw new Error(`SHARDGRAD_TEST_BACKEND is ${name ?? "not set"}; set it to cpu, plain, webgpu or webgpu-as-gpu`);
  }
  const threads = Number(scope.process?.env?.SHARDGRAD_TEST_THREADS) || undefined;
  const { backend, note } = await createBackend({ backend: name, threads, tune: false });
  if (backend.name !== name) throw new Error(`asked for the ${name} backend, got ${backend.name}`);
  if (name === "cpu" && !backend.adapter.limits.threads) throw new Error(note);
  return backend;
}

async function openAsGpu(): Promise<Backend> {
  const found = await findAdapter();
  if ("missing" in found) throw new Error(found.missing);
  const { device, info, sources } = await openDevice(found.adapter);
  return new WebGpuBackend({ device, info: { ...info, software: false }, sources });
}

/** Ends the backend under test. Every file registers it with `test.after`: an open device keeps Node alive. */
export async function closeBackend(): Promise<void> {
  const closing = opened;
  opened = undefined;
  (await closing?.catch(() => undefined))?.dispose();
}

function guarded(data: HostArray): HostArray {
  const Copy = data.constructor as { new (length: number): HostArray };
  const copy = new Copy(data.length + guardLength);
  copy.fill(data instanceof Float32Array ? Number.NaN : 0x7fffffff, data.length);
  copy.set(data);
  return copy;
}

class Upload {
  readonly #buffers = new Map<HostArray, { buffer: DeviceBuffer; data: HostArray }>();

  constructor(
    readonly backend: Backend,
    readonly guard: boolean,
  ) {}

  /** `args` with every array replaced by a buffer that holds it. */
  bind<K extends KernelName>(args: HostArgs<K>): KernelArgs[K] {
    const bound: Record<string, unknown> = { ...args };
    for (const [name, value] of Object.entries(args)) {
      if (isArray(value)) bound[name] = this.#upload(value);
    }
    return bound as KernelArgs[K];
  }

  #upload(array: HostArray): DeviceBuffer {
    const known = this.#buffers.get(array);
    if (known) return known.buffer;
    const data = this.guard ? guarded(array) : array.slice();
    const floats = halves.has(array) ? "f16" : "f32";
    const dtype = array instanceof Float32Array ? floats : "i32";
    const buffer = this.backend.allocate({ dtype, length: data.length, purpose: "activations" });
    this.#buffers.set(array, { buffer, data });
    this.backend.write(buffer, data);
    return buffer;
  }

  /** What the buffer of `array` holds now. @throws Error when the kernel wrote behind its end */
  async read(array: HostArray, name: string): Promise<Float32Array> {
    const { buffer, data } = this.#buffers.get(array)!;
    const now = await this.backend.read(buffer);
    const at = firstDifference(now.subarray(array.length), data.subarray(array.length));
    if (at >= 0) throw new Error(`wrote ${at + 1} elements behind the end of ${name}`);
    return now.slice(0, array.length) as Float32Array;
  }

  async checkUnchanged(array: HostArray, name: string): Promise<void> {
    const { buffer, data } = this.#buffers.get(array)!;
    const at = firstDifference(await this.backend.read(buffer), data);
    if (at >= 0) throw new Error(`changed its input ${name} at ${at}`);
  }

  free(): void {
    for (const { buffer } of this.#buffers.values()) this.backend.free(buffer);
  }
}

function checkNoLeak(backend: Backend, kernel: string): void {
  if (backend.memory.total !== 0) throw new Error(`${kernel} left ${backend.memory.total} bytes allocated`);
}

/** Workgroups of 4 elements for a kernel of one shader over elements, and as many elements as fill two rows of its grid: with the
 *  workgroups a plan takes, no buffer that every adapter can bind is long enough. */
export const manyGroups = { constants: { THREADS: 2, PER_THREAD: 2 }, elements: 65536 * 4 + 1 } as const;

/** Runs `kernel` on copies of the arrays in `args`; returns what it wrote, and leaves the arrays alone. With `groups`, on WebGPU, in
 *  those instead of its plan's; the cpu backend has none. On the backend under test by default.
 *  @throws Error when it wrote behind a buffer's end, changed an input or left memory allocated */
export async function compute<K extends KernelName>(
  kernel: K,
  args: HostArgs<K>,
  { groups, backend: given }: { groups?: typeof manyGroups; backend?: Backend } = {},
): Promise<Results<K>> {
  const backend = given ?? (await backendUnderTest());
  const upload = new Upload(backend, true);
  const results: Record<string, Float32Array> = {};
  try {
    const bound = upload.bind(args);
    if (groups && backend instanceof WebGpuBackend) dispatchIn(groups, { backend, kernel, bound });
    else backend.run(kernel, bound);
    const outputs = new Set<HostArray>();
    const arrays = Object.entries(args).filter((entry): entry is [string, HostArray] => isArray(entry[1]));
    for (const [name, array] of arrays) {
      if (!written[kernel].some((output) => output === name)) continue;
      outputs.add(array);
      results[name] = await upload.read(array, `${kernel}'s ${name}`);
    }
    for (const [name, array] of arrays) {
      if (!outputs.has(array) && array.length <= largeLength) await upload.checkUnchanged(array, `${kernel}'s ${name}`);
    }
  } finally {
    upload.free();
  }
  checkNoLeak(backend, kernel);
  return results as Results<K>;
}

function dispatchIn<K extends KernelName>(
  { constants, elements }: typeof manyGroups,
  { backend, kernel, bound }: { backend: WebGpuBackend; kernel: K; bound: KernelArgs[K] },
): void {
  const subgroups = { subgroupSize: 0, subgroupMaxSize: 0, subgroupMatrices: [] };
  const facts = { software: true, vendor: "", architecture: "", maxInvocations: 256, ...subgroups };
  const scratch = () => {
    throw new Error(`${kernel} asks for scratch`);
  };
  const [planned, ...more] = (plans[kernel] as Plan<K>)(bound, { ...facts, scratch });
  if (more.length > 0) throw new Error(`${kernel} is ${more.length + 1} dispatches, not one over elements`);
  const workgroups = grid(Math.ceil(elements / (constants.THREADS * constants.PER_THREAD)));
  if (workgroups[1] < 2) throw new Error(`${elements} elements fill one row of the grid`);
  backend.dispatch({ ...planned, constants, workgroups });
}

/** The message of the RangeError with which `kernel` refuses `args`; buffers are exactly as long as the arrays.
 *  @throws Error when it does not refuse, or with another kind of error */
export async function refusal<K extends KernelName>(kernel: K, args: HostArgs<K>): Promise<string> {
  const backend = await backendUnderTest();
  const upload = new Upload(backend, false);
  try {
    backend.run(kernel, upload.bind(args));
    await backend.sync();
  } catch (error) {
    if (error instanceof RangeError) return error.message;
    throw error;
  } finally {
    upload.free();
    checkNoLeak(backend, kernel);
  }
  throw new Error(`${kernel} took what it must refuse`);
}

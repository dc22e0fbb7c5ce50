// WebGPU in Node: Dawn, from the webgpu package. Loaded only where there is no navigator.gpu; imports nothing of
// Node's before it is called, so that a page may carry it.

export const inNode = (): boolean => typeof globalThis.process?.versions?.node === "string";

/** Dawn's entry object. It must outlive every device: Dawn crashes when it is collected. Node exits all the same. */
let dawn: GPU | undefined;

let collect: (() => void) | undefined;

/** Frees what Dawn keeps for objects that nothing refers to any more: bind groups have no destroy(), and V8, which sees small objects
 *  only, is in no hurry. Does nothing in a page. */
export const collectGarbage = (): void => collect?.();

/** @returns undefined when the package is not there, or does not load on this system */
export async function loadDawn(): Promise<GPU | undefined> {
  if (dawn) return dawn;
  const { env } = globalThis.process;
  // Mesa complains to stderr without the first, and that llvmpipe is no certified driver. Neither is the user's affair.
  env.XDG_RUNTIME_DIR ??= env.TMPDIR ?? "/tmp";
  env.MESA_VK_IGNORE_CONFORMANCE_WARNING ??= "true";
  try {
    const { create } = await import("webgpu");
    dawn = create([]);
    const [v8, vm] = await Promise.all([import("node:v8"), import("node:vm")]);
    v8.setFlagsFromString("--expose-gc");
    collect = vm.runInNewContext("gc");
  } catch {
    return undefined;
  }
  return dawn;
}

/** Waits in progress that a sleeping event loop serves better. */
let waits = 0;
let sleeping = false;
/** when the first of them began */
let since = 0;
const word = typeof SharedArrayBuffer === "undefined" ? new Int32Array(1) : new Int32Array(new SharedArrayBuffer(4));
/** Milliseconds the event loop sleeps at a time: as long as the wait has taken so far, within these. */
const [shortest, longest] = [0.1, 0.5];

/** Awaits an adapter that computes on this machine's own cores. In Node, Dawn asks a device whether it is done in every turn of the event
 *  loop, which takes one of these cores whole; here each turn ends with a short sleep. In a page nothing of the kind is needed. */
export async function giveWay<T>(done: Promise<T>): Promise<T> {
  if (!inNode()) return done;
  if (waits++ === 0) since = performance.now();
  if (!sleeping) {
    sleeping = true;
    setImmediate(sleep);
  }
  try {
    return await done;
  } finally {
    waits--;
  }
}

function sleep(): void {
  sleeping = waits > 0;
  if (!sleeping) return;
  Atomics.wait(word, 0, 0, Math.min(Math.max(performance.now() - since, shortest), longest));
  setImmediate(sleep);
}

/** requestAdapter without the warnings that Dawn and Vulkan drivers print on a terminal while they look for adapters. They write to
 *  descriptor 2 from native code, so it points elsewhere meanwhile: on Linux, where it can be opened again, in the main thread only,
 *  and not across an await. */
export async function requestQuietly(gpu: GPU, options: GPURequestAdapterOptions): Promise<GPUAdapter | null> {
  const { process } = globalThis;
  const { isMainThread } = await import("node:worker_threads");
  if (process.platform !== "linux" || !process.stderr.isTTY || !isMainThread) return gpu.requestAdapter(options);
  const { closeSync, openSync } = await import("node:fs");
  const terminal = openSync("/proc/self/fd/2", "a");
  closeSync(2);
  const silence = openSync("/dev/null", "a"); // the lowest free number: 2
  try {
    return gpu.requestAdapter(options);
  } finally {
    closeSync(silence);
    openSync(`/proc/self/fd/${terminal}`, "a");
    closeSync(terminal);
  }
}

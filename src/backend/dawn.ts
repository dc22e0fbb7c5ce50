// WebGPU in Node: Dawn, from the webgpu package. Loaded only where there is no navigator.gpu.

import { collectBy, inNode } from "./node.ts";

/** Dawn's entry object. It must outlive every device: Dawn crashes when it is collected. Node exits all the same. */
let dawn: GPU | undefined;

/** Where the webgpu package is, when the module that asks lies in no folder that Node could search from. */
let package_ = "webgpu";

export function loadDawnFrom(url: string): void {
  package_ = url;
}

/** The webgpu package's URL, for threads that cannot find it; undefined where it is not installed, or in a page. */
export function dawnSpecifier(): string | undefined {
  try {
    return inNode() ? import.meta.resolve?.(package_) : undefined;
  } catch {
    return undefined;
  }
}

/** @returns undefined when the package is not there, or does not load on this system */
async function loadDawn(): Promise<GPU | undefined> {
  if (dawn) return dawn;
  const { env } = globalThis.process;
  // Mesa complains to stderr without the first, and that llvmpipe is no certified driver. Neither is the user's affair.
  env.XDG_RUNTIME_DIR ??= env.TMPDIR ?? "/tmp";
  env.MESA_VK_IGNORE_CONFORMANCE_WARNING ??= "true";
  try {
    const { create } = (await import(/* @vite-ignore */ package_)) as typeof import("webgpu");
    // Timestamps are rounded to 65 microseconds else, for pages that should not spy on others.
    dawn = create(["disable-dawn-features=timestamp_quantization"]);
    const [v8, vm] = await Promise.all([import("node:v8"), import("node:vm")]);
    v8.setFlagsFromString("--expose-gc");
    collectBy(vm.runInNewContext("gc"));
  } catch {
    return undefined;
  }
  return dawn;
}

/** requestAdapter without the warnings that Dawn and Vulkan drivers print on a terminal while they look for adapters. They write to
 *  descriptor 2 from native code, so it points elsewhere meanwhile: on Linux, where it can be opened again, in the main thread only,
 *  and not across an await. */
async function requestQuietly(gpu: GPU, options: GPURequestAdapterOptions): Promise<GPUAdapter | null> {
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

/** What `navigator.gpu.requestAdapter` gives in a page. */
export async function requestDawnAdapter(options: GPURequestAdapterOptions): Promise<GPUAdapter | null> {
  const gpu = await loadDawn();
  return gpu ? requestQuietly(gpu, options) : null;
}

/** Why there is no adapter. */
export async function missingInNode(): Promise<string> {
  if (!(await loadDawn())) return "the webgpu package did not load; npm install webgpu";
  return globalThis.process.platform === "linux"
    ? "no Vulkan driver found; install the GPU's own, or apt-get install libvulkan1 mesa-vulkan-drivers (Mesa 23 or later)"
    : "no driver found for this machine's GPU";
}

// Opens the backend a user asked for, or the best there is, and says in a line which and why. The only file
// that knows where adapters come from: navigator.gpu, or Dawn in Node.

import type { AdapterInfo, Backend } from "./backend.ts";

import { UserError } from "./errors.ts";
import { inNode } from "./node.ts";
import { describeAdapter, openDevice } from "./webgpu/device.ts";
import type { TuningTable } from "./webgpu/tuning/table.ts";

/** meta: a backend without values, see meta/backend.ts */
export type BackendChoice = DeviceChoice | "meta";
export type DeviceChoice = "auto" | "webgpu" | "cpu";

/** What was found of WebGPU: an adapter, or why there is none. */
export type Found = { readonly adapter: Pick<AdapterInfo, "description" | "software"> } | { readonly missing: string };

/** Which backend to take, and the line to tell. Software adapters lose to the cpu backend: they too run on the CPU, and their products at
 *  half its rate or less.
 *  @throws UserError when webgpu is asked for and there is none */
export function choose(choice: DeviceChoice, found: Found): { backend: "webgpu" | "cpu"; note: string } {
  if (choice === "cpu") return { backend: "cpu", note: "cpu, as asked" };
  if ("missing" in found) {
    if (choice === "webgpu") throw new UserError(`webgpu: ${found.missing}`);
    return { backend: "cpu", note: `cpu: no WebGPU adapter; ${found.missing}` };
  }
  const { description, software } = found.adapter;
  if (!software) return { backend: "webgpu", note: `webgpu on ${description}` };
  if (choice === "webgpu") return { backend: "webgpu", note: `webgpu on ${description}, which is a CPU at work` };
  return {
    backend: "cpu",
    note: `cpu: no GPU found; the only WebGPU adapter is ${description}, which runs on the CPU too, and slower`,
  };
}

export interface BackendOptions {
  backend: BackendChoice;
  /** of the cpu backend: as many as the machine runs at once by default; results are the same with any number */
  threads?: number;
  /** Of webgpu: whether `backend.tune()`, which `train` calls between steps, measures the ways to run a kernel on this adapter and keeps the
   *  fastest for later runs (the default). False: always the same ones, so that two runs give the same bits whatever was measured
   *  before or between. A table: the choices it holds, and nothing is measured. */
  tune?: boolean | TuningTable;
  /** told, once each, what tuning drops or cannot keep; on the console by default */
  tell?: (line: string) => void;
}

export interface OpenBackend {
  readonly backend: Backend;
  /** what was taken and why, in a line */
  readonly note: string;
  /** the choices of a webgpu backend that tunes, now */
  readonly tuning?: { readonly table: TuningTable };
}

/** Which backend `createBackend` would open, without opening it.
 *  @throws UserError when "webgpu" is asked for and there is no adapter */
export async function resolveBackend(backend: DeviceChoice) {
  const found = backend === "cpu" ? { missing: "not asked for" } : await findAdapter();
  return { found, ...choose(backend, "adapter" in found ? { adapter: describeAdapter(found.adapter) } : found) };
}

/** Opens a backend.
 *  @throws UserError when `backend` is "webgpu" and there is no adapter */
export async function createBackend({ backend, threads, tune = true, tell }: BackendOptions): Promise<OpenBackend> {
  if (backend === "meta")
    return { backend: new (await import("./meta/backend.ts")).MetaBackend(), note: "shapes alone, no device" };
  const { found, backend: name, note } = await resolveBackend(backend);
  if (name === "cpu" || "missing" in found) {
    // A page without WebGPU may still have a GPU: WebGL2 gets its chance at the products.
    return openCpu({ threads, note, webgl: backend === "auto" && "missing" in found && !inNode() });
  }
  const { WebGpuBackend } = await import("./webgpu/backend.ts");
  const opened = await openDevice(found.adapter);
  if (tune === false) return { backend: new WebGpuBackend(opened), note };
  const { openTuned } = await import("./webgpu/tuning/open.ts");
  const table = tune === true ? undefined : tune;
  return { ...(await openTuned(opened, { table, tell: tell ?? console.warn })), note };
}

/** In WebAssembly, or where its SIMD or its threads cannot be had in plain loops. */
async function openCpu({ threads, note, webgl }: { threads: number | undefined; note: string; webgl: boolean }) {
  try {
    const { createWasmBackend } = await import("./wasm/backend.ts");
    return { backend: await createWasmBackend({ threads }), note };
  } catch (error) {
    const { createCpuBackend } = await import("./cpu/backend.ts");
    const why = error instanceof Error ? error.message : String(error);
    const products = webgl ? await (await import("./cpu/webgl-products.ts")).webglProducts() : undefined;
    return {
      backend: createCpuBackend({ products }),
      note: `${note}; in plain loops, since WebAssembly failed: ${why}`,
    };
  }
}

/** What `createBackend` can choose from: the WebGPU adapters, the preferred one first. */
export async function listAdapters(): Promise<{ adapters: AdapterInfo[]; note: string }> {
  const adapters: AdapterInfo[] = [];
  for (const options of [
    { powerPreference: "high-performance" as const },
    { powerPreference: "low-power" as const },
    { forceFallbackAdapter: true },
  ]) {
    const found = await findAdapter(options);
    if ("missing" in found) continue;
    const info = describeAdapter(found.adapter);
    if (!adapters.some(({ description }) => description === info.description)) adapters.push(info);
  }
  const first = adapters.at(0);
  return { adapters, note: choose("auto", first ? { adapter: first } : await missing()).note };
}

/** An adapter nobody has opened yet: each gives one device. */
export async function findAdapter(
  options: GPURequestAdapterOptions = { powerPreference: "high-performance" },
): Promise<{ adapter: GPUAdapter } | { missing: string }> {
  try {
    const page = globalThis.navigator?.gpu;
    const adapter =
      page || !inNode()
        ? await page?.requestAdapter(options)
        : await (await import("./dawn.ts")).requestDawnAdapter(options);
    return adapter ? { adapter } : missing();
  } catch {
    return missing();
  }
}

async function missing(): Promise<{ missing: string }> {
  if (!inNode()) {
    const secure = globalThis.isSecureContext ? "" : "; the page must come over https or from localhost";
    return {
      missing: `this browser offers no WebGPU adapter${secure}; try a current Chrome, Edge, Safari or Firefox with hardware acceleration on`,
    };
  }
  return { missing: await (await import("./dawn.ts")).missingInNode() };
}

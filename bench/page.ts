// What bench/main.ts runs inside a page: a group with its peers, each loaded only where it takes part.

import { type Event, type GroupPlan, type OpenPeers, runGroup } from "./group.ts";
import type { Engine } from "./harness.ts";

/** Where the server has the peers' own files. */
const tfjsFiles = "/node_modules/@tensorflow/tfjs-backend-wasm/dist/";
const ortFiles = "/node_modules/onnxruntime-web/dist/";

const openPeers: OpenPeers = async ({ device: ourDevice, threads = navigator.hardwareConcurrency, peers }, missing) => {
  const device = ourDevice === "cpu" ? "wasm" : "webgpu";
  // jax-js starts as many threads as this says.
  Object.defineProperty(navigator, "hardwareConcurrency", { value: threads });
  const open: Record<string, (version: string) => Promise<Engine>> = {
    "@jax-js/jax": async (version) => (await import("./peers/jax.ts")).openJax(device, version),
    "@tensorflow/tfjs-core": async (version) =>
      (await import("./peers/tfjs.ts")).openTfjs(device, { version, threads, wasmPath: tfjsFiles }),
    "onnxruntime-web": async (version) =>
      (await import("./peers/ort.ts")).openOrt(device, { version, threads, wasmPath: ortFiles }),
    "gpu.js": async (version) => (await import("./peers/gpujs.ts")).openGpuJs(device, version),
  };
  const engines: Engine[] = [];
  for (const [name, version] of Object.entries(peers)) {
    try {
      engines.push(await open[name](version));
    } catch (error) {
      missing(name, error instanceof Error ? error.message : JSON.stringify(error));
    }
  }
  return engines;
};

/** @public called by name from bench/main.ts */
export async function run(plan: GroupPlan, report: (event: Event) => Promise<void>): Promise<void> {
  await runGroup(plan, { report, openPeers });
}

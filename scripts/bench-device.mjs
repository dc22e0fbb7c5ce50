// What benchmarks in Node run on: the machine's GPU, or lavapipe where there is none.

import { existsSync, readdirSync } from "node:fs";
import { say } from "./project.mjs";

/** On Linux a GPU shows as a render node, or as NVIDIA's own device where containers have no render node. */
export function hasGpu() {
  if (process.platform !== "linux" || existsSync("/dev/nvidia0")) return true;
  return existsSync("/dev/dri") && readdirSync("/dev/dri").some((name) => name.startsWith("renderD"));
}

/** The environment for Vulkan's loader. An environment that names a driver is left alone. */
export async function driverEnvironment() {
  if (hasGpu() || process.env.VK_DRIVER_FILES || process.env.VK_ICD_FILENAMES) return process.env;
  const { setUp, vulkanDriver } = await import("./setup.mjs");
  say("no GPU here: WebGPU runs on lavapipe in Node, on SwiftShader in Chromium, software adapters both");
  return { ...process.env, ...vulkanDriver((await setUp()).lavapipe) };
}

// `npm run bench`: the benchmarks of bench/, beside other libraries in Chromium and alone in Node. `npm run bench -- --help` lists
// what there is.

import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { installDependencies, requireNode, root, say, script } from "./project.mjs";

/** On Linux a GPU shows as a render node, or as NVIDIA's own device where containers have no render node. */
function hasGpu() {
  if (process.platform !== "linux" || existsSync("/dev/nvidia0")) return true;
  return existsSync("/dev/dri") && readdirSync("/dev/dri").some((name) => name.startsWith("renderD"));
}

await script(async () => {
  requireNode();
  await installDependencies();
  let env = process.env;
  if (!hasGpu() && !env.VK_DRIVER_FILES && !env.VK_ICD_FILENAMES) {
    const { setUp, vulkanDriver } = await import("./setup.mjs");
    say("no GPU here: WebGPU runs on lavapipe in Node, on SwiftShader in Chromium, software adapters both");
    env = { ...env, ...vulkanDriver((await setUp()).lavapipe) };
  }
  const { bundle } = await import("./bundle.mjs");
  mkdirSync(join(root, "build"), { recursive: true });
  const folder = mkdtempSync(join(root, "build/bench-"));
  const outfile = join(folder, "main.mjs");
  await bundle({ entryPoints: ["bench/main.ts"], outfile, sourcemap: "inline", logLevel: "error" });
  const child = spawn(process.execPath, ["--enable-source-maps", outfile, ...process.argv.slice(2)], {
    cwd: root,
    env: { XDG_RUNTIME_DIR: folder, ...env, SHARDGRAD_BENCH_FOLDER: folder },
    stdio: "inherit",
  });
  const code = await new Promise((resolve) => child.on("close", (exit) => resolve(exit ?? 1)));
  rmSync(folder, { recursive: true, force: true });
  return code;
});

// `npm run bench`: the benchmarks of bench/, beside other libraries in Chromium and alone in Node. `npm run bench -- --help` lists
// what there is.

import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { driverEnvironment } from "./bench-device.mjs";
import { installDependencies, requireNode, root, script } from "./project.mjs";

await script(async () => {
  requireNode();
  await installDependencies();
  const env = await driverEnvironment();
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

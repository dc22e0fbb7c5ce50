// `npm run bench:gpu`: packs the benchmark of GPU-sized kernels with Node and Dawn into build/shardgrad-bench-gpu.tar.xz, for a machine
// with a GPU, a Vulkan loader and no network; where this machine has a GPU, runs it too.
//   npm run bench:gpu -- --quick     small sizes;  --run: run it here whatever there is;  the rest goes to the benchmark

import { spawn } from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { driverEnvironment, hasGpu } from "./bench-device.mjs";
import { installDependencies, must, requireNode, root, run, SetupError, say, script } from "./project.mjs";

const name = "shardgrad-bench-gpu";
const mostBytes = 60e6;

/** What is in the archive: each file's place in it, and where it comes from; what `from` lacks is made here. */
export const archiveFiles = [
  { to: "run.sh" },
  { to: "about.json" },
  { to: "gpu.mjs" },
  { to: "torch_rows.py", from: "bench/torch_rows.py" },
  { to: "LICENSE", from: "LICENSE" },
  { to: "node", from: process.execPath },
  ...["package.json", "index.js", "LICENSE.md", "dist/linux-x64/dawn.node"].map((file) => ({
    to: `node_modules/webgpu/${file}`,
    from: `node_modules/webgpu/${file}`,
  })),
];

/** Enough words to start it from anywhere. */
const runScript = `#!/bin/sh
# Measures this machine's GPU and writes the results beside this file. --quick: small sizes.
cd "$(dirname "$0")" && exec ./node gpu.mjs "$@"
`;

/** Writes the folder and the archive.
 *  @returns {Promise<{ folder: string, archive: string, bytes: number }>}
 *  @throws SetupError where Node is no single binary for Linux on x64, or the archive is too large to carry */
async function pack() {
  if (process.platform !== "linux" || process.arch !== "x64")
    throw new SetupError(
      `the archive holds this machine's Node, and this is ${process.platform} ${process.arch}: pack it on Linux on x64`,
    );
  const { bundle } = await import("./bundle.mjs");
  const folder = join(root, "build", name);
  rmSync(folder, { recursive: true, force: true });
  for (const { to, from } of archiveFiles) {
    mkdirSync(dirname(join(folder, to)), { recursive: true });
    // execPath is absolute; join() would put it below the root.
    if (from) copyFileSync(from.startsWith("/") ? from : join(root, from), join(folder, to));
  }
  await bundle({ entryPoints: ["bench/gpu.ts"], outfile: join(folder, "gpu.mjs"), logLevel: "error" });
  const { code, output } = await run("git", ["rev-parse", "--short", "HEAD"]);
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  writeFileSync(
    join(folder, "about.json"),
    JSON.stringify({ version, commit: code === 0 ? output.trim() : "unknown" }),
  );
  writeFileSync(join(folder, "run.sh"), runScript);
  for (const file of ["run.sh", "node"]) chmodSync(join(folder, file), 0o755);
  const archive = `${folder}.tar.xz`;
  await must("tar", ["-C", dirname(folder), "-cJf", archive, name], {
    env: { ...process.env, XZ_OPT: "-6 -T2" },
    failure: "the archive could not be written (tar's words are above); it needs tar and xz",
  });
  const { size: bytes } = statSync(archive);
  if (bytes > mostBytes)
    throw new SetupError(`${archive} has ${bytes} bytes, more than ${mostBytes}: too large to carry`);
  return { folder, archive, bytes };
}

async function main() {
  requireNode();
  await installDependencies();
  const words = process.argv.slice(2).filter((word) => word !== "--run");
  const { folder, archive, bytes } = await pack();
  say(`${archive}: ${(bytes / 1e6).toFixed(1)} MB; unpack it on the machine with the GPU and start ./run.sh`);
  if (!hasGpu() && !process.argv.includes("--run")) return 0;
  const env = await driverEnvironment();
  const child = spawn(join(folder, "run.sh"), words, { env, stdio: "inherit" });
  return new Promise((resolve) => child.on("close", (code) => resolve(code ?? 1)));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await script(main);

// `npm run bench`: runs the benchmarks of bench/ in Node, one after another and alone.
//   npm run bench -- products --size 512    only files with "products" in their name; the rest goes to each benchmark

import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { filesBelow, installDependencies, requireNode, root, SetupError, say, script } from "./project.mjs";

/** On Linux a GPU shows as a render node, or as NVIDIA's own device where containers have no render node. */
function hasGpu() {
  if (process.platform !== "linux" || existsSync("/dev/nvidia0")) return true;
  return existsSync("/dev/dri") && readdirSync("/dev/dri").some((name) => name.startsWith("renderD"));
}

await script(async () => {
  requireNode();
  await installDependencies();
  const files = filesBelow("bench", /\.bench\.ts$/);
  const words = process.argv.slice(2);
  const filters = [];
  while (words.length > 0 && files.some((file) => file.includes(words[0]))) filters.push(words.shift());
  const wanted = files.filter((file) => filters.length === 0 || filters.some((word) => file.includes(word)));
  if (wanted.length === 0) throw new SetupError("there are no benchmarks in bench/");
  if (words.length > 0 && !words[0].startsWith("-")) {
    throw new SetupError(`no benchmark is called ${words[0]}; there are ${files.join(", ")}`);
  }
  let env = process.env;
  if (!hasGpu() && !env.VK_DRIVER_FILES && !env.VK_ICD_FILENAMES) {
    const { setUp, vulkanDriver } = await import("./setup.mjs");
    say("no GPU here: WebGPU runs on lavapipe, a software adapter");
    env = { ...env, ...vulkanDriver((await setUp()).lavapipe) };
  }
  const { bundle } = await import("./bundle.mjs");
  mkdirSync(join(root, "build"), { recursive: true });
  const folder = mkdtempSync(join(root, "build/bench-"));
  let failures = 0;
  for (const file of wanted) {
    const outfile = join(folder, `${file}.mjs`);
    await bundle({ entryPoints: [file], outfile, sourcemap: "inline", logLevel: "error" });
    const child = spawn(process.execPath, ["--enable-source-maps", outfile, ...words], {
      cwd: root,
      env: { XDG_RUNTIME_DIR: folder, ...env },
      stdio: "inherit",
    });
    const code = await new Promise((resolve) => child.on("close", (exit) => resolve(exit ?? 1)));
    if (code !== 0) {
      failures++;
      say(`${file} ended with code ${code}`);
    }
  }
  rmSync(folder, { recursive: true, force: true });
  return failures === 0 ? 0 : 1;
});

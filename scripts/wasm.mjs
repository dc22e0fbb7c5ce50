// Compiles wasm/ with AssemblyScript. A result is kept in build/wasm under a hash of what it is made from, since every bundle asks for it.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { filesBelow, root, SetupError } from "./project.mjs";

/** The first 64 KiB of the memory are the threads' to talk in (src/backend/wasm/control.ts). */
const flags = [
  ...["-O3", "--runtime", "stub", "--noAssert", "--enable", "simd", "--enable", "threads"],
  ...["--importMemory", "--initialMemory", "2", "--maximumMemory", "65536", "--memoryBase", "65536"],
];

/** The kernels' binary.
 *  @param {{ shared: boolean }} options whether its memory is one that threads share
 *  @returns {Promise<Buffer>}
 *  @throws SetupError when the sources do not compile */
export async function compileKernels({ shared }) {
  const words = [...flags, ...(shared ? ["--sharedMemory"] : [])];
  const hash = createHash("sha256").update(words.join(" "));
  for (const file of [...filesBelow("wasm", /\.ts$/).sort(), "node_modules/assemblyscript/package.json"])
    hash.update(`${file}\n`).update(readFileSync(join(root, file)));
  const folder = join(root, "build/wasm");
  const kept = join(folder, `${hash.digest("hex").slice(0, 16)}.wasm`);
  if (!existsSync(kept)) {
    mkdirSync(folder, { recursive: true });
    // Written beside and renamed: several test runs may compile at once.
    const fresh = `build/wasm/${process.pid}-${shared ? "shared" : "own"}.wasm`;
    const { default: asc } = await import("assemblyscript/asc");
    const { error, stderr } = await asc.main(["wasm/index.ts", "-o", fresh, "--baseDir", root, ...words]);
    if (error) throw new SetupError(`wasm/ does not compile:\n${stderr.toString().trim() || error.message}`);
    renameSync(join(root, fresh), kept);
  }
  return readFileSync(kept);
}

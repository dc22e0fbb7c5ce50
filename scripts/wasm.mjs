// Compiles wasm/ with AssemblyScript. A result is kept in build/wasm under a hash of what it is made from, since every bundle asks for it.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync } from "node:fs";
import { join, relative } from "node:path";
import { filesBelow, root, SetupError } from "./project.mjs";

/** The first 64 KiB of the memory are the threads' to talk in (src/backend/wasm/control.ts). */
const flags = [
  ...["-O3", "--runtime", "stub", "--noAssert", "--enable", "simd", "--enable", "threads"],
  ...["--importMemory", "--initialMemory", "2", "--maximumMemory", "65536", "--memoryBase", "65536"],
];

/** Compilations under way in this process, by what comes out. */
const underWay = new Map();

/** The kernels' binary.
 *  @param {{ shared: boolean }} options whether its memory is one that threads share
 *  @returns {Promise<Buffer>}
 *  @throws SetupError when the sources do not compile */
export async function compileKernels({ shared }) {
  const words = [...flags, ...(shared ? ["--sharedMemory"] : [])];
  const hash = createHash("sha256").update(words.join(" "));
  for (const file of [...filesBelow("wasm", /\.ts$/).sort(), "node_modules/assemblyscript/package.json"])
    hash.update(`${file}\n`).update(readFileSync(join(root, file)));
  const kept = join(root, "build/wasm", `${hash.digest("hex").slice(0, 16)}.wasm`);
  if (!existsSync(kept)) {
    if (!underWay.has(kept)) underWay.set(kept, compile(kept, words));
    await underWay.get(kept);
  }
  return readFileSync(kept);
}

/** Written beside and renamed: another process may compile the same. */
async function compile(kept, words) {
  mkdirSync(join(root, "build/wasm"), { recursive: true });
  const fresh = `${relative(root, kept)}.${process.pid}`;
  const { default: asc } = await import("assemblyscript/asc");
  const { error, stderr } = await asc.main(["wasm/index.ts", "-o", fresh, "--baseDir", root, ...words]);
  if (error) throw new SetupError(`wasm/ does not compile:\n${stderr.toString().trim() || error.message}`);
  renameSync(join(root, fresh), kept);
}

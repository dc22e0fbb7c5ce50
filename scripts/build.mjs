// `npm run build`: dist/index.js, dist/parallel.js and dist/plan.js (the library, for browsers and Node) with the chunks they share or
// load when they need them, dist/cli.js (the command line), declarations.

import { existsSync, rmSync, statSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import {
  dependenciesInstalled,
  filesBelow,
  must,
  newest,
  requireNode,
  root,
  SetupError,
  say,
  script,
} from "./project.mjs";

const library = {
  entryPoints: ["src/index.ts", "src/parallel.ts", "src/plan.ts"],
  outdir: "dist",
  chunkNames: "chunks/[name]-[hash]",
  splitting: true,
  platform: "browser",
  metafile: true,
};
const outputs = ["index.js", "parallel.js", "plan.js", "cli.js", "index.d.ts", "parallel.d.ts", "plan.d.ts"].map(
  (name) => `dist/${name}`,
);

/** esbuild comes with the dependencies, so it is loaded only once they are known to be there. */
async function bundler() {
  if (!dependenciesInstalled()) throw new SetupError("dependencies are missing or out of date: run npm ci first");
  return (await import("./bundle.mjs")).bundle;
}

function failed(error) {
  const lines = (error.errors ?? []).map(({ text, location }) =>
    location ? `${location.file}:${location.line}: ${text}` : text,
  );
  return lines.length > 0 ? new SetupError(`the build failed:\n${lines.join("\n")}`) : error;
}

/** Writes the library, its declarations and dist/cli.js.
 *  @throws SetupError when the sources do not bundle, or when the library cannot load in a browser */
export async function build() {
  const bundle = await bundler();
  try {
    const [{ metafile }] = await Promise.all([
      bundle({ ...library, sourcemap: true }),
      bundle({ entryPoints: ["src/cli/main.ts"], outfile: "dist/cli.js", sourcemap: true }),
      declarations(),
    ]);
    // Old ones afterwards, and never this build's: two may run at once.
    for (const file of filesBelow("dist/chunks").filter((name) => !(name in metafile.outputs)))
      rmSync(join(root, file), { force: true });
    const fixed = Object.values(metafile.outputs)
      .flatMap(({ imports }) => imports)
      .filter(({ external, kind }) => external && kind !== "dynamic-import");
    if (fixed.length > 0) {
      const names = fixed.map(({ path }) => path).join(", ");
      throw new SetupError(`the library must load in a browser, but imports ${names}: use import() where it is needed`);
    }
  } catch (error) {
    throw failed(error);
  }
}

/** Builds where dist/ is missing or older than what it is made from. */
export async function ensureBuilt() {
  const sources = [
    ...filesBelow("src"),
    ...filesBelow("shaders"),
    ...filesBelow("wasm"),
    ...filesBelow("scripts"),
    "package-lock.json",
  ];
  const made = outputs.map((file) => join(root, file));
  if (made.every((file) => existsSync(file) && statSync(file).mtimeMs >= newest(sources))) return;
  say("building");
  await build();
}

/** Bytes a page loads to train on WebGPU, shaders included: index.js, that backend, and what either needs at once. Minified, and each
 *  file then gzipped. */
export async function coreSize() {
  const bundle = await bundler();
  const { metafile, outputFiles } = await bundle({ ...library, minify: true, write: false });
  const backend = Object.keys(metafile.outputs).find(
    (name) => metafile.outputs[name].entryPoint === "src/backend/webgpu/backend.ts",
  );
  const loaded = new Set(["dist/index.js", backend]);
  for (const name of loaded)
    for (const { path, kind } of metafile.outputs[name].imports) if (kind === "import-statement") loaded.add(path);
  const files = outputFiles.filter(({ path }) => loaded.has(relative(root, path)));
  const sum = (bytesOf) => files.reduce((total, { contents }) => total + bytesOf(contents), 0);
  return {
    minifiedBytes: sum((contents) => contents.length),
    gzipBytes: sum((contents) => gzipSync(contents, { level: 9 }).length),
  };
}

/** Half a second, while the bundler works. Unchecked, so that a wrong type keeps nobody from running: `npm run check` tells. */
async function declarations() {
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  await must(process.execPath, [tsc, "-p", "tsconfig.build.json", "--noCheck"], {
    failure: "the declarations could not be written: npm run check says what is wrong with the types",
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await script(async () => {
    requireNode();
    await build();
    const { minifiedBytes, gzipBytes } = await coreSize();
    say(`${outputs.join(" ")}; core ${minifiedBytes} bytes minified, ${gzipBytes} gzipped`);
  });
}

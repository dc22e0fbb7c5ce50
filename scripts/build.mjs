// `npm run build`: dist/index.js (the library, for browsers and Node), dist/cli.js (the command line), declarations.

import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
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

const core = { entryPoints: ["src/index.ts"], platform: "browser", metafile: true };

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

/** Writes dist/index.js and dist/cli.js.
 *  @throws SetupError when the sources do not bundle, or when the core cannot load in a browser */
export async function build() {
  const bundle = await bundler();
  try {
    const [library] = await Promise.all([
      bundle({ ...core, outfile: "dist/index.js", sourcemap: true }),
      bundle({ entryPoints: ["src/cli/main.ts"], outfile: "dist/cli.js", sourcemap: true }),
    ]);
    const { imports } = library.metafile.outputs["dist/index.js"];
    const fixed = imports.filter(({ external, kind }) => external && kind !== "dynamic-import");
    if (fixed.length > 0) {
      const names = fixed.map(({ path }) => path).join(", ");
      throw new SetupError(`the core must load in a browser, but imports ${names}: use import() where it is needed`);
    }
  } catch (error) {
    throw failed(error);
  }
}

/** Builds where dist/ is missing or older than what it is made from. */
export async function ensureBuilt() {
  const sources = [...filesBelow("src"), ...filesBelow("shaders"), ...filesBelow("scripts"), "package-lock.json"];
  const outputs = ["dist/index.js", "dist/cli.js"].map((file) => join(root, file));
  if (outputs.every((file) => existsSync(file) && statSync(file).mtimeMs >= newest(sources))) return;
  say("building");
  await build();
}

/** Bytes of the core, shaders included: minified, and minified then gzipped. */
export async function coreSize() {
  const bundle = await bundler();
  const { outputFiles } = await bundle({ ...core, minify: true, write: false });
  return {
    minifiedBytes: outputFiles[0].contents.length,
    gzipBytes: gzipSync(outputFiles[0].contents, { level: 9 }).length,
  };
}

async function declarations() {
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  await must(process.execPath, [tsc, "-p", "tsconfig.build.json"], {
    failure: "the declarations could not be written: npm run check says what is wrong with the types",
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await script(async () => {
    requireNode();
    await build();
    await declarations();
    const { minifiedBytes, gzipBytes } = await coreSize();
    say(`dist/index.js dist/cli.js; core ${minifiedBytes} bytes minified, ${gzipBytes} gzipped`);
  });
}

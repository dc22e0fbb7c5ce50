// esbuild as this project uses it: WGSL as text without comments, wasm/ as its binary, threads' scripts as text, scripts left where
// they are.

import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";
import { root } from "./project.mjs";
import { compileKernels } from "./wasm.mjs";

/** A shader without comments, indentation, blank lines and runs of blanks. Line breaks stay: a compile error's line is worth more
 *  than the few bytes they cost under gzip. WGSL has no string literals, so a comment can be nothing else. Block comments nest.
 *  What begins with //@ is no comment: it says which lines are repeated. */
export function stripShader(source) {
  let code = "";
  for (let i = 0; i < source.length; ) {
    if (source.startsWith("//", i) && !source.startsWith("//@", i)) {
      while (i < source.length && source[i] !== "\n") i++;
    } else if (source.startsWith("/*", i)) {
      let depth = 0;
      do {
        const step = source.startsWith("/*", i) ? 1 : source.startsWith("*/", i) ? -1 : 0;
        depth += step;
        i += step === 0 ? 1 : 2;
      } while (depth > 0 && i < source.length);
      code += " ";
    } else code += source[i++];
  }
  const lines = code.split("\n").map((line) => line.trim().replace(/\s+/g, " "));
  return `${lines.filter((line) => line !== "").join("\n")}\n`;
}

const shaders = {
  name: "shaders",
  setup(builder) {
    builder.onLoad({ filter: /\.wgsl$/ }, async ({ path }) => ({
      contents: stripShader(await readFile(path, "utf8")),
      loader: "text",
    }));
  },
};

const kernels = {
  name: "kernels",
  setup(builder) {
    builder.onResolve({ filter: /\/kernels(\.shared)?\.wasm$/ }, ({ path }) => ({ path, namespace: "kernels" }));
    builder.onLoad({ filter: /.*/, namespace: "kernels" }, async ({ path }) => ({
      contents: await compileKernels({ shared: path.endsWith(".shared.wasm") }),
      loader: "binary",
    }));
  },
};

/** Packages that Node loads when they are needed, and pages never. */
const native = ["webgpu", "gpu.js", "node-datachannel", "ws", "@nats-io/transport-node"];

/** Threads start from a text, so that the library is the same in one file or many, and wherever it is served from. */
const threads = {
  name: "threads",
  setup(builder) {
    builder.onResolve({ filter: /\.script$/ }, ({ path, resolveDir }) => ({
      path: resolve(resolveDir, path.replace(/\.script$/, ".ts")),
      namespace: "threads",
    }));
    builder.onLoad({ filter: /.*/, namespace: "threads" }, async ({ path }) => {
      const { outputFiles } = await build({
        ...{ entryPoints: [path], bundle: true, write: false, minify: true, plugins: [shaders, kernels, threads] },
        ...{ format: "iife", target: "es2022", platform: "node", logLevel: "silent", external: native },
        // Without a module there is no such thing; who needs it is told.
        define: { "import.meta.resolve": "undefined" },
      });
      return { contents: outputFiles[0].text, loader: "text" };
    });
  },
};

// Tests import scripts, which find the project from where they lie: never bundle them.
const scriptsStay = {
  name: "scripts stay",
  setup(builder) {
    builder.onResolve({ filter: /\/scripts\/.*\.mjs$/ }, ({ path, resolveDir }) => ({
      path: pathToFileURL(resolve(resolveDir, path)).href,
      external: true,
    }));
  },
};

/** Bundles as ES modules. `platform: "node"` leaves packages to Node; "browser" leaves only what a browser never reaches.
 *  @param {import("esbuild").BuildOptions} options */
export function bundle({ platform = "node", ...options }) {
  return build({
    absWorkingDir: root,
    bundle: true,
    format: "esm",
    target: "es2022",
    platform,
    logLevel: "silent",
    ...(platform === "node" ? { packages: "external" } : { external: [...native, "node:*"] }),
    plugins: [shaders, kernels, threads, scriptsStay],
    ...options,
  });
}

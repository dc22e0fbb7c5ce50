// The layering rule of src/: a folder imports only from folders below it, and no module imports itself through others. Type-only
// imports count. Biome cannot say either: its import-cycle rule skips types, and its restrictions know no order.

import { existsSync, readFileSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import { filesBelow, root } from "./project.mjs";

/** The public API: what lies outside src sees no more, and inside only cli sees it. */
const doors = ["src/index.ts", "src/parallel.ts", "src/plan.ts"];
const layers = ["trace", "backend", "tensor", "comm", "parallel", "nn", "train", "plan", "cluster", "cli"];

const imports = /^(?:import|export)\b[^"'`;]*?\bfrom\s*"([^"]+)"|\bimport\s*\(\s*"([^"]+)"|^import\s+"([^"]+)"/gm;

/** What a module imports, relative imports resolved to paths from the project's root. */
export function importsOf(file, source) {
  return [...source.matchAll(imports)].map(([, from, dynamic, bare]) => {
    const name = from ?? dynamic ?? bare;
    return name.startsWith(".") ? posix.join(dirname(file), name) : name;
  });
}

/** One sentence for every import from `file` that the rule forbids.
 *  @param {string} file path from the root */
export function forbidden(file, imported) {
  const [room, layer] = file.split("/");
  const [toRoom, toLayer] = imported.split("/");
  if (room === "demos" && toRoom === "src" && !doors.includes(imported)) {
    return `${file} imports ${imported}; demos see only ${doors.join(", ")}`;
  }
  if (room !== "src") return undefined;
  if (["test", "bench", "demos", "scripts"].includes(toRoom))
    return `${file} imports ${imported}; src stands on its own`;
  if (toRoom !== "src" || doors.includes(file)) return undefined;
  if (doors.includes(imported)) {
    return layer === "cli"
      ? undefined
      : `${file} imports ${imported}; only cli and what lies outside src see the public API`;
  }
  const [from, to] = [layers.indexOf(layer), layers.indexOf(toLayer)];
  if (from < 0 || to < 0)
    return `${file} imports ${imported}; one of them is in no known layer (${layers.join(" < ")})`;
  return to <= from ? undefined : `${file} imports ${imported}; ${layer} lies below ${toLayer} (${layers.join(" < ")})`;
}

/** The first cycle met in a graph of file -> imported files, as the path around it. */
export function cycle(graph) {
  const done = new Set();
  const path = [];
  const visit = (file) => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
    if (done.has(file)) return undefined;
    path.push(file);
    for (const next of graph.get(file) ?? []) {
      const found = visit(next);
      if (found) return found;
    }
    path.pop();
    done.add(file);
    return undefined;
  };
  for (const file of graph.keys()) {
    const found = visit(file);
    if (found) return found;
  }
  return undefined;
}

/** Every breach of the rule in the tree. */
export function layering() {
  const files = ["src", "test", "bench", "demos"].flatMap((folder) => filesBelow(folder, /\.tsx?$/));
  const graph = new Map(files.map((file) => [file, importsOf(file, readFileSync(join(root, file), "utf8"))]));
  const problems = [];
  for (const [file, imported] of graph) {
    for (const name of imported) {
      const problem = forbidden(file, name);
      if (problem) problems.push(problem);
      if (/^(src|shaders)\/.*\.(ts|wgsl)$/.test(name) && !existsSync(join(root, name)))
        problems.push(`${file} imports ${name}, which is not there`);
    }
  }
  const round = cycle(graph);
  if (round) problems.push(`import cycle: ${round.join(" -> ")}`);
  return problems;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const problems = layering();
  for (const problem of problems) console.error(problem);
  process.exitCode = problems.length > 0 ? 1 : 0;
}

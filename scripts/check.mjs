// `npm run check`: format and lint, layers, types, unused exports; seconds. `npm run check -- --write` formats and fixes.

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { installDependencies, requireNode, root, run, script } from "./project.mjs";

const write = process.argv.includes("--write");
const tool = (path, ...args) => [join(root, "node_modules", path), ...args];

const commands = {
  "format and lint": tool("@biomejs/biome/bin/biome", "check", "--error-on-warnings", ...(write ? ["--write"] : [])),
  layers: [join(root, "scripts/layers.mjs")],
  types: tool("typescript/bin/tsc", "--noEmit", "-p", "."),
  "unused exports": tool("knip/bin/knip.js", "--no-progress"),
};

/** Runs every check and calls `report(name, { ok, output, durationMs })` as each ends. True when all passed. */
export async function checks(report) {
  const results = Object.entries(commands).map(async ([name, args]) => {
    const started = performance.now();
    const { code, output } = await run(process.execPath, args, { env: { ...process.env, NO_COLOR: "1" } });
    report(name, { ok: code === 0, output, durationMs: performance.now() - started });
    return code === 0;
  });
  return (await Promise.all(results)).every(Boolean);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await script(async () => {
    requireNode();
    await installDependencies();
    const ok = await checks((name, { ok, output, durationMs }) => {
      console.log(`${ok ? "ok  " : "FAIL"} ${name} (${(durationMs / 1000).toFixed(1)} s)`);
      if (!ok) console.log(output.trimEnd());
    });
    return ok ? 0 : 1;
  });
}

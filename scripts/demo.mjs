// `npm run demo`: builds the demo pages where they are older than their sources, serves them and opens the browser. What follows `--` goes
// to `shardgrad demo`.

import { spawn } from "node:child_process";
import { join } from "node:path";
import { ensureBuilt } from "./build.mjs";
import { installDependencies, requireNode, root, script } from "./project.mjs";

await script(async () => {
  requireNode();
  await installDependencies();
  const { ensureDemosBuilt } = await import("./build-demos.mjs");
  await Promise.all([ensureBuilt(), ensureDemosBuilt()]);
  const child = spawn(process.execPath, [join(root, "dist/cli.js"), "demo", ...process.argv.slice(2)], {
    stdio: "inherit",
  });
  // Ctrl-C reaches the child through the terminal.
  process.on("SIGINT", () => {});
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  return new Promise((resolve) => child.on("close", (code) => resolve(code ?? 1)));
});

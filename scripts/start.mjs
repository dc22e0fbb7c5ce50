// `npm start`: installs, builds, and trains a small GPT-2 on the bundled text. What follows `--` goes to `shardgrad train`.

import { spawn } from "node:child_process";
import { join } from "node:path";
import { ensureBuilt } from "./build.mjs";
import { installDependencies, requireNode, root, script } from "./project.mjs";

await script(async () => {
  requireNode();
  await installDependencies();
  await ensureBuilt();
  const child = spawn(process.execPath, [join(root, "dist/cli.js"), "train", ...process.argv.slice(2)], {
    stdio: "inherit",
  });
  // Ctrl-C reaches the child through the terminal: it saves or says goodbye, we wait for it.
  process.on("SIGINT", () => {});
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  return new Promise((resolve) => child.on("close", (code) => resolve(code ?? 1)));
});

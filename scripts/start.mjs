// `npm start`: installs, builds, and trains a small GPT-2 on the bundled text, on 2 x 2 x 2 ranks unless told otherwise. What follows `--`
// goes to `shardgrad train`.

import { spawn } from "node:child_process";
import { join } from "node:path";
import { ensureBuilt } from "./build.mjs";
import { installDependencies, requireNode, root, script } from "./project.mjs";

/** A step of eight ranks on one device takes 0.12 s of a core on the cpu backend and three times that on lavapipe, the exact validation at
 *  the end 12 s: 300 steps leave the two minutes room for the installation. */
const onMesh = ["--layout", "2.5d", "--mesh", "2x2x2", "--steps", "300", "--eval-every", "100"];

await script(async () => {
  requireNode();
  await installDependencies();
  await ensureBuilt();
  const given = process.argv.slice(2);
  const meshGiven = given.some((word) => /^--(mesh|layout)(=|$)/.test(word));
  // Of flags given twice the last counts.
  const child = spawn(process.execPath, [join(root, "dist/cli.js"), "train", ...(meshGiven ? [] : onMesh), ...given], {
    stdio: "inherit",
  });
  // Ctrl-C reaches the child through the terminal: it saves or says goodbye, we wait for it.
  process.on("SIGINT", () => {});
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  return new Promise((resolve) => child.on("close", (code) => resolve(code ?? 1)));
});

// `npm start`: installs, builds, and trains a small GPT-2 on the bundled text, on 2 x 2 x 2 ranks unless told otherwise. What follows `--`
// goes to `shardgrad train`.

import { spawn } from "node:child_process";
import { join } from "node:path";
import { ensureBuilt } from "./build.mjs";
import { installDependencies, requireNode, root, script } from "./project.mjs";

/** 500 steps take half a minute on two cores without a GPU, and twice that where others use them too: installation included, under two
 *  minutes in any case. */
const onMesh = ["--layout", "2.5d", "--mesh", "2x2x2", "--steps", "500", "--eval-every", "100"];

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

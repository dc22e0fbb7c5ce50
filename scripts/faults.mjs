// `npm run faults`: puts each fault of links and rooms into 100 runs at random points, with seeds; hours in all. `npm test` does some of each.
//   npm run faults -- remote --runs 20     only files whose path has the word: remote (channels and programs), room (processes, rendezvous), browser (tabs)
//   npm run faults -- room --seed 17 --runs 1   one seed again

import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { commandOf, filesBelow, installDependencies, requireNode, root, SetupError, say, script } from "./project.mjs";
import { runFile } from "./runner.mjs";

const help = `npm run faults [-- WORD ... [--runs N] [--seed S]]

Puts each fault of links and rooms into many runs at random points. A run is repeated by its seed.

  WORD       only files whose path has it: remote (channels and programs), room (processes, rendezvous), browser (tabs)
  --runs N   of each fault, with seeds from S on: 100 by default, hours for all files
  --seed S   0 by default
`;

const count = (name, text) => {
  if (/^\d{1,6}$/.test(text)) return text;
  throw new SetupError(`got --${name} ${text}, need a whole number`);
};

await script(async () => {
  requireNode();
  const options = { runs: { type: "string", default: "100" }, seed: { type: "string", default: "0" } };
  const asked = commandOf({ command: "npm run faults", help, options });
  if (!asked) return 0;
  const { values, positionals } = asked;
  const counts = {
    SHARDGRAD_FAULT_RUNS: count("runs", values.runs),
    SHARDGRAD_FAULT_SEED: count("seed", values.seed),
  };
  await installDependencies();
  const files = filesBelow("test", /faults\.test\.ts$/).filter((file) =>
    positionals.every((word) => file.includes(word)),
  );
  if (files.length === 0)
    throw new SetupError(`no file of faults matches ${positionals.join(" ")}; use remote, room or browser`);
  const [{ setUp }, { ensureBuilt }, { bundle }] = await Promise.all([
    import("./setup.mjs"),
    import("./build.mjs"),
    import("./bundle.mjs"),
  ]);
  const { chromium } = await setUp();
  await ensureBuilt();
  mkdirSync(join(root, "build"), { recursive: true });
  const folder = mkdtempSync(join(root, "build/faults-"));
  const env = {
    ...{ SHARDGRAD_TEST_BACKEND: "cpu", SHARDGRAD_TEST_THREADS: "1", CHROMIUM_PATH: chromium },
    ...counts,
  };
  let failures = 0;
  for (const file of files) {
    const outfile = join(folder, file.replace(/\.ts$/, ".mjs"));
    await bundle({ entryPoints: [file], outfile, sourcemap: "inline" });
    const { passed, failed, reason, output, durationMs } = await runFile({
      file: outfile,
      cwd: root,
      env,
      timeoutMs: 86_400_000,
    });
    failures += failed;
    say(`${reason === undefined ? "ok  " : "FAIL"} ${file}: ${passed} passed (${(durationMs / 1000).toFixed(0)} s)`);
    if (reason !== undefined) say(`${reason}\n${output}`);
  }
  rmSync(folder, { recursive: true, force: true });
  return failures === 0 ? 0 : 1;
});

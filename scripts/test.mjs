// `npm test`: sets up, checks, then runs every test file on every adapter it is meant for. Ends with `N passed, N failed`.

import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { commandOf, filesBelow, installDependencies, requireNode, root, SetupError, script } from "./project.mjs";
import { inParallel, runFile } from "./runner.mjs";

/** Two files at a time even on larger machines: software adapters use every core themselves. */
const filesAtOnce = Math.min(2, availableParallelism());
/** The slowest file, products on SwiftShader, takes a good minute on two busy cores. The browser's one file runs them all, and has
 *  time-outs of its own that name the file at fault. */
const timeoutOf = (file) => (suiteOf(file) === "browser" ? 900_000 : 300_000);

const backends = ["cpu", "plain", "lavapipe", "as-gpu", "swiftshader", "device"];

const help = `npm test [-- SUITE WORD ... [--backend NAME]]

Sets up what it needs, checks, and runs every test file on every adapter it is meant for; or those of one suite (a folder of test/), and of these
the ones whose path has the words.

  --backend NAME   on one alone: cpu, plain (cpu's loops for where WebAssembly SIMD is missing), lavapipe, as-gpu (lavapipe, with the kernels
                   meant for GPUs), swiftshader, device (the machine's own driver)
`;

/** @returns undefined where help was asked for, and is printed
 *  @throws SetupError for what there is not */
function parseCommand() {
  const asked = commandOf({ command: "npm test", help, options: { backend: { type: "string" } } });
  if (!asked) return undefined;
  const { values, positionals } = asked;
  if (values.backend && !backends.includes(values.backend)) {
    throw new SetupError(`--backend ${values.backend}: use one of ${backends.join(", ")}`);
  }
  const files = filesBelow("test", /\.test\.ts$/).filter((file) => !file.startsWith("test/fixtures/"));
  const suites = [...new Set(files.map(suiteOf))];
  const suite = suites.includes(positionals[0]) ? positionals.shift() : undefined;
  const wanted = files.filter(
    (file) => (suite === undefined || suiteOf(file) === suite) && positionals.every((word) => file.includes(word)),
  );
  if (wanted.length === 0) {
    throw new SetupError(
      `no test file matches ${process.argv.slice(2).join(" ")}; the suites are ${suites.join(", ")}`,
    );
  }
  return { wanted, backend: values.backend, everything: process.argv.length === 2 };
}

/** Tests on ranks that look at no value a device computed, or at what is the same on any: verify and training show layouts on all. */
const deviceFree = [
  "calibrate",
  "checkpoint",
  "collectives",
  "launch",
  "megatron",
  "mutation",
  "properties",
  "recorded-step",
  "remote",
  "trace",
  "wire-training",
  "volume",
  "memory",
  "ledger",
  "loopback",
  "workers",
  "remote-faults",
  "remote-memory",
  "remote-silence",
  "room-faults",
  "steering",
].map((name) => `parallel/${name}`);

/** Tests of links, servers and silence, which wait for time-outs more than they compute: seconds and seconds of a processor, alone on two cores,
 *  turn 31 and 6, remote-faults 30 and 14, webrtc 12 and 1, nats-relay 10 and 4. They run one by one beside the others. */
const waiting = [
  "network/",
  "parallel/remote-faults",
  "parallel/room-faults",
  "unit/nats",
  "unit/rendezvous",
  "unit/webrtc",
].map((name) => `test/${name}`);

const mostlyWaits = ({ file }) => waiting.some((start) => file.startsWith(start));

/** What shows training on SwiftShader; the rest of training does not depend on the adapter beyond its kernels, and browser/train trains there
 *  in Chromium too. */
const onSwiftshader = ["test/training/verify.test.ts", "test/training/f16.test.ts"];

/** A suite is a folder of test/. */
const suiteOf = (file) => file.split("/")[1];

const needsOwnNetwork = (file) => file.startsWith("test/network/isolation");

/** The adapters a file runs on, each a name and the environment that selects it, and what it is started with. Suites other than these three use
 *  a backend. */
function adaptersOf(file, { backend, found, network, vulkanDriver }) {
  const suite = suiteOf(file);
  if (suite === "unit") return backend ? [] : [{ name: "", env: {} }];
  if (suite === "network") {
    const { within, env } = needsOwnNetwork(file) ? network : { env: {} };
    return backend || !env ? [] : [{ name: "", env, within }];
  }
  if (suite === "browser" || suite === "demos")
    return backend ? [] : [{ name: "chromium", env: { CHROMIUM_PATH: found.chromium } }];
  const webgpu = { SHARDGRAD_TEST_BACKEND: "webgpu" };
  const asGpu = { SHARDGRAD_TEST_BACKEND: "webgpu-as-gpu" };
  const all = {
    // Kernels are tested on several threads; what is built of them on one each, since two files run at a time, and bits are the same.
    cpu: { SHARDGRAD_TEST_BACKEND: "cpu", ...(suite !== "gpu" && { SHARDGRAD_TEST_THREADS: "1" }) },
    plain: { SHARDGRAD_TEST_BACKEND: "plain" },
    ...(found.lavapipe && { lavapipe: { ...webgpu, ...vulkanDriver(found.lavapipe) } }),
    ...(found.lavapipe && { "as-gpu": { ...asGpu, ...vulkanDriver(found.lavapipe) } }),
    ...(found.swiftshader && { swiftshader: { ...webgpu, ...vulkanDriver(found.swiftshader) } }),
    device: webgpu,
  };
  // The machine's own driver is one nobody chose: it counts where it is asked for, or where it is the only one.
  // The kernels for GPUs are tested one by one; a whole training adds nothing but their compilation, which lavapipe takes long for.
  const forGpus = suite === "gpu" ? ["as-gpu"] : [];
  const loops = suite === "gpu" ? ["plain"] : [];
  // A mesh runs the same kernels as one rank: two adapters show that nothing depends on the device; what counts words and bytes, or is about
  // links alone, needs one.
  // Chromium runs every kernel test on SwiftShader already.
  const slow = onSwiftshader.includes(file) ? ["swiftshader"] : [];
  if (!backend && deviceFree.some((name) => file.endsWith(`/${name}.test.ts`))) return [{ name: "cpu", env: all.cpu }];
  const byDefault = found.lavapipe ? ["cpu", ...loops, "lavapipe", ...forGpus, ...slow] : ["cpu", ...loops, "device"];
  if (backend && !all[backend]) throw new SetupError(`--backend ${backend} exists on Linux only; use cpu or device`);
  return (backend ? [backend] : byDefault).map((name) => ({ name, env: all[name] }));
}

/** Bundles test files into a folder, all at once: 182 take 1.2 s, and 14 s one after another. Where they do not bundle together, each alone
 *  shows which is at fault. */
async function bundleTests(files, folder) {
  const { bundle } = await import("./bundle.mjs");
  const together = (entryPoints) =>
    bundle({
      ...{ entryPoints, outdir: folder, outbase: ".", outExtension: { ".js": ".mjs" } },
      ...{ splitting: true, chunkNames: "chunks/[name]-[hash]", sourcemap: "inline" },
    });
  const faults = [];
  try {
    await together(files);
  } catch {
    for (const file of files) await together([file]).catch((error) => faults.push({ file, error }));
  }
  const bundled = files
    .filter((file) => !faults.some((each) => each.file === file))
    .map((file) => ({ file, outfile: join(folder, file.replace(/\.ts$/, ".mjs")) }));
  return { bundled, faults };
}

const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;
const indented = (text) => text.trimEnd().replace(/^/gm, "    ");

async function main() {
  requireNode();
  const command = parseCommand();
  if (!command) return 0;
  const { wanted, backend, everything } = command;
  await installDependencies();
  const { natsServer, ownNetwork, setUp, turnServer, vulkanDriver } = await import("./setup.mjs");
  const needsAdapters = wanted.some((file) => !["unit", "network"].includes(suiteOf(file)));
  const found = needsAdapters ? await setUp() : {};
  // Once, before several files at a time would install them.
  const onNetwork = wanted.some((file) => suiteOf(file) === "network");
  if (onNetwork || wanted.some((file) => file.startsWith("test/unit/nats"))) await natsServer();
  if (onNetwork) await turnServer();
  const network = wanted.some(needsOwnNetwork) ? await ownNetwork() : {};

  let passed = 0;
  let failed = 0;
  const report = (line, output) => console.log(output ? `${line}\n${indented(output)}` : line);

  if (everything) {
    const { checks } = await import("./check.mjs");
    await checks((name, { ok, output, durationMs }) => {
      if (!ok) failed++;
      report(`${ok ? "ok  " : "FAIL"} check ${name} (${seconds(durationMs)})`, ok ? "" : output);
    });
  }
  if (wanted.some((file) => ["browser", "demos", "network"].includes(suiteOf(file))))
    await (await import("./build.mjs")).ensureBuilt();

  // A folder of this run's own (two may run at once), inside the project, where Node finds its packages.
  mkdirSync(join(root, "build"), { recursive: true });
  const bundles = mkdtempSync(join(root, "build/test-"));
  // Mesa wants a place for sockets and complains on stderr when there is none.
  const runtime = mkdtempSync(join(tmpdir(), "shardgrad-"));
  const runs = [];
  const { bundled, faults } = await bundleTests(wanted, bundles);
  for (const { file, error } of faults) {
    failed++;
    report(`FAIL ${file}: does not bundle`, error.message);
  }
  for (const { file, outfile } of bundled)
    for (const adapter of adaptersOf(file, { backend, found, network, vulkanDriver }))
      runs.push({ file, outfile, adapter });
  // The slowest first, so that no core idles at the end.
  const weight = ({ adapter }) => ["chromium", "swiftshader", "lavapipe"].indexOf(adapter.name) >>> 0;
  runs.sort((a, b) => weight(a) - weight(b));
  const work = async ({ file, outfile, adapter }) => {
    const env = { XDG_RUNTIME_DIR: runtime, ...adapter.env };
    const result = await runFile({ file: outfile, cwd: root, env, within: adapter.within, timeoutMs: timeoutOf(file) });
    passed += result.passed;
    failed += result.failed;
    const name = [file.replace(/^test\//, ""), adapter.name].filter(Boolean).join(" on ");
    const line = `${name}: ${result.passed} passed (${seconds(result.durationMs)})`;
    if (result.reason === undefined) report(`ok   ${line}`);
    else report(`FAIL ${line}: ${result.reason}`, result.output);
  };
  const computing = runs.filter((each) => !mostlyWaits(each));
  await Promise.all([
    inParallel(computing, { width: filesAtOnce, work }),
    inParallel(runs.filter(mostlyWaits), { width: 1, work }),
  ]);
  for (const folder of [bundles, runtime]) rmSync(folder, { recursive: true, force: true });
  if (network.reason) {
    const lost = `NOT RUN test/network/isolation*: they need networks of their own, and this machine gives none: ${network.reason}`;
    if (runs.length === 0) throw new SetupError(lost);
    report(lost);
  }
  if (runs.length === 0 && failed === 0)
    throw new SetupError("nothing to run: unit and browser tests take no --backend");
  console.log(`${passed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

await script(async () => {
  try {
    return await main();
  } catch (error) {
    console.error(error instanceof SetupError ? error.message : error);
    console.log("0 passed, 1 failed");
    return 1;
  }
});

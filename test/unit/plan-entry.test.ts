// shardgrad/plan, as a page has it: what it loads, its steps beside the command's, profiles with other numbers.

import { relative } from "node:path";
import { test } from "uvu";
import { equal, is, ok } from "uvu/assert";
import { bundle } from "../../scripts/bundle.mjs";
import { root } from "../../scripts/project.mjs";
import {
  chromeTrace,
  meshShape,
  parseModelConfig,
  parseProfile,
  profileNamed,
  replayStep,
  type SimulationProgress,
  simulateStep,
  stepParameters,
  withChanges,
} from "../../src/plan.ts";
import { command, events } from "./command.ts";
import { whole } from "./own-profile.ts";
import { refuses } from "./refusal.ts";

const config = parseModelConfig({
  ...{ model_type: "gpt2", vocab_size: 96, n_positions: 32, n_embd: 64, n_layer: 2, n_head: 8 },
});
const step = {
  ...{ config, shape: meshShape({ dims: [2, 2, 2] }), profile: profileNamed("m1", "wifi") },
  parameters: stepParameters({ batch: 8, context: 32, recompute: true }),
};

test("what a page loads of the built library to simulate names no module of Node", async () => {
  const { metafile, outputFiles } = await bundle({
    ...{ entryPoints: ["src/plan.ts"], outdir: "dist", splitting: true, platform: "browser" },
    ...{ metafile: true, write: false, minify: true },
  });
  ok(metafile && outputFiles);
  const loaded = new Set(["dist/plan.js"]);
  for (const name of loaded)
    for (const { path, kind } of metafile.outputs[name].imports) if (kind === "import-statement") loaded.add(path);
  const texts = outputFiles.filter(({ path }) => loaded.has(relative(root, path))).map(({ text }) => text);
  is(texts.length, loaded.size);
  ok(
    texts.some((text) => text.includes("meluxina")),
    "profiles come with it",
  );
  for (const text of texts) is(text.match(/["'`]node:[a-z_]+/)?.[0], undefined);
});

test("simulateStep is the command's, number for number, and tells of each rank", async () => {
  const told: SimulationProgress[] = [];
  const { figures } = await simulateStep(step, (progress) => void told.push(progress));
  const flags = ["--layers", "2", "--heads", "8", "--width", "64", "--context", "32", "--vocab", "96", "--recompute"];
  const profile = ["--profile", "m1", "--network", "wifi"];
  const { stdout } = await command(["simulate", ...flags, ...profile, "--mesh", "2x2x2", "--json"]);
  const [{ event: _, ...simulated }] = events(stdout);
  equal(JSON.parse(JSON.stringify(figures)), simulated);
  const recorded = told.filter(({ doing }) => doing === "recording");
  equal(
    recorded.map(({ done, all }) => [done, all]),
    Array.from({ length: 8 }, (_, rank) => [rank + 1, 8]),
  );
});

test("a step replayed on other devices takes what it takes when simulated there; its ranks' timelines can be kept", async () => {
  const first = await simulateStep(step);
  const faster = withChanges(step.profile, { network: { mediumBytesPerSecond: 1e9 } });
  const again = replayStep(first, { profile: faster, devices: 4 });
  const { figures, timeline } = await simulateStep({ ...step, profile: faster, devices: 4, traceRanks: [0, 5] });
  equal(again.figures, figures);
  ok(again.figures.seconds < first.figures.seconds);
  equal([...new Set(timeline?.slices.map(({ rank }) => rank))], [0, 5]);
  ok(timeline && [...chromeTrace(timeline)].join("").includes('"matmul '));
});

test("a profile with other numbers: those alone, as estimates; links that are not there are not made", () => {
  const profile = parseProfile(whole());
  const changed = withChanges(profile, {
    device: { memoryBytes: 7e9, productFlopsPerSecond: { f16: 9e12 } },
    network: { bytesPerSecond: 1e7, uplinkBytesPerSecond: 3e6 },
  });
  const estimate = (value: number) => ({ value, origin: "estimate" });
  equal(changed, {
    ...profile,
    device: {
      ...profile.device,
      memoryBytes: estimate(7e9),
      products: { ...profile.device.products, f16: { ...profile.device.products.f16, flopsPerSecond: estimate(9e12) } },
    },
    network: profile.network.map((level, i) => ({
      ...{ ...level, bytesPerSecond: estimate(1e7) },
      ...(i === 1 && { uplinkBytesPerSecond: estimate(3e6), downlinkBytesPerSecond: estimate(4e6) }),
    })),
  });
  const outer = withChanges(profile, { network: [{}, {}, { latencySeconds: 0.25 }] });
  equal(
    outer.network.map(({ latencySeconds }) => latencySeconds.value),
    [1e-5, 1e-5, 0.25],
  );
  equal(withChanges(profile, {}), profile);
  refuses(
    () => withChanges(profile, { network: { bytesPerSecond: -1 } }),
    /level 0 bytesPerSecond: got value -1, need a number from 1000 to/,
  );
  refuses(
    () => withChanges(profile, { device: { memoryBytes: Number.NaN } }),
    /memoryBytes: got value null, need a number/,
  );
});

test.run();

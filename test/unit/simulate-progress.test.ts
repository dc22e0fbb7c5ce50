// Long simulations tell how far they are, in all their parts.

import { test } from "uvu";
import { equal, ok } from "uvu/assert";
import { parseModelConfig } from "../../src/nn/config.ts";
import { meshShape } from "../../src/parallel/shape.ts";
import { profileNamed } from "../../src/plan/profiles.ts";
import { type SimulationProgress, tellEvery } from "../../src/plan/progress.ts";
import { parametersOf } from "../../src/plan/record-step.ts";
import { simulateStep } from "../../src/plan/simulate-step.ts";

const gpt2 = (layers: number, heads: number) =>
  parseModelConfig({
    ...{ model_type: "gpt2", vocab_size: 32, n_positions: 2, n_embd: 2 * heads, n_layer: layers, n_head: heads },
  });
const parameters = parametersOf({ batch: 1, context: 2 });
const profile = profileNamed("a100");

test("ranks, messages and ops are told in this order, each ascending and up to its number", async () => {
  const told: SimulationProgress[] = [];
  const shape = meshShape({ dims: [16] });
  const { record } = await simulateStep({ shape, config: gpt2(80, 16), parameters, profile }, (progress) => {
    told.push(progress);
  });
  equal(
    told.map(({ doing }) => doing).filter((doing, i, all) => doing !== all[i - 1]),
    ["recording", "matching", "replaying"],
  );
  const { kinds, messages } = record.program;
  const all = { recording: 16, matching: messages.from.length, replaying: kinds.length };
  for (const doing of ["recording", "matching", "replaying"] as const) {
    const these = told.filter((progress) => progress.doing === doing);
    ok(these.every((progress) => progress.all === all[doing] && progress.done <= all[doing]));
    ok(these.every(({ done }, i) => i === 0 || done >= these[i - 1].done));
  }
  const matching = told.filter(({ doing }) => doing === "matching");
  ok(matching.length >= Math.floor(all.matching / tellEvery), `${matching.length} of ${all.matching} messages`);
});

test("a single rank of thousands of blocks tells of its kernels", async () => {
  const told: SimulationProgress[] = [];
  const shape = meshShape({ layout: "serial" });
  const { record } = await simulateStep({ shape, config: gpt2(3000, 1), parameters, profile }, (progress) => {
    told.push(progress);
  });
  const kernels = told.flatMap((progress) => progress.kernels ?? []);
  ok(kernels.length >= Math.floor(record.program.kinds.length / tellEvery) && kernels.length > 0);
  equal(
    kernels,
    Array.from(kernels, (_, i) => (i + 1) * tellEvery),
  );
});

test.run();

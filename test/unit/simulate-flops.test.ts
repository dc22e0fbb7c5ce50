// Arithmetic beyond what a number counts exactly.

import { test } from "uvu";
import { is, ok } from "uvu/assert";
import { parseModelConfig } from "../../src/nn/config.ts";
import { meshShape } from "../../src/parallel/shape.ts";
import { profileNamed } from "../../src/plan/profiles.ts";
import { kernelOp } from "../../src/plan/program.ts";
import { parametersOf } from "../../src/plan/record-step.ts";
import { simulateStep } from "../../src/plan/simulate-step.ts";

test("flops beyond 2^53 are the exact sum, rounded once", async () => {
  const config = parseModelConfig({
    ...{ model_type: "gpt2", vocab_size: 50257, n_positions: 1023, n_layer: 9, n_embd: 16383, n_head: 3 },
  });
  const parameters = parametersOf({ batch: 63, context: 1023 });
  const shape = meshShape({ layout: "serial" });
  const { record, figures } = await simulateStep({ config, parameters, shape, profile: profileNamed("h100") });
  const { kinds, what, works } = record.program;
  let exact = 0n;
  for (const [op, kind] of kinds.entries()) if (kind === kernelOp) exact += BigInt(works[what[op]].flops);
  ok(exact > BigInt(Number.MAX_SAFE_INTEGER), `${exact}`);
  is(figures.flops, Number(exact));
  ok(Math.abs(Number(BigInt(figures.flops) - exact)) < 2 ** 11, "a double near 2^64 is within half of 2^12");
});

test.run();

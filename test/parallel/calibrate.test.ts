// The device under test as a hardware profile.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseModelConfig } from "../../src/nn/config.ts";
import { meshShape } from "../../src/parallel/shape.ts";
import { calibrate } from "../../src/plan/calibrate.ts";
import { networkFrom } from "../../src/plan/fit.ts";
import { parsePart, whole } from "../../src/plan/profile.ts";
import { type Quantity, visitQuantities } from "../../src/plan/quantity.ts";
import { parametersOf } from "../../src/plan/record-step.ts";
import { recordRanks, simulate } from "../../src/plan/simulate.ts";
import { backendUnderTest, closeBackend } from "../gpu/harness.ts";

test("what is measured makes a profile, and a step can be simulated with it", async () => {
  const told: string[] = [];
  const network = networkFrom("two ranks", { short: [4e-4, 2e-4, 3e-4], long: [5e-3, 4.3e-3], longBytes: 4e6 });
  const backend = await backendUnderTest();
  const halves = backend.adapter.features.includes("shader-f16");
  const made = await calibrate(backend, { name: "here", network, tell: (what) => told.push(what) });
  assert.ok(told.length > 2, told.join("; "));
  const profile = whole(parsePart(JSON.parse(JSON.stringify(made))));
  assert.is(profile.name, "here");
  assert.ok(Math.abs(profile.network[0].latencySeconds.value - 1.5e-4) < 1e-12, "half of the median");
  assert.ok(Math.abs(profile.network[0].bytesPerSecond.value - 4e6 / (4.65e-3 / 2 - 1.5e-4)) < 1, "less the latency");
  const measured: Quantity[] = [];
  visitQuantities(profile, (_, each) => measured.push(each));
  assert.ok(measured.filter(({ origin }) => origin === "measured").length > 20, `${measured.length} numbers`);
  const { f32, f16 } = profile.device.products;
  assert.equal([f32.flopsPerSecond.origin, f16.flopsPerSecond.origin], ["measured", halves ? "measured" : "estimate"]);
  assert.is(f16.flopsPerSecond.value === f32.flopsPerSecond.value, !halves);
  assert.is(/as of f32/.test(f16.flopsPerSecond.note ?? ""), !halves);
  assert.match(profile.device.memoryBytes.note ?? "", /largest buffer/);
  const config = parseModelConfig({
    ...{ model_type: "gpt2", vocab_size: 65, n_positions: 16, n_layer: 1, n_embd: 32, n_head: 4 },
  });
  const record = await recordRanks({
    shape: meshShape({ dims: [2, 2] }),
    config,
    parameters: parametersOf({ batch: 4, context: 16 }),
  });
  const [together, apart] = [1, 4].map((devices) => simulate(record, { profile, devices }).seconds);
  assert.ok(together > 0 && apart > 0, `${together} and ${apart} s`);
});

test.after(closeBackend);
test.run();

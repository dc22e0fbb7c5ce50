// Training in f16 on meshes: what one rank finds, in half the bytes, which are the closed form's. Where the device has no f16: the same
// run in f32, which says so.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { trainOnMesh } from "../../src/cluster/launch.ts";
import { trainingBytes } from "../../src/nn/footprint.ts";
import { meshShape, parseMesh } from "../../src/parallel/shape.ts";
import type { DoneEvent, StartEvent, StepEvent, TrainEvent, TrainParameters } from "../../src/train/events.ts";
import { backendUnderTest, closeBackend } from "../gpu/harness.ts";
import { context, corpus, gpt2, llama, parameters, tokenizer } from "../training/toy.ts";

const batch = 12;
const changes = { batch, steps: 3, accumulate: 2, dropout: 0.1, sampleTokens: 5 };

async function run(
  config: typeof gpt2,
  {
    layout,
    mesh,
    ...more
  }: { layout: "serial" | "1d" | "1d-sp" | "2d" | "2.5d"; mesh?: string } & Partial<TrainParameters>,
) {
  const backend = await backendUnderTest();
  const shape = meshShape({ layout, dims: mesh === undefined ? undefined : parseMesh(mesh) });
  const asked = { ...parameters, ...changes, dtype: "f16" as const, ...more };
  const events: TrainEvent[] = [];
  for await (const event of trainOnMesh({ backend, shape, config, tokenizer, corpus, parameters: asked }))
    events.push(event);
  assert.is(backend.memory.total, 0, "nothing is left allocated");
  const of = <T extends TrainEvent>(kind: T["event"]) => events.filter((event): event is T => event.event === kind);
  return { start: of<StartEvent>("start")[0], steps: of<StepEvent>("step"), done: of<DoneEvent>("done")[0], shape };
}

for (const [layout, mesh, config, more] of [
  ["1d", "2", gpt2, {}],
  ["1d-sp", "2", llama, { lossBlocks: 3 }],
  ["2d", "2x2", llama, {}],
  ["2.5d", "2x2x2", gpt2, { recompute: true, lossBlocks: 3 }],
] as const)
  test(`${layout} ${mesh}, ${config.model_type} in f16: one rank's losses, bytes by the closed form, memory within a tenth of its own`, async () => {
    const { features, description } = (await backendUnderTest()).adapter;
    const one = await run(config, { layout: "serial", ...more });
    const { start, steps, done, shape } = await run(config, { layout, mesh, ...more });
    for (const [index, { loss, bytesReceived, closedFormBytes }] of steps.entries()) {
      const wanted = one.steps[index].loss;
      // Sums over ranks are rounded to f16 where one rank's are not: some roundings of 2^-11, fed back through the steps.
      assert.ok(Math.abs(loss / wanted - 1) < 5e-3, `step ${index + 1}: loss ${loss}, one rank ${wanted}`);
      assert.equal(bytesReceived, closedFormBytes);
    }
    if (!features.includes("shader-f16")) {
      assert.not.match(description, /llvmpipe/);
      assert.is(start.dtype, "f32");
      assert.match(String(start.dtypeNote), /^f32 in place of f16: /);
      return;
    }
    assert.is(start.dtype, "f16");
    assert.ok(steps.every(({ lossScale }) => lossScale === 65536));
    const wide = await run(config, { layout, mesh, ...more, dtype: "f32" });
    for (const [rank, bytes] of steps[0].bytesReceived!.entries())
      assert.ok(bytes < 0.8 * wide.steps[0].bytesReceived![rank], `${bytes} of ${wide.steps[0].bytesReceived![rank]}`);
    const expected = trainingBytes(config, { shape, batch, context, recompute: false, ...more, dtype: "f16" });
    for (const { peakBytes } of done.ranks!) {
      const report = `got ${JSON.stringify(peakBytes)}, closed form ${JSON.stringify(expected)}`;
      assert.is(peakBytes.weights, expected.weights);
      assert.is(peakBytes.optimizer, expected.optimizer + 4);
      assert.ok(Math.abs(peakBytes.activations / expected.activations - 1) <= 0.1, report);
      assert.ok(Math.abs(peakBytes.total / expected.total - 1) <= 0.1, report);
    }
  });

test.after(closeBackend);
test.run();

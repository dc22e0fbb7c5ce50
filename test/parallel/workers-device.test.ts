// Ranks in worker threads on the adapter under test, each on a device of its own: the bits of ranks that share one. (What does not depend on
// the adapter is in workers.test.ts.)

import { test } from "uvu";
import * as assert from "uvu/assert";
import { trainOnMesh } from "../../src/cluster/launch.ts";
import { loopbackRanks, type Ranks } from "../../src/cluster/ranks.ts";
import { workerRanks } from "../../src/cluster/workers.ts";
import { meshShape } from "../../src/parallel/shape.ts";
import { backendUnderTest, closeBackend } from "../gpu/harness.ts";
import { corpus, gpt2, parameters, tokenizer } from "../training/toy.ts";

const brief = { batch: 4, steps: 3, evalEvery: 0, evalBatches: 1, sampleTokens: 0 };

async function stepsOn(ranks: Ranks): Promise<unknown[]> {
  const steps: unknown[] = [];
  const shape = meshShape({ layout: "2d", dims: [2, 2] });
  const options = { shape, config: gpt2, tokenizer, corpus, parameters: { ...parameters, ...brief } };
  for await (const event of trainOnMesh({ ...options, ranks }))
    if (event.event === "step") steps.push([event.loss, event.gradNorm, event.bytesReceived]);
  return steps;
}

test("2d 2x2 on four devices: losses, gradient norms and bytes of four ranks on one", async () => {
  const backend = await backendUnderTest();
  const apart = await stepsOn(workerRanks({ backend: backend.name }));
  assert.is(apart.length, brief.steps);
  assert.equal(apart, await stepsOn(loopbackRanks(backend)));
});

test.after(closeBackend);
test.run();

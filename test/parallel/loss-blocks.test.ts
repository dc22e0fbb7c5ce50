// The loss in blocks of rows: the same loss and gradients as in one, the traffic of the closed form, and a smaller peak.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { UserError } from "../../src/backend/errors.ts";
import { Ledger } from "../../src/comm/ledger.ts";
import { runRanks } from "../../src/comm/loopback.ts";
import { parseModelConfig } from "../../src/nn/config.ts";
import { trainingBytes } from "../../src/nn/footprint.ts";
import { Model } from "../../src/nn/model.ts";
import { trainingTraffic } from "../../src/nn/traffic.ts";
import { Tape } from "../../src/tensor/tape.ts";
import { AdamW } from "../../src/train/optimizer.ts";
import { backendUnderTest, closeBackend } from "../gpu/harness.ts";
import { layoutOn, mesh, type NamedMesh } from "./meshes.ts";
import { receivedByPurpose } from "./ranks.ts";

const [batch, context, vocabSize, blocks] = [12, 9, 1203, 3];
const config = parseModelConfig({
  ...{ model_type: "gpt2", vocab_size: vocabSize, n_positions: context },
  ...{ n_layer: 1, n_embd: 24, n_head: 12, n_inner: 36 },
});
const ids = (from: number) =>
  Int32Array.from({ length: batch * context }, (_, i) => ((i + from) * 7919) % config.vocab_size);

/** Of each rank: the loss, all gradients, the peak of activations, and words and messages received by purpose in one step. */
async function step(shape: NamedMesh, lossBlocks: number) {
  return runRanks({ size: shape.size, backend: await backendUnderTest() }, async (rank) => {
    const ledger = new Ledger();
    ledger.step = 1;
    const { backend } = rank;
    const layout = layoutOn(shape, { ...rank, ledger });
    using model = new Model(backend, { config, layout, seed: 4 });
    const hyper = { beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1, clip: 1 };
    using optimizer = new AdamW(backend, { ...hyper, layout, parameters: model.parameters });
    backend.memory.resetPeak();
    let loss: number;
    {
      using tape = new Tape(backend, { recording: true });
      const y = await model.loss(tape, {
        ...{ tokens: ids(0), targets: ids(1), sequence: { batch, tokens: context, offset: 0 } },
        ...{ scale: 1 / (batch * context), lossBlocks },
      });
      await tape.backward(y);
      [loss] = await y.read();
    }
    await optimizer.step({ gradients: await layout.reduceGradients(model.parameters), learningRate: 0.01 });
    await optimizer.normSquared.read();
    const { total, activations, scratch } = backend.memory.peak;
    const received = receivedByPurpose(ledger.entries);
    const gradients = await Promise.all(model.parameters.map((parameter) => parameter.gradient.read()));
    return { loss, gradients, peak: { total, activations, scratch }, received };
  });
}

/** Largest difference, relative to the largest value of `b`. */
function difference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [most, largest] = [0, 0];
  for (let i = 0; i < b.length; i++) {
    most = Math.max(most, Math.abs(a[i] - b[i]));
    largest = Math.max(largest, Math.abs(b[i]));
  }
  return most / largest;
}

/** Sums of `vocabSize` or of all rows, in another order: gamma(n) of the unit roundoff 2^-24, and a softmax's few operations more. */
const tolerance = (vocabSize + batch * context) * 2 ** -24;

for (const shape of [
  mesh("serial", [1]),
  mesh("1d", [3]),
  mesh("1d-sp", [2]),
  mesh("2d", [2, 2]),
  mesh("2.5d", [2, 2, 2]),
])
  test(`${shape.name}: the loss in ${blocks} blocks has the same gradients, the closed form's words and messages and less at its peak`, async () => {
    const [whole, inBlocks] = [await step(shape, 1), await step(shape, blocks)];
    const run = { shape, batch, context, accumulate: 1, recompute: false };
    for (const [rank, got] of inBlocks.entries()) {
      const expected = whole[rank];
      assert.ok(Math.abs(got.loss / expected.loss - 1) <= tolerance, `${got.loss} against ${expected.loss}`);
      for (const [at, gradient] of got.gradients.entries())
        assert.ok(difference(gradient, expected.gradients[at]) <= tolerance, `gradient ${at} of rank ${rank}`);
      for (const [{ peak }, lossBlocks] of [
        [expected, 1],
        [got, blocks],
      ] as const) {
        const form = trainingBytes(config, { shape, batch, context, recompute: false, lossBlocks });
        const report = `rank ${rank}, ${lossBlocks} blocks: ${JSON.stringify(peak)}, closed form ${JSON.stringify(form)}`;
        // Scratch in 1D depends on when the other ranks take a block's gradient.
        for (const purpose of ["total", "activations"] as const)
          assert.ok(Math.abs(peak[purpose] / form[purpose] - 1) <= 0.1, report);
      }
      assert.ok(got.peak.activations < 0.6 * expected.peak.activations);
      for (const [received, lossBlocks] of [
        [expected.received, 1],
        [got.received, blocks],
      ] as const) {
        const { words, messages } = trainingTraffic(config, { ...run, lossBlocks });
        const form = { words: words[rank], messages: messages[rank] };
        assert.equal(received, form, `rank ${rank}, ${lossBlocks} blocks`);
      }
    }
  });

test("blocks that do not divide a rank's rows are refused with what would", async () => {
  const error = await step(mesh("1d-sp", [2]), 5).catch((reason: unknown) => reason);
  assert.instance(error, UserError);
  assert.match((error as Error).message, /54 rows of a rank do not divide into 5 blocks; use a divisor of 54/);
});

test.after(closeBackend);
test.run();

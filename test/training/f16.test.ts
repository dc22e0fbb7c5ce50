// Training in f16 where the device has it: as good as in f32, with masters, scaled losses and steps skipped when they overflow.
// Elsewhere: that the run says why it is in f32.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { Model } from "../../src/nn/model.ts";
import { Serial } from "../../src/parallel/serial.ts";
import { Tape } from "../../src/tensor/tape.ts";
import { constant } from "../../src/tensor/tensor.ts";
import { DivergedError, type StartEvent, type TrainEvent } from "../../src/train/events.ts";
import { LossScale } from "../../src/train/loss-scale.ts";
import { AdamW } from "../../src/train/optimizer.ts";
import { backendUnderTest, closeBackend } from "../gpu/harness.ts";
import { context, corpus, gpt2, llama, runToy } from "./toy.ts";

const startOf = (events: readonly TrainEvent[]) =>
  events.find((event): event is StartEvent => event.event === "start")!;

/** A claim about f16 where there is f16; where there is none, that a run says so and is one in f32. */
function testHalf(claim: string, body: () => Promise<void>): void {
  test(claim, async () => {
    const { adapter, name } = await backendUnderTest();
    if (adapter.features.includes("shader-f16")) return body();
    assert.not.match(adapter.description, /llvmpipe/);
    const { events, losses } = await runToy({ steps: 2, dtype: "f16" });
    const { dtype, dtypeNote } = startOf(events);
    assert.is(dtype, "f32");
    const why =
      name === "cpu" ? /^f32 in place of f16: f16 needs webgpu/ : /^f32 in place of f16: .* has no shader-f16$/;
    assert.match(String(dtypeNote), why);
    assert.equal(losses, (await runToy({ steps: 2 })).losses);
  });
}

for (const config of [gpt2, llama]) {
  testHalf(`${config.model_type} in f16 learns as in f32, and the same bits twice`, async () => {
    const wide = await runToy({ steps: 60 }, { config });
    const { losses, done, events, steps } = await runToy({ steps: 60, dtype: "f16" }, { config });
    assert.is(startOf(events).dtype, "f16");
    assert.is(startOf(events).dtypeNote, undefined);
    // Logits of about 1, each rounded to 2^-11 of itself; the mean over 72 of them.
    assert.ok(Math.abs(losses[0] - wide.losses[0]) < 2e-3, `${losses[0]} and ${wide.losses[0]}`);
    assert.ok(
      Math.abs(done!.validationLoss - wide.done!.validationLoss) < 0.02,
      `${done!.validationLoss} and ${wide.done!.validationLoss}`,
    );
    assert.ok(steps.every(({ lossScale }) => lossScale! >= 1));
    assert.is(steps.filter(({ skipped }) => skipped).length, done!.skippedSteps);
    assert.equal((await runToy({ steps: 60, dtype: "f16" }, { config })).losses, losses);
    assert.is((await backendUnderTest()).memory.total, 0, "nothing is left allocated");
  });
  testHalf(
    `${config.model_type} in f16: recomputation, loss blocks, dropout, micro-batches and a sample run, and less is held`,
    async () => {
      const changes = { steps: 6, dropout: 0.1, accumulate: 2, sampleTokens: 20 };
      const wide = await runToy(changes, { config });
      const half = await runToy({ ...changes, dtype: "f16" }, { config });
      const again = await runToy({ ...changes, dtype: "f16", recompute: true }, { config });
      assert.equal(again.losses, half.losses);
      const blocks = await runToy({ ...changes, dtype: "f16", lossBlocks: 3 }, { config });
      assert.ok(Math.abs(blocks.losses[5] - half.losses[5]) < 1e-2 * half.losses[5]);
      const [few, many] = [half.done!.peakBytes, wide.done!.peakBytes];
      assert.ok(few.activations < 0.65 * many.activations, `${few.activations} of ${many.activations}`);
      assert.is(few.gradients, many.gradients);
    },
  );
}

testHalf(
  "a gradient that overflows: nothing changes but the scale, which halves, and the next step learns",
  async () => {
    const backend = await backendUnderTest();
    const layout = new Serial(backend);
    using model = new Model(backend, { config: gpt2, layout, seed: 1, dtype: "f16" });
    const options = { beta1: 0.9, beta2: 0.99, eps: 1e-8, weightDecay: 0.1, clip: 1 };
    using optimizer = new AdamW(backend, { ...options, layout, parameters: model.parameters });
    using seed = constant(backend, { shape: [1], purpose: "scratch" });
    const { inputs, targets } = corpus.batch({ seed: 1, step: 0, batch: 4, context, split: "train" });
    const everything = async () => {
      const tensors = model.parameters.flatMap((parameter) => [
        parameter,
        ...(parameter.master ? [parameter.master] : []),
      ]);
      return Promise.all(tensors.map((tensor) => tensor.read()));
    };
    const step = async (lossScale: number) => {
      using tape = new Tape(backend, { recording: true });
      const sequence = { batch: 4, tokens: context, offset: 0 };
      const loss = await model.loss(tape, { tokens: inputs, targets, sequence, scale: 1 / (4 * context) });
      backend.run("fill", { y: seed.buffer, n: 1, value: lossScale });
      await tape.backward(loss, seed);
      const gradients = await layout.reduceGradients(model.parameters);
      await optimizer.step({ gradients, learningRate: 1e-2, lossScale });
      const [norm] = await optimizer.normSquared.read();
      return { loss: (await loss.read())[0], norm: Math.sqrt(norm) / lossScale };
    };
    const before = await everything();
    const overflowed = await step(2 ** 24);
    assert.not(Number.isFinite(overflowed.norm));
    assert.equal(await everything(), before, "every weight, and every master, keeps its bits");
    optimizer.forgetStep();
    const first = await step(2 ** 10);
    assert.ok(Number.isFinite(first.norm));
    assert.is(first.loss, overflowed.loss);
    const { loss } = await step(2 ** 10);
    assert.ok(loss < first.loss, `${loss} after ${first.loss}`);
    for (const parameter of model.parameters) {
      if (!parameter.master) continue;
      const [copy, master] = [await parameter.read(), await parameter.master.read()];
      // to nearest, subnormal numbers too
      for (const [i, value] of copy.entries())
        assert.ok(Math.abs(value - master[i]) <= 2 ** -11 * Math.abs(master[i]) + 2 ** -25, `${parameter.name} ${i}`);
    }
  },
);

testHalf(
  "a run whose first gradients overflow is none that diverged: it skips steps, says so, and learns",
  async () => {
    const { steps, done, losses } = await runToy({ steps: 40, dtype: "f16", lossScale: 2 ** 24 });
    const skipped = steps.filter((step) => step.skipped);
    assert.ok(skipped.length > 0 && skipped.length < 10, `${skipped.length} steps skipped`);
    for (const [index, step] of skipped.entries()) {
      assert.is(step.step, index + 1, "the first ones");
      assert.is(step.lossScale, 2 ** (24 - index));
      assert.is(step.gradNorm, Number.POSITIVE_INFINITY);
    }
    assert.is(done!.skippedSteps, skipped.length);
    assert.is(done!.lossScale, 2 ** (24 - skipped.length));
    assert.is(steps[skipped.length].gradNorm < 100, true);
    assert.ok(losses[39] < losses[0] / 2, `last loss ${losses[39]}`);
  },
);

testHalf(
  "a learning rate that blows the weights up ends a run in f16 as one in f32, and names the way out",
  async () => {
    let error: unknown;
    const wild = { learningRate: 1e30, minLearningRate: 1e30, warmup: 0, clip: 0, steps: 60, dtype: "f16" } as const;
    await runToy(wild).catch((e: unknown) => {
      error = e;
    });
    assert.instance(error, DivergedError);
    assert.match((error as Error).message, /or --dtype f32$/);
    assert.is((await backendUnderTest()).memory.total, 0, "nothing is left allocated");
  },
);

test("a loss scale halves at an overflow, doubles after 2000 good steps, and gives up below 1", () => {
  const scale = new LossScale();
  assert.is(scale.value, 65536);
  assert.ok(scale.next(false));
  assert.is(scale.value, 32768);
  for (let i = 0; i < 1999; i++) assert.ok(scale.next(true));
  assert.is(scale.value, 32768);
  assert.ok(scale.next(true));
  assert.is(scale.value, 65536);
  // An overflow in between starts the count again.
  for (let i = 0; i < 1999; i++) scale.next(true);
  scale.next(false);
  for (let i = 0; i < 1999; i++) scale.next(true);
  assert.is(scale.value, 32768);
  while (scale.value > 1) assert.ok(scale.next(false));
  assert.not(scale.next(false));
  assert.is(scale.skipped, 2 + 15);
  for (const bad of [0, 3, 0.5, 2 ** 25, Number.NaN]) assert.throws(() => new LossScale(bad), /need a power of two/);
});

test.after(closeBackend);
test.run();

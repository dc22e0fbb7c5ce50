// A run from start to done: it learns, repeats itself, counts its memory, stops when told to and says what went bad.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { Model } from "../../src/nn/model.ts";
import { Serial } from "../../src/parallel/serial.ts";
import { DivergedError } from "../../src/train/events.ts";
import { train } from "../../src/train/trainer.ts";
import { backendUnderTest, closeBackend } from "../gpu/harness.ts";
import { context, corpus, gpt2, llama, parameters, runToy, tokenizer } from "./toy.ts";

for (const config of [gpt2, llama]) {
  test(`${config.model_type} learns: the loss falls below a third in 60 steps`, async () => {
    const { losses, done } = await runToy({ steps: 60 }, { config });
    assert.ok(
      Math.abs(losses[0] - Math.log(tokenizer.vocabSize)) < 0.2,
      `first loss ${losses[0]} is about that of guessing`,
    );
    assert.ok(losses[59] < losses[0] / 3, `last loss ${losses[59]}`);
    assert.ok(done!.validationLoss < losses[0] / 3);
    assert.is((await backendUnderTest()).memory.total, 0, "nothing is left allocated");
  });
  test(`${config.model_type}: two runs of one seed have the same losses to the bit, another seed others`, async () => {
    const first = await runToy({ dropout: 0.1 }, { config });
    const second = await runToy({ dropout: 0.1 }, { config });
    const other = await runToy({ dropout: 0.1, seed: 4 }, { config });
    assert.equal(second.losses, first.losses);
    assert.is.not(other.losses[0], first.losses[0]);
  });
  test(`${config.model_type}: recomputation has the same losses to the bit and a lower peak`, async () => {
    const kept = await runToy({ dropout: 0.1 }, { config });
    const again = await runToy({ dropout: 0.1, recompute: true }, { config });
    assert.equal(again.losses, kept.losses);
    assert.ok(again.done!.peakBytes.activations < 0.8 * kept.done!.peakBytes.activations);
  });
}

test("two micro-batches of three are one batch of six: losses and norms within rounding", async () => {
  const whole = await runToy();
  const halves = await runToy({ batch: 3, accumulate: 2 });
  for (const [index, { loss, gradNorm }] of halves.steps.entries()) {
    // Both sum the same 72 losses in another order: a few roundings apart at first, fed back through 12 steps.
    assert.ok(
      Math.abs(loss - whole.steps[index].loss) < 1e-4 * loss,
      `step ${index + 1}: ${loss} and ${whole.steps[index].loss}`,
    );
    assert.ok(Math.abs(gradNorm - whole.steps[index].gradNorm) < 1e-3 * gradNorm);
  }
  assert.ok(Math.abs(halves.losses[0] - whole.losses[0]) < 1e-6 * whole.losses[0]);
});

test("dropout changes the losses of training and none of evaluation at the same weights", async () => {
  const plain = await runToy({ steps: 1 });
  const dropped = await runToy({ steps: 1, dropout: 0.5 });
  assert.is.not(dropped.losses[0], plain.losses[0]);
  const lossless = { learningRate: 0, minLearningRate: 0, weightDecay: 0, steps: 1 };
  assert.is(
    (await runToy({ ...lossless, dropout: 0.5 })).done!.validationLoss,
    (await runToy(lossless)).done!.validationLoss,
  );
});

test("bytes in use do not grow from step 3 to step 300", async () => {
  const { memory } = await backendUnderTest();
  const inUse: number[] = [];
  const reserved: number[] = [];
  await runToy(
    { steps: 300 },
    {
      onEvent(event) {
        if (event.event !== "step") return;
        inUse.push(memory.total);
        reserved.push(memory.reservedBytes);
      },
    },
  );
  assert.is(inUse[299], inUse[2]);
  assert.ok(reserved[299] <= reserved[2], `reserved ${reserved[299]} bytes, ${reserved[2]} at step 3`);
});

test("the validation loss of done is the exact mean over the whole windows, whatever the batch", async () => {
  const few = await runToy({ steps: 2, evalBatches: 0 });
  const one = await runToy({ steps: 2, evalBatches: 1 });
  assert.is(one.done!.validationLoss, few.done!.validationLoss);
  const evaluated = few.events.find((event) => event.event === "eval");
  assert.is(evaluated?.event === "eval" && evaluated.validationLoss, few.done!.validationLoss);
});

test("an aborted run finishes its step and still reports evaluation, sample and done", async () => {
  const stop = new AbortController();
  const { events, done } = await runToy(
    { steps: 1000, sampleTokens: 5 },
    { signal: stop.signal, onEvent: (event) => event.event === "step" && event.step === 4 && stop.abort() },
  );
  assert.is(done!.steps, 4);
  assert.equal(
    events.map(({ event }) => event),
    ["start", "step", "step", "step", "step", "eval", ...new Array(5).fill("token"), "sample", "done"],
  );
});

test("a consumer that walks away in the middle leaves nothing allocated", async () => {
  const backend = await backendUnderTest();
  for await (const event of train({ backend, config: gpt2, tokenizer, corpus, parameters }))
    if (event.event === "step") break;
  assert.is(backend.memory.total, 0);
});

test("a learning rate that blows the weights up ends the run with the step, the rate and the first bad tensor", async () => {
  let error: unknown;
  await runToy({ learningRate: 1e30, minLearningRate: 1e30, warmup: 0, clip: 0, steps: 50 }).catch((e: unknown) => {
    error = e;
  });
  assert.instance(error, DivergedError);
  const { step, learningRate, tensor, message } = error as DivergedError;
  assert.is(learningRate, 1e30);
  assert.ok(step >= 2 && step <= 50);
  assert.match(tensor, /^the (output|gradient) of|weight$/);
  assert.match(message, new RegExp(`step ${step}`));
  assert.is((await backendUnderTest()).memory.total, 0, "nothing is left allocated");
});

test("a weight that is not finite is named", async () => {
  const backend = await backendUnderTest();
  const { firstBadTensor } = await import("../../src/train/diagnose.ts");
  using model = new Model(backend, { config: gpt2, layout: new Serial(backend), seed: 1 });
  const batch = corpus.batch({ seed: 1, step: 0, batch: 2, context, split: "train" });
  const forward = (tape: Parameters<Parameters<typeof firstBadTensor>[1]>[0]) =>
    model.loss(tape, {
      tokens: batch.inputs,
      targets: batch.targets,
      sequence: { batch: 2, tokens: context, offset: 0 },
      scale: 1,
    });
  assert.is(await firstBadTensor(model, forward), undefined);
  const victim = model.parameters.find(({ name }) => name === "h.1.mlp.c_fc.weight")!;
  const values = await victim.read();
  values[5] = Number.NaN;
  backend.write(victim.buffer, values);
  assert.is(await firstBadTensor(model, forward), "h.1.mlp.c_fc.weight");
  values[5] = 3e38;
  backend.write(victim.buffer, values);
  assert.match(String(await firstBadTensor(model, forward)), /h\.1\.mlp|gelu|add/);
});

test("a token id outside the vocabulary is refused with its place", async () => {
  const backend = await backendUnderTest();
  const { Tape } = await import("../../src/tensor/tape.ts");
  using model = new Model(backend, { config: gpt2, layout: new Serial(backend), seed: 1 });
  using tape = new Tape(backend, { recording: false });
  const tokens = Int32Array.from([0, 1, tokenizer.vocabSize]);
  const refused = (ids: Int32Array) =>
    model.logits(tape, { tokens: ids, sequence: { batch: 1, tokens: ids.length, offset: 0 } }).then(
      () => "taken",
      (e: Error) => `${e.name}: ${e.message}`,
    );
  assert.match(
    await refused(tokens),
    new RegExp(`^UserError: token id ${tokenizer.vocabSize} at position 2 is out of range`),
  );
  assert.match(
    await refused(new Int32Array(context + 1)),
    /^UserError: a sequence of 13 tokens is longer than the model's 12 positions/,
  );
});

test.after(closeBackend);
test.run();

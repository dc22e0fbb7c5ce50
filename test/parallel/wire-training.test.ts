// Whole runs on a wire of f16: bytes by the closed form, the same events on every link, gradients too small for f16 kept by the loss's
// scale, PyTorch's numbers within the limits that follow from the roundings, and products within theirs.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { trainOnMesh, verifyOnMesh } from "../../src/cluster/launch.ts";
import { measureProduct } from "../../src/cluster/matmul.ts";
import { loopbackRanks, type Ranks } from "../../src/cluster/ranks.ts";
import { workerRanks } from "../../src/cluster/workers.ts";
import { runRanks } from "../../src/comm/loopback.ts";
import { Model } from "../../src/nn/model.ts";
import { meshShape, parseMesh } from "../../src/parallel/shape.ts";
import { Tape } from "../../src/tensor/tape.ts";
import { constant } from "../../src/tensor/tensor.ts";
import type { DoneEvent, StepEvent, TrainEvent, TrainParameters } from "../../src/train/events.ts";
import { readSafetensors, writeSafetensors } from "../../src/train/safetensors.ts";
import { fixture } from "../fixtures/reference.ts";
import { backendUnderTest, closeBackend } from "../gpu/harness.ts";
import { corpus, gpt2, llama, parameters, tokenizer } from "../training/toy.ts";
import { layoutOn, mesh } from "./meshes.ts";
import { ids, relativeError } from "./observed.ts";

type LayoutName = NonNullable<Parameters<typeof meshShape>[0]["layout"]>;
const shapeOf = (layout: LayoutName, dims?: string) => meshShape({ layout, dims: dims ? parseMesh(dims) : undefined });
const changes = { batch: 4, steps: 4, accumulate: 2, sampleTokens: 2, wire: "f16" as const };

async function run(
  { layout, dims, config = gpt2 }: { layout: LayoutName; dims?: string; config?: typeof gpt2 },
  { ranks, ...more }: Partial<TrainParameters> & { ranks?: Ranks } = {},
) {
  const asked = { ...parameters, ...changes, ...more };
  const options = { shape: shapeOf(layout, dims), config, tokenizer, corpus, parameters: asked };
  const events: TrainEvent[] = [];
  for await (const event of trainOnMesh({ ...options, ranks: ranks ?? loopbackRanks(await backendUnderTest()) }))
    events.push(event);
  const of = <T extends TrainEvent>(kind: T["event"]) => events.filter((event): event is T => event.event === kind);
  return { events, steps: of<StepEvent>("step"), done: of<DoneEvent>("done")[0] };
}

for (const [layout, dims, config] of [
  ["1d", "2", gpt2],
  ["1d-sp", "2", llama],
  ["2d", "2x2", llama],
  ["2.5d", "2x2x2", gpt2],
] as const)
  test(`${layout} ${dims}, ${config.model_type}: bytes by the closed form, fewer than f32's, its losses nearly, no step skipped`, async () => {
    const { steps, done } = await run({ layout, dims, config });
    const exact = await run({ layout, dims, config }, { wire: "f32" });
    for (const [index, { loss, bytesReceived, closedFormBytes, lossScale }] of steps.entries()) {
      assert.equal(bytesReceived, closedFormBytes);
      for (const [rank, bytes] of bytesReceived!.entries())
        assert.ok(bytes < 0.7 * exact.steps[index].bytesReceived![rank], `rank ${rank}: ${bytes}`);
      // Some roundings of 2^-11 each, fed back through the steps.
      assert.ok(Math.abs(loss / exact.steps[index].loss - 1) < 5e-3, `step ${index + 1}: loss ${loss}`);
      assert.is(lossScale, 65536);
    }
    assert.is(done.skippedSteps, 0);
    assert.is(exact.steps[0].lossScale, undefined);
  });

/** What does not depend on the clock, nor on whether ranks share a device's memory. */
const lasting = (events: readonly TrainEvent[]) =>
  events.map((event) => {
    const { durationMs, tokensPerSecond, memoryBytes, peakBytes, ranks, sent, ...rest } = event as unknown as Record<
      string,
      unknown
    >;
    return rest;
  });

test("2d 2x2 on workers: every event is that of ranks that share a device, to the bit", async () => {
  const ranks = workerRanks({ backend: (await backendUnderTest()).name });
  const apart = await run({ layout: "2d", dims: "2x2" }, { ranks });
  assert.equal(lasting(apart.events), lasting((await run({ layout: "2d", dims: "2x2" })).events));
});

test("one rank has no wire: not a bit changes, and nothing is scaled", async () => {
  const { steps } = await run({ layout: "serial" });
  const exact = await run({ layout: "serial" }, { wire: "f32" });
  assert.equal(
    steps.map(({ loss, gradNorm, lossScale }) => [loss, gradNorm, lossScale]),
    exact.steps.map(({ loss, gradNorm }) => [loss, gradNorm, undefined]),
  );
});

for (const [layout, dims] of [
  ["1d-sp", "2"],
  ["2.5d", "2x2x2"],
] as const)
  test(`${layout} ${dims} that stores f16 where the device has it: bytes by the closed form, of gradients of weights half`, async () => {
    const { steps } = await run({ layout, dims, config: llama }, { dtype: "f16" });
    const wide = await run({ layout, dims, config: llama }, { dtype: "f16", wire: "f32" });
    for (const [index, { bytesReceived, closedFormBytes }] of steps.entries()) {
      assert.equal(bytesReceived, closedFormBytes);
      assert.ok(bytesReceived!.every((bytes, rank) => bytes < wide.steps[index].bytesReceived![rank]));
    }
  });

test("a run that diverges says that the wire may be why", async () => {
  const diverging = run({ layout: "2d", dims: "2x2" }, { learningRate: 1e6, minLearningRate: 1, warmup: 0, clip: 0 });
  const error = await diverging.then(
    () => undefined,
    (error: Error) => error,
  );
  assert.match(error?.message ?? "it did not", /^the run diverged at step \d: .* or --wire f32$/);
});

test("a scale too large for f16: steps are skipped until it fits, then the run goes on", async () => {
  const { steps, done } = await run({ layout: "2.5d", dims: "2x2x2" }, { lossScale: 2 ** 24, steps: 12 });
  assert.ok(steps[0].skipped);
  assert.not.ok(steps.at(-1)!.skipped);
  assert.ok(done.skippedSteps! > 0 && done.lossScale! === 2 ** (24 - done.skippedSteps!));
  assert.ok(steps.at(-1)!.loss < steps[0].loss);
});

test("gradients of a millionth of a loss: kept by its scale, lost without", async () => {
  const backend = await backendUnderTest();
  const small = 2 ** -20;
  const vocab = gpt2.vocab_size;
  const gradients = async (wire: "f16" | "f32", scale: number): Promise<Float32Array> => {
    const shape = mesh("2d", [2, 2]);
    const [first] = await runRanks({ size: shape.size, backend }, async (rank) => {
      const layout = layoutOn(shape, { ...rank, wire });
      using model = new Model(rank.backend, { config: gpt2, layout, seed: 4 });
      using tape = new Tape(rank.backend, { recording: true });
      using seed = constant(rank.backend, { shape: [1], data: Float32Array.of(scale), purpose: "scratch" });
      const loss = await model.loss(tape, {
        tokens: ids(48, { vocab, from: 1 }),
        targets: ids(48, { vocab, from: 2 }),
        sequence: { batch: 4, tokens: 12, offset: 0 },
        scale: small / 48,
      });
      await tape.backward(loss, seed);
      await layout.reduceGradients(model.parameters);
      const whole = await model.checkpoint((parameter) => parameter.gradient);
      return whole.get("h.0.mlp.c_fc.weight")!.data.map((value) => value / scale);
    });
    return first;
  };
  const exact = await gradients("f32", 1);
  const [scaled, not] = [await gradients("f16", 1 / small), await gradients("f16", 1)];
  assert.ok(relativeError(scaled, exact) < 5e-3, `scaled ${relativeError(scaled, exact)}`);
  assert.ok(relativeError(not, exact) > 0.1, `not scaled ${relativeError(not, exact)}`);
});

for (const name of ["gpt2", "llama"])
  for (const [layout, dims] of [
    ["1d", "4"],
    ["1d-sp", "4"],
    ["2d", "2x2"],
    ["2.5d", "2x2x2"],
  ] as const)
    test(`${name} replayed on ${layout} ${dims}: PyTorch's logits and gradients, by the limit of the roundings`, async () => {
      const backend = await backendUnderTest();
      const options = { backend, files: fixture(name), shape: shapeOf(layout, dims), wire: "f16" as const };
      const { pass, logits, grad, limits, loss, after } = await verifyOnMesh(options);
      assert.ok(pass, JSON.stringify({ logits, grad, loss }));
      // Nothing of it is so wide that a twentieth more of anything would be let through.
      assert.ok(limits.logits < 5e-3 && limits.grad < 6e-3);
      // What no limit holds is not far off either.
      assert.ok(Math.max(...loss) < 1e-2 && after.worst < 0.1, JSON.stringify({ loss, after }));
    });

test("one weight of one block changed by a twentieth: the replay does not pass", async () => {
  const backend = await backendUnderTest();
  const files = fixture("gpt2");
  const weights = readSafetensors(files.weights);
  const { data } = weights.get("h.0.mlp.c_fc.weight")!;
  for (let at = 0; at < data.length / 2; at++) data[at] *= 1.05;
  const changed = { ...files, weights: writeSafetensors(weights) };
  const { pass } = await verifyOnMesh({ backend, files: changed, shape: shapeOf("2d", "2x2"), wire: "f16" });
  assert.not(pass);
});

for (const [layout, dims] of [
  ["1d", "3"],
  ["1d", "5"],
  ["2d", "2x2"],
  ["2d", "5x5"],
  ["2.5d", "2x2x3"],
] as const)
  for (const form of ["AB", "ABT", "ATB"] as const)
    test(`${form} on ${layout} ${dims}: half the bytes, off by what its roundings allow, and by more than f32 would be`, async () => {
      const backend = await backendUnderTest();
      const size = { m: 33, n: 26, k: 41 };
      const run = { shape: shapeOf(layout, dims), form, size, repeats: 1, seed: 1, maxBytes: 2 ** 30 };
      const { equal, error, ranks } = await measureProduct({ backend }, { ...run, wire: "f16" });
      assert.ok(equal);
      for (const { bytesReceived, wordsReceived } of ranks) assert.is(bytesReceived, 2 * wordsReceived);
      assert.ok(error.worst <= 1, `${error.worst}`);
      const exact = await measureProduct({ backend }, run);
      for (const { bytesReceived, wordsReceived } of exact.ranks) assert.is(bytesReceived, 4 * wordsReceived);
      // In units of 2^-11, not of 2^-24.
      assert.ok(error.worst > 1e-3, `${error.worst}`);
    });

test.after(closeBackend);
test.run();

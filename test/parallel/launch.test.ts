// A training run on a mesh, as its events tell of it.

import { setImmediate as turn } from "node:timers/promises";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type MeshTrainOptions, trainOnMesh } from "../../src/cluster/launch.ts";
import { meshShape, parseMesh } from "../../src/parallel/shape.ts";
import type { DoneEvent, EvalEvent, SampleEvent, StepEvent, TrainEvent } from "../../src/train/events.ts";
import { backendUnderTest, closeBackend } from "../gpu/harness.ts";
import { corpus, llama, parameters, tokenizer } from "../training/toy.ts";

/** for tests that do not look at what comes after the steps */
const brief = { evalEvery: 0, evalBatches: 1, sampleTokens: 0 };
const changes = { batch: 4, steps: 3, evalEvery: 2, evalBatches: 0, sampleTokens: 5, dropout: 0.1, accumulate: 2 };

async function start(layout: "serial" | "1d" | "1d-sp" | "2d" | "2.5d", mesh?: string) {
  const backend = await backendUnderTest();
  const shape = meshShape({ layout, dims: mesh === undefined ? undefined : parseMesh(mesh) });
  const options: MeshTrainOptions = {
    ...{ backend, shape, config: llama, tokenizer, corpus, parameters: { ...parameters, ...changes } },
  };
  return { backend, options };
}

async function all(run: AsyncIterable<TrainEvent>): Promise<TrainEvent[]> {
  const events: TrainEvent[] = [];
  for await (const event of run) events.push(event);
  return events;
}

const of = <T extends TrainEvent>(events: readonly TrainEvent[], kind: T["event"]): T[] =>
  events.filter((event): event is T => event.event === kind);

let serial: Promise<TrainEvent[]> | undefined;
const serialRun = () => {
  serial ??= start("serial").then(({ options }) => all(trainOnMesh(options)));
  return serial;
};

/** Sums over ranks round in another order than one rank's; a step of this size moves the next loss by far less than one. */
const relativeLimit = 1e-5;

for (const [layout, mesh, size] of [
  ["1d", "2", 2],
  ["1d-sp", "2", 2],
  ["2d", "2x2", 4],
  ["2.5d", "2x2x2", 8],
] as const)
  test(`${layout} ${mesh}: losses, evaluations and sample of one rank; bytes of every step by the closed form`, async () => {
    const { backend, options } = await start(layout, mesh);
    const events = await all(trainOnMesh(options));
    const expected = await serialRun();
    assert.equal(
      events.map(({ event }) => event),
      expected.map(({ event }) => event),
    );
    const steps = of<StepEvent>(events, "step");
    for (const [index, step] of steps.entries()) {
      const wanted = of<StepEvent>(expected, "step")[index];
      assert.ok(Math.abs(step.loss / wanted.loss - 1) < relativeLimit, `loss ${step.loss}, one rank ${wanted.loss}`);
      assert.equal(step.bytesReceived, step.closedFormBytes);
      assert.is(step.bytesReceived?.length, size);
      assert.ok(step.bytesReceived?.every((bytes) => bytes > 0));
    }
    for (const [index, { validationLoss }] of of<EvalEvent>(events, "eval").entries())
      assert.ok(Math.abs(validationLoss / of<EvalEvent>(expected, "eval")[index].validationLoss - 1) < relativeLimit);
    assert.is(of<SampleEvent>(events, "sample")[0].text, of<SampleEvent>(expected, "sample")[0].text);
    const [done] = of<DoneEvent>(events, "done");
    const received = (rank: number) => done.traffic?.reduce((sum, row) => sum + row[rank], 0);
    for (let rank = 0; rank < size; rank++)
      assert.is(
        received(rank),
        steps.reduce((sum, { bytesReceived }) => sum + (bytesReceived?.[rank] ?? Number.NaN), 0),
      );
    assert.is(done.ranks?.length, size);
    assert.is(backend.memory.total, 0);
  });

test("a reader that leaves ends every rank, and no memory is left", async () => {
  const { backend, options } = await start("2d", "2x2");
  for await (const event of trainOnMesh(options)) if (event.event === "step") break;
  assert.is(backend.memory.total, 0);
});

test("an abort ends all ranks after the same step", async () => {
  const { backend, options } = await start("2.5d", "2x2x2");
  const controller = new AbortController();
  const events: TrainEvent[] = [];
  // More steps than run between two turns of the event loop, which a timer waits for.
  const steps = 2000;
  const run = { ...options, parameters: { ...options.parameters, ...brief, steps } };
  for await (const event of trainOnMesh({ ...run, signal: controller.signal })) {
    events.push(event);
    if (event.event === "step") setTimeout(() => controller.abort(), 1);
  }
  const [done] = of<DoneEvent>(events, "done");
  assert.ok(done.steps < steps, `${done.steps} steps`);
  assert.is(backend.memory.total, 0);
});

for (const [layout, mesh] of [
  ["serial", undefined],
  ["1d-sp", "2"],
  ["2.5d", "2x2x2"],
] as const)
  test(`${layout}: an abort in the middle of the sample ends it after the token under way, on all ranks`, async () => {
    const { backend, options } = await start(layout, mesh);
    const controller = new AbortController();
    const sampleTokens = 500;
    const parametersOf = { ...options.parameters, ...brief, steps: 1, sampleTokens };
    const events: TrainEvent[] = [];
    const tokens: number[] = [];
    for await (const event of trainOnMesh({ ...options, parameters: parametersOf, signal: controller.signal })) {
      events.push(event);
      // In the middle of a token where the device is waited for, otherwise between two.
      if (event.event === "token" && tokens.push(event.token) === 3) setTimeout(() => controller.abort());
      await turn();
    }
    assert.ok(tokens.length >= 3 && tokens.length < sampleTokens, `${tokens.length} tokens`);
    const [sample] = of<SampleEvent>(events, "sample");
    assert.equal(tokenizer.encode(sample.text).slice(1), Int32Array.from(tokens));
    assert.is(of<DoneEvent>(events, "done")[0].steps, 1);
    assert.is(backend.memory.total, 0);
  });

test("a run that diverges says so on a mesh as on one rank", async () => {
  const { backend, options } = await start("2d", "2x2");
  const run = {
    ...options,
    parameters: { ...options.parameters, ...brief, learningRate: 1e30, minLearningRate: 1e30, clip: 0 },
  };
  let message = "";
  await all(trainOnMesh(run)).catch((error: Error) => {
    message = `${error.name}: ${error.message}`;
  });
  assert.match(message, /^DivergedError: the run diverged at step \d/);
  assert.is(backend.memory.total, 0);
});

test("what does not divide is refused before anything is allocated", async () => {
  const { backend, options } = await start("2.5d", "3x3x2");
  backend.memory.resetPeak();
  let message = "";
  await all(trainOnMesh(options)).catch((error: Error) => {
    message = error.message;
  });
  assert.match(
    message,
    /^mesh 3x3x2: 4 query heads do not divide over q = 3; use 3 or 6 query heads, or a mesh of 2x2x2/,
  );
  assert.is(backend.memory.peak.total, 0);
});

test.after(closeBackend);
test.run();

// Runs that are saved and go on from the file: with the same bits on the same mesh, with one rank's numbers on any other.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { type MeshTrainOptions, trainOnMesh } from "../../src/cluster/launch.ts";
import { workerRanks } from "../../src/cluster/workers.ts";
import { meshShape, parseMesh } from "../../src/parallel/shape.ts";
import { readCheckpoint } from "../../src/train/checkpoint.ts";
import { TrainControls } from "../../src/train/controls.ts";
import type {
  CheckpointEvent,
  DoneEvent,
  SampleEvent,
  StartEvent,
  StepEvent,
  TrainEvent,
  TrainParameters,
} from "../../src/train/events.ts";
import { backendUnderTest, closeBackend } from "../gpu/harness.ts";
import { corpus, gpt2, llama, parameters, tokenizer } from "../training/toy.ts";

type LayoutName = "serial" | "1d" | "1d-sp" | "2d" | "2.5d";
const shapeOf = (layout: LayoutName, mesh?: string) =>
  meshShape({ layout, dims: mesh === undefined ? undefined : parseMesh(mesh) });

const asked: TrainParameters = { ...parameters, batch: 4, steps: 5, accumulate: 2, dropout: 0.1, sampleTokens: 3 };
/** the step behind which the runs are saved */
const saved = 2;

type Options = Pick<MeshTrainOptions, "shape"> & Partial<MeshTrainOptions>;

/** A run that is saved behind the given steps; 0 where none is to come. */
async function run(options: Options, { at = [] }: { at?: readonly number[] } = {}) {
  const controls = new TrainControls();
  if (at.includes(0)) controls.checkpoint();
  const where = options.ranks ? {} : { backend: await backendUnderTest() };
  const all = { config: llama, tokenizer, corpus, parameters: asked, controls, ...where, ...options };
  const events: TrainEvent[] = [];
  for await (const event of trainOnMesh(all as MeshTrainOptions)) {
    events.push(event);
    if (event.event === "step" && at.includes(event.step)) controls.checkpoint();
  }
  assert.is((await backendUnderTest()).memory.total, 0, "nothing is left allocated");
  const of = <T extends TrainEvent>(kind: T["event"]) => events.filter((event): event is T => event.event === kind);
  return {
    start: of<StartEvent>("start")[0],
    steps: of<StepEvent>("step"),
    checkpoints: of<CheckpointEvent>("checkpoint"),
    sample: of<SampleEvent>("sample")[0],
    done: of<DoneEvent>("done")[0],
  };
}

/** What does not depend on the clock. */
const lasting = (steps: readonly StepEvent[]) =>
  steps.map(({ durationMs: _, tokensPerSecond: __, ...rest }) => rest as Partial<StepEvent>);

async function goesOnAlike(options: Options): Promise<void> {
  const last = options.parameters?.steps ?? asked.steps;
  const whole = await run(options, { at: [saved, last] });
  const plain = await run(options);
  assert.equal(lasting(whole.steps), lasting(plain.steps), "being saved changes no step, nor what it holds and sends");
  for (const { bytesReceived, closedFormBytes } of whole.steps) assert.equal(bytesReceived, closedFormBytes);
  assert.equal(
    whole.checkpoints.map(({ step }) => step),
    [saved, last],
  );
  const resume = whole.checkpoints[0].bytes;
  const resumed = await run({ ...options, resume }, { at: [last] });
  assert.is(resumed.start.resumedAt, saved);
  assert.equal(lasting(resumed.steps), lasting(whole.steps.slice(saved)));
  assert.is(resumed.sample.text, whole.sample.text);
  assert.is(resumed.done.validationLoss, whole.done.validationLoss);
  assert.is(resumed.done.steps, last);
  assert.equal([resumed.done.lossScale, resumed.done.skippedSteps], [whole.done.lossScale, whole.done.skippedSteps]);
  assert.ok(same(resumed.checkpoints[0].bytes, whole.checkpoints[1].bytes), "weights and moments at the end differ");
}

const same = (a: Uint8Array, b: Uint8Array) => a.length === b.length && a.every((byte, at) => byte === b[at]);

for (const [layout, mesh, config] of [
  ["serial", undefined, gpt2],
  ["serial", undefined, llama],
  ["1d", "2", gpt2],
  ["1d-sp", "2", llama],
  ["2d", "2x2", gpt2],
  ["2.5d", "2x2x2", llama],
] as const)
  test(`${layout} ${mesh ?? ""}, ${config.model_type}: a run that is saved and resumed has the bits of one that is not`, () =>
    goesOnAlike({ shape: shapeOf(layout, mesh), config }));

for (const [layout, mesh, type] of [
  ["serial", undefined, "dtype"],
  ["2.5d", "2x2x2", "dtype"],
  ["2d", "2x2", "wire"],
] as const)
  test(`${layout} ${mesh ?? ""}, ${type} of f16: the same, after steps that the loss scale skipped`, async () => {
    const { adapter } = await backendUnderTest();
    const half = type === "wire" || adapter.features.includes("shader-f16");
    const changes = { ...asked, [type]: "f16" as const, lossScale: 2 ** 24 };
    const options = { shape: shapeOf(layout, mesh), config: gpt2, parameters: changes };
    const { steps, start } = await run(options);
    assert.is(start.dtype, type === "dtype" && half ? "f16" : "f32");
    assert.is(steps[0].skipped, half ? true : undefined, "the first step did not overflow: its updates are its steps");
    await goesOnAlike(options);
  });

test("saved on two ranks in workers, resumed in workers: the bits of ranks that share a device", async () => {
  const ranks = workerRanks({ backend: (await backendUnderTest()).name });
  const options = { shape: shapeOf("1d", "2"), config: gpt2 };
  const shared = await run(options, { at: [saved, asked.steps] });
  const apart = await run({ ...options, ranks }, { at: [saved] });
  assert.ok(same(apart.checkpoints[0].bytes, shared.checkpoints[0].bytes));
  const resumed = await run({ ...options, ranks, resume: apart.checkpoints[0].bytes }, { at: [asked.steps] });
  assert.ok(same(resumed.checkpoints[0].bytes, shared.checkpoints[1].bytes));
});

/** Sums over ranks round in another order than one rank's, as in launch.test.ts. */
const relativeLimit = 1e-5;

test("saved on 2.5d 2x2x2, resumed on one rank and on other layouts: nothing is lost on the way, and steps are the saved mesh's", async () => {
  const short = { ...asked, steps: saved };
  const deep = shapeOf("2.5d", "2x2x2");
  // Lavapipe takes a minute for either.
  const { name } = await backendUnderTest();
  for (const config of name === "cpu" ? [gpt2, llama] : [gpt2]) {
    const whole = await run({ shape: deep, config });
    const { bytes } = (await run({ shape: deep, config, parameters: short }, { at: [saved] })).checkpoints[0];
    for (const shape of [shapeOf("serial"), shapeOf("1d", "2"), shapeOf("1d-sp", "2"), shapeOf("2d", "2x2"), deep]) {
      // No step is left to take: what was loaded is saved.
      const through = await run({ shape, config, parameters: short, resume: bytes }, { at: [0] });
      assert.is(through.steps.length, 0);
      assert.ok(same(through.checkpoints[0].bytes, bytes), `${shape.layout}: what was loaded is not what was saved`);
      const { steps } = await run({ shape, config, resume: bytes });
      for (const { step, loss } of steps) {
        const wanted = whole.steps[step - 1].loss;
        assert.ok(
          Math.abs(loss / wanted - 1) < relativeLimit,
          `${shape.layout}, step ${step}: ${loss}, need ${wanted}`,
        );
      }
      assert.is(steps.length, asked.steps - saved);
    }
  }
});

test("a checkpoint says what it is of, and goes on with more steps, another batch and another type", async () => {
  for (const [type, other] of [
    ["f32", "f16"],
    ["f16", "f32"],
  ] as const) {
    const options = { shape: shapeOf("2d", "2x2"), config: gpt2, parameters: { ...asked, dtype: type } };
    const [{ bytes }] = (await run(options, { at: [saved] })).checkpoints;
    const head = readCheckpoint(bytes);
    assert.equal(head.config, gpt2);
    assert.equal(head.parameters, options.parameters);
    assert.is(head.step, saved);
    assert.equal(head.tokenizer.toJSON(), tokenizer.toJSON());
    const longer = { ...head.parameters, steps: 7, batch: 8, dtype: other };
    const { steps } = await run({ shape: shapeOf("serial"), config: head.config, parameters: longer, resume: bytes });
    assert.equal(
      steps.map(({ step }) => step),
      [3, 4, 5, 6, 7],
    );
    const fresh = await run({ shape: shapeOf("serial"), config: gpt2, parameters: { ...longer, steps: 3 } });
    // It has learned something already.
    assert.ok(steps[0].loss < fresh.steps[0].loss, `${steps[0].loss}, fresh ${fresh.steps[0].loss}`);
  }
});

test.after(closeBackend);
test.run();

// What tests of saved runs share: a run that is saved where one likes, and one that goes on from there.

import * as assert from "uvu/assert";
import { type MeshTrainOptions, trainOnMesh } from "../../src/cluster/launch.ts";
import { meshShape, parseMesh } from "../../src/parallel/shape.ts";
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
import { backendUnderTest } from "../gpu/harness.ts";
import { corpus, llama, parameters, tokenizer } from "../training/toy.ts";

type LayoutName = "serial" | "1d" | "1d-sp" | "2d" | "2.5d";
export const shapeOf = (layout: LayoutName, mesh?: string) =>
  meshShape({ layout, dims: mesh === undefined ? undefined : parseMesh(mesh) });

export const asked: TrainParameters = {
  ...parameters,
  batch: 4,
  steps: 5,
  accumulate: 2,
  dropout: 0.1,
  sampleTokens: 3,
};
/** The step behind which the runs are saved. */
export const saved = 2;

type Options = Pick<MeshTrainOptions, "shape"> & Partial<MeshTrainOptions>;

/** A run that is saved behind the given steps; 0 where none is to come. */
export async function run(options: Options, { at = [] }: { at?: readonly number[] } = {}) {
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

export async function goesOnAlike(options: Options): Promise<void> {
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

export const same = (a: Uint8Array, b: Uint8Array) => a.length === b.length && a.every((byte, at) => byte === b[at]);

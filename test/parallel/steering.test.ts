// Runs that are steered, watched and held while they go: on one rank, on ranks that share a device, on ranks in workers.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { type MeshTrainOptions, trainOnMesh } from "../../src/cluster/launch.ts";
import { loopbackRanks } from "../../src/cluster/ranks.ts";
import { workerRanks } from "../../src/cluster/workers.ts";
import { meshShape, parseMesh } from "../../src/parallel/shape.ts";
import { TrainControls } from "../../src/train/controls.ts";
import {
  DivergedError,
  type SampleEvent,
  type StepEvent,
  type TimelineEvent,
  type TrainEvent,
  type TrainParameters,
} from "../../src/train/events.ts";
import { learningRateAt } from "../../src/train/schedule.ts";
import { train } from "../../src/train/trainer.ts";
import { backendUnderTest, closeBackend } from "../gpu/harness.ts";
import { corpus, gpt2, llama, parameters, tokenizer } from "../training/toy.ts";

const brief: TrainParameters = { ...parameters, batch: 4, steps: 6, sampleTokens: 0 };
const loopback = async () => ({ ranks: loopbackRanks(await backendUnderTest()) });
const workers = async () => ({ ranks: workerRanks({ backend: (await backendUnderTest()).name }) });
const shared = async () => ({ backend: await backendUnderTest() });

type Changes = Partial<MeshTrainOptions> & Pick<MeshTrainOptions, "shape">;

/** All events of a run, `on` each of which something may be asked. */
async function runOf(options: Changes & object, on?: (event: TrainEvent) => unknown): Promise<TrainEvent[]> {
  const where = options.ranks || options.backend ? {} : await shared();
  const run = { config: llama, tokenizer, corpus, parameters: brief, ...where, ...options } as MeshTrainOptions;
  const events: TrainEvent[] = [];
  for await (const event of trainOnMesh(run)) {
    events.push(event);
    await on?.(event);
  }
  return events;
}

const of = <T extends TrainEvent>(events: readonly TrainEvent[], kind: T["event"]): T[] =>
  events.filter((event): event is T => event.event === kind);
const losses = (events: readonly TrainEvent[]) => of<StepEvent>(events, "step").map(({ loss }) => loss);
const shape = (layout: "serial" | "1d" | "2d" | "2.5d", mesh?: string) =>
  meshShape({ layout, dims: mesh === undefined ? undefined : parseMesh(mesh) });
const names = (events: readonly TrainEvent[]) => events.map(({ event }) => event).join(" ");

const everywhere = [
  { name: "one rank", shape: shape("serial"), where: shared },
  { name: "2.5d 2x2x2 on one device", shape: shape("2.5d", "2x2x2"), where: loopback },
  { name: "1d 2 in workers", shape: shape("1d", "2"), where: workers },
] as const;

for (const { name, shape: mesh, where } of everywhere) {
  test(`${name}: a factor of 1/2 from the start is half the learning rate, to the bit; set later it is the later steps'`, async () => {
    const halved = { ...brief, learningRate: brief.learningRate / 2, minLearningRate: brief.minLearningRate / 2 };
    const wanted = await runOf({ ...(await where()), shape: mesh, parameters: halved });
    const controls = new TrainControls();
    controls.learningRateFactor = 0.5;
    const steered = await runOf({ ...(await where()), shape: mesh, controls });
    assert.equal(losses(steered), losses(wanted));
    const late = new TrainControls();
    const events = await runOf({ ...(await where()), shape: mesh, controls: late }, (event) => {
      if (event.event === "step") late.learningRateFactor = event.step === 2 ? 0.25 : event.step === 4 ? 0 : 1;
    });
    const factors = [1, 1, 0.25, 1, 0, 1];
    assert.equal(
      of<StepEvent>(events, "step").map(({ learningRate }) => learningRate),
      factors.map((factor, step) => factor * learningRateAt(step, brief)),
    );
  });

  test(`${name}: a sample and a timeline come when they were asked for, and change no later step`, async () => {
    const plain = await runOf({ ...(await where()), shape: mesh });
    const controls = new TrainControls();
    const events = await runOf({ ...(await where()), shape: mesh, controls }, (event) => {
      if (event.event === "step" && event.step === 1) {
        controls.sample(9);
        controls.sample(3);
      }
      if (event.event === "step" && event.step === 2) controls.trace(2);
      // While that trace is under way.
      if (event.event === "step" && event.step === 3) controls.trace(1);
      if (event.event === "step" && event.step === brief.steps) controls.sample(1);
    });
    assert.is(
      names(events),
      "start step token token token sample step step step timeline step timeline step token sample eval done",
    );
    assert.equal(losses(events), losses(plain));
    assert.equal(
      of<SampleEvent>(events, "sample").map(({ step, text }) => [step, text.length]),
      [
        [1, 4],
        [6, 2],
      ],
    );
    const timelines = of<TimelineEvent>(events, "timeline");
    assert.equal(
      timelines.map(({ from, to }) => [from, to]),
      [
        [3, 4],
        [5, 5],
      ],
    );
    for (const { from, to, timeline } of timelines)
      for (let rank = 0; rank < mesh.size; rank++) {
        const own = timeline.slices.filter((slice) => slice.rank === rank);
        assert.equal(
          own.flatMap((slice) => (slice.track === "steps" ? [slice.name] : [])),
          Array.from({ length: to - from + 1 }, (_, index) => `step ${from + index}`),
        );
        const received = own.flatMap(({ track, details }) => (track === "receiving" ? [Number(details?.bytes)] : []));
        const steps = of<StepEvent>(events, "step").slice(from - 1, to);
        assert.is(
          received.reduce((a, b) => a + b, 0),
          steps.reduce((sum, step) => sum + (step.bytesReceived?.[rank] ?? 0), 0),
        );
      }
    assert.is((await backendUnderTest()).memory.total, 0, "nothing is left allocated");
  });

  test(`${name}: a watched step says what crossed and what each rank holds`, async () => {
    const events = await runOf({ ...(await where()), shape: mesh, watch: true });
    for (const { traffic, ranks, bytesReceived, memoryBytes } of of<StepEvent>(events, "step")) {
      assert.ok(traffic && ranks);
      assert.is(ranks.length, mesh.size);
      for (let rank = 0; rank < mesh.size; rank++) {
        assert.is(
          traffic.reduce((sum, row) => sum + row[rank], 0),
          bytesReceived?.[rank] ?? 0,
        );
        const { total, ...purposes } = ranks[rank].memory;
        assert.is(
          Object.values(purposes).reduce((a, b) => a + b, 0),
          total,
        );
        assert.ok(purposes.weights > 0 && purposes.optimizer >= 2 * purposes.gradients);
      }
      assert.is(
        ranks.reduce((sum, { memory }) => sum + memory.total, 0),
        memoryBytes,
      );
    }
    const [step] = of<StepEvent>(await runOf({ ...(await where()), shape: mesh }), "step");
    assert.equal([step.traffic, step.ranks], [undefined, undefined]);
  });
}

test("a trace that the run's end cuts short ends with its last step, and one that comes too late is none", async () => {
  const controls = new TrainControls();
  const on = (event: TrainEvent) => {
    if (event.event === "step" && event.step >= 5) controls.trace(5);
  };
  const events = await runOf({ shape: shape("2d", "2x2"), config: gpt2, controls }, on);
  assert.is(names(events), "start step step step step step step eval timeline done");
  const [{ from, to }] = of<TimelineEvent>(events, "timeline");
  assert.equal([from, to], [6, 6]);
  const late = new TrainControls();
  const none = await runOf({ shape: shape("serial"), config: gpt2, controls: late }, (event) => {
    if (event.event === "step" && event.step === 6) late.trace(1);
  });
  assert.is(names(none), "start step step step step step step eval done");
});

test("who does not ask for the next event holds ranks in workers for longer than they would wait for each other", async () => {
  // Longer than a busy machine takes to start the other worker; and one kind of device, so that no rank compiles for as long.
  const timeoutMs = 5000;
  const options = { ranks: workerRanks({ backend: "cpu" }), shape: shape("1d", "2"), timeoutMs };
  const controls = new TrainControls();
  const events = await runOf({ ...options, controls }, async (event) => {
    if (event.event === "step" && event.step === 3) controls.sample(1);
    if (event.event === "step" && event.step === 2)
      await new Promise((resolve) => setTimeout(resolve, 1.5 * timeoutMs));
  });
  assert.is(names(events), "start step step step token sample step step step eval done");
  assert.equal(losses(events), losses(await runOf(options)));
});

test("a reader that leaves, and a run that fails, in the middle of a trace leave a device that traces nothing and holds nothing", async () => {
  const backend = await backendUnderTest();
  const options = { shape: shape("2d", "2x2"), config: gpt2 };
  const leave = new TrainControls();
  leave.trace(100);
  const run = { backend, tokenizer, corpus, parameters: brief, ...options };
  for await (const event of trainOnMesh({ ...run, controls: leave }))
    if (event.event === "step" && event.step === 2) break;
  assert.is(backend.memory.total, 0);
  const fail = new TrainControls();
  fail.trace(100);
  fail.learningRateFactor = 1e30;
  const wild = { ...brief, clip: 0, steps: 50 };
  const error = await runOf({ ...options, controls: fail, parameters: wild }).catch((reason: unknown) => reason);
  assert.instance(error, DivergedError);
  assert.is(backend.memory.total, 0);
  const controls = new TrainControls();
  controls.trace(1);
  const events = await runOf({ ...options, controls });
  assert.is(names(events), "start step timeline step step step step step eval done");
  assert.equal(losses(events), losses(await runOf(options)));
});

test("train alone takes rates and samples, and says who makes timelines", async () => {
  const controls = new TrainControls();
  controls.sample(2);
  controls.learningRateFactor = 0;
  const kinds: string[] = [];
  const rates: number[] = [];
  const run = { ...(await shared()), config: gpt2, tokenizer, corpus, parameters: brief, controls };
  try {
    for await (const event of train(run)) {
      kinds.push(event.event);
      if (event.event === "step") rates.push(event.learningRate);
      if (event.event === "sample") controls.trace(1);
    }
    assert.unreachable();
  } catch (error) {
    assert.match(String(error), /^UserError: train alone makes no timelines; use trainOnMesh/);
  }
  assert.equal(kinds, ["start", "step", "token", "token", "sample", "step"]);
  assert.equal(rates, [0, 0]);
});

test("controls refuse what cannot be asked for", () => {
  const controls = new TrainControls();
  for (const factor of [-1, Number.NaN, Number.POSITIVE_INFINITY])
    assert.throws(() => {
      controls.learningRateFactor = factor;
    }, /^got a learning rate factor of .*, need a finite number from 0/);
  assert.is(controls.learningRateFactor, 1);
  assert.throws(() => controls.sample(0), /^got 0 tokens of a sample, need a whole number from 1/);
  assert.throws(() => controls.trace(1.5), /^got 1\.5 steps of a trace/);
});

test.after(closeBackend);
test.run();

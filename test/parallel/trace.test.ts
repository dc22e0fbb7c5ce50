// Timelines of real runs: ranks in worker threads, and ranks that share a device.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { trainOnMesh } from "../../src/cluster/launch.ts";
import { measureProduct } from "../../src/cluster/matmul.ts";
import { loopbackRanks, type Ranks } from "../../src/cluster/ranks.ts";
import { workerRanks } from "../../src/cluster/workers.ts";
import { meshShape, parseMesh } from "../../src/parallel/shape.ts";
import { chromeTrace } from "../../src/trace/chrome.ts";
import type { Slice, Timeline } from "../../src/trace/timeline.ts";
import { TrainControls } from "../../src/train/controls.ts";
import { backendUnderTest, closeBackend } from "../gpu/harness.ts";
import { corpus, gpt2, parameters, tokenizer } from "../training/toy.ts";
import { checkTrace } from "../unit/trace-format.ts";

const shape = meshShape({ layout: "2d", dims: parseMesh("2x2") });
const steps = { from: 2, to: 3 };
const tracedSteps = 2;
/** What clocks of one machine may differ by at the end of a trace when they were equal at its start, generously. */
const driftUs = 200;

/** The steps' losses and bytes, and the timeline of two of them. */
async function trainTraced(ranks: Ranks) {
  const timelines: Timeline[] = [];
  const losses: number[] = [];
  const received: (readonly number[])[] = [];
  const run = { ...parameters, batch: 4, steps: 4, evalEvery: 0, evalBatches: 1, sampleTokens: 2 };
  const controls = new TrainControls();
  for await (const event of trainOnMesh({ ranks, shape, config: gpt2, tokenizer, corpus, parameters: run, controls })) {
    if (event.event === "timeline") {
      assert.equal([event.from, event.to], [steps.from, steps.to]);
      timelines.push(event.timeline);
    }
    if (event.event !== "step") continue;
    losses.push(event.loss);
    received.push(event.bytesReceived ?? []);
    if (event.step === steps.from - 1) controls.trace(tracedSteps);
  }
  assert.is(timelines.length, 1);
  return { timeline: timelines[0], losses, received };
}

const workers = async () => workerRanks({ backend: (await backendUnderTest()).name });
const of = ({ slices }: Timeline, rank: number, track: Slice["track"]) =>
  slices.filter((slice) => slice.rank === rank && slice.track === track);
const bytesOf = (slices: readonly Slice[]) => slices.reduce((sum, { details }) => sum + Number(details?.bytes), 0);

async function untracedLosses(): Promise<number[]> {
  const losses: number[] = [];
  const run = { ...parameters, batch: 4, steps: 4, evalEvery: 0, evalBatches: 1, sampleTokens: 2 };
  const backend = await backendUnderTest();
  for await (const event of trainOnMesh({ backend, shape, config: gpt2, tokenizer, corpus, parameters: run }))
    if (event.event === "step") losses.push(event.loss);
  return losses;
}

for (const [name, open] of [
  ["workers", workers],
  ["ranks that share a device", async () => loopbackRanks(await backendUnderTest())],
] as const)
  test(`${name}: every message of the traced steps is there, byte for byte, every rank's kernels are, and no bit changes`, async () => {
    const { timeline, losses, received } = await trainTraced(await open());
    assert.equal(losses, await untracedLosses());
    assert.is(timeline.dropped, 0);
    checkTrace([...chromeTrace(timeline)].join(""));
    for (let rank = 0; rank < shape.size; rank++) {
      const expected = received.slice(steps.from - 1, steps.to).reduce((sum, bytes) => sum + bytes[rank], 0);
      assert.is(bytesOf(of(timeline, rank, "receiving")), expected, `rank ${rank}`);
      const products = of(timeline, rank, "computing").filter(({ name }) => name.startsWith("matmul"));
      // Forward and backward of a layer's products alone.
      assert.ok(products.length >= tracedSteps * 3 * 4 * shape.q, `rank ${rank}: ${products.length} products`);
      assert.equal(
        of(timeline, rank, "steps").map(({ name }) => name),
        ["step 2", "step 3"],
      );
      const updates = of(timeline, rank, "computing").filter(({ name }) => name.startsWith("adamw"));
      assert.ok(updates.length > 0 && updates.length % tracedSteps === 0, `rank ${rank}: ${updates.length} updates`);
    }
    assert.ok(timeline.levels.some(({ value }) => value > 0));
  });

test("a message is under way from when its block was computed until it came, before its receiver computes with it", async () => {
  const { timeline } = await trainTraced(await workers());
  const sent = new Map(timeline.slices.flatMap((slice) => (slice.track === "sending" ? [[slice.message, slice]] : [])));
  const received = timeline.slices.filter(({ track }) => track === "receiving");
  assert.is(received.length, sent.size);
  for (const slice of received) {
    const other = sent.get(slice.message);
    assert.ok(other && other.rank !== slice.rank, slice.name);
    assert.is(other?.name, slice.name);
    assert.ok(slice.endUs > slice.startUs, `${slice.name} took no time between threads`);
  }
  // A norm's backward: sums, which both ranks of the row exchange, then the gradient of its input.
  const slackUs = timeline.withinUs + driftUs;
  for (let rank = 0; rank < shape.size; rank++) {
    const kernels = (name: string) => of(timeline, rank, "computing").filter((slice) => slice.name.startsWith(name));
    const messages = (track: "sending" | "receiving") =>
      of(timeline, rank, track).filter(({ name }) => name.startsWith("allReduce") && name.includes("norm backward"));
    const sums = kernels("norm grad sums");
    const inputs = kernels("norm grad input");
    const [out, back] = [messages("sending"), messages("receiving")].map((all) =>
      all.toSorted((a, b) => a.startUs - b.startUs),
    );
    assert.ok(sums.length > 0);
    assert.equal([inputs.length, out.length, back.length], new Array(3).fill(sums.length));
    for (const [at, sum] of sums.entries()) {
      assert.ok(
        sum.endUs <= out[at].startUs + slackUs,
        `sent ${sum.endUs - out[at].startUs} us before it was computed`,
      );
      const earlyUs = back[at].endUs - inputs[at].startUs;
      assert.ok(earlyUs <= slackUs, `used ${earlyUs} us before it came`);
    }
  }
});

test("SUMMA: blocks of the next step are under way while a step's product computes", async () => {
  const size = { m: 512, n: 512, k: 512 };
  const repeats = 4;
  const run = { shape, form: "AB" as const, size, repeats, seed: 1, maxBytes: 2 ** 30, trace: true };
  const { timeline } = await measureProduct({ ranks: await workers() }, run);
  assert.ok(timeline);
  let hidden = 0;
  for (let rank = 0; rank < shape.size; rank++) {
    const products = of(timeline, rank, "computing").filter(({ name }) => name.startsWith("matmul"));
    assert.is(products.length, repeats * shape.q);
    for (const message of of(timeline, rank, "receiving").filter(({ name }) => name.startsWith("broadcast")))
      if (products.some(({ startUs, endUs }) => startUs < message.endUs && message.startUs < endUs)) hidden++;
  }
  assert.ok(hidden > 0, "no broadcast was under way while its receiver multiplied");
});

test.after(closeBackend);
test.run();

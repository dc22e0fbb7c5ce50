// The timeline of a simulated step: one that viewers open, and whose sums are the simulation's.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseModelConfig } from "../../src/nn/config.ts";
import { meshShape } from "../../src/parallel/shape.ts";
import { profileNamed } from "../../src/plan/profiles.ts";
import { parametersOf } from "../../src/plan/record-step.ts";
import { recordRanks, simulate } from "../../src/plan/simulate.ts";
import { OpNotes, StepTracer } from "../../src/plan/trace.ts";
import { chromeTrace } from "../../src/trace/chrome.ts";
import { command, folder, refuses } from "./command.ts";
import { checkTrace } from "./trace-format.ts";

const config = parseModelConfig({
  ...{ model_type: "gpt2", vocab_size: 53, n_positions: 16, n_layer: 2, n_embd: 48, n_head: 8 },
});
const parameters = parametersOf({ batch: 8, context: 16 });

async function traced(ranks: readonly number[], { most }: { most?: number } = {}) {
  const notes = new OpNotes(ranks);
  const shape = meshShape({ dims: [2, 2, 2] });
  const record = await recordRanks({ shape, config, parameters, watchOf: notes.watchOf });
  const tracer = new StepTracer(record.program, { notes, most });
  const run = simulate(record, { profile: profileNamed("a100"), devices: 8, watch: tracer.watch });
  return { record, run, tracer, timeline: tracer.timeline(run.seconds) };
}

const all = [0, 1, 2, 3, 4, 5, 6, 7];

test("all ranks: each track's time is its device's, each message has both its ends, all of it in the step", async () => {
  const { record, run, timeline } = await traced(all);
  const { slices, levels, dropped } = timeline;
  assert.is(dropped, 0);
  const spent = (rank: number, track: string) =>
    slices.reduce((sum, each) => sum + (each.rank === rank && each.track === track ? each.endUs - each.startUs : 0), 0);
  for (const [rank, { computing, hidden }] of run.devices.entries()) {
    const wanted = 1e6 * (computing + hidden);
    assert.ok(Math.abs(spent(rank, "computing") - wanted) < 1e-6 * wanted, `rank ${rank} computes`);
    const received = slices.filter((each) => each.rank === rank && each.track === "receiving");
    assert.is(
      received.length,
      record.entries[rank].reduce((sum, { messages }) => sum + messages, 0),
      `rank ${rank}`,
    );
    const bytes = received.reduce((sum, { details }) => sum + Number(details?.bytes), 0);
    assert.is(
      bytes,
      record.entries[rank].reduce((sum, each) => sum + each.bytes, 0),
      `rank ${rank} bytes`,
    );
    assert.is(spent(rank, "steps"), 1e6 * run.seconds);
    const held = levels.filter((each) => each.rank === rank).map(({ value }) => value);
    const { total, weights, optimizer } = record.peakBytes[rank];
    assert.ok(
      Math.max(...held) <= total && Math.max(...held) >= 0.9 * total,
      `rank ${rank} holds ${Math.max(...held)}`,
    );
    assert.ok(Math.min(...held) >= weights + optimizer, `rank ${rank} holds its weights`);
  }
  assert.ok(slices.every(({ startUs, endUs }) => startUs >= 0 && endUs <= 1e6 * run.seconds));
  const numbers = slices.flatMap(({ message }) => (message === undefined ? [] : [message]));
  assert.is(numbers.length, 2 * record.program.messages.from.length);
  assert.is(new Set(numbers).size, record.program.messages.from.length);
  // Products of a rank's share: rows 8 * 16 / (q d), columns over q.
  const names = new Set(slices.map(({ name }) => name));
  for (const name of ["matmul 32x72x24", "matmul 32x96x24"]) assert.ok(names.has(name), name);
  assert.ok(
    [...names].some((name) => /^broadcast \[32,24\] for linear forward, row\(/.test(name)),
    [...names].join("; "),
  );
});

test("a viewer shows it: flows from slice to slice, counters, tracks by name", async () => {
  const { timeline } = await traced(all);
  const { events, threads } = checkTrace([...chromeTrace(timeline)].join(""));
  const lanes = new Set([...threads.values()].map((name) => name.replace(/ \d+$/, "")));
  assert.equal([...lanes].sort(), ["computing", "receiving", "sending", "steps"]);
  assert.ok(events.some(({ ph, name }) => ph === "C" && name === "memory in use"));
  // One port in each direction, one kernel at a time.
  assert.is(threads.size, 8 * 4, [...threads.values()].join(", "));
});

test("some ranks: messages to others are shown, without a line to nowhere", async () => {
  const { record, timeline } = await traced([1, 6]);
  const { events } = checkTrace([...chromeTrace(timeline)].join(""));
  assert.is(new Set(events.map(({ pid }) => pid)).size, 2);
  const { from, to } = record.program.messages;
  const between = [...from.keys()].filter((i) => [1, 6].includes(from[i]) && [1, 6].includes(to[i])).length;
  assert.is(events.filter(({ ph }) => ph === "s").length, between);
  const ends = [...from, ...to].filter((rank) => rank === 1 || rank === 6).length;
  const shown = events.filter(({ ph, cat }) => ph === "X" && (cat === "sending" || cat === "receiving"));
  assert.is(shown.length, ends);
  assert.ok(shown.every(({ name }) => / for /.test(name)));
});

test("too many events: whole ranks are left out, the first stay whole", async () => {
  const whole = await traced(all);
  const most = 3 * (whole.timeline.slices.length / 8 + 200);
  const { tracer, timeline } = await traced(all, { most });
  assert.ok(tracer.ranks.length >= 1 && tracer.ranks.length < 8, String(tracer.ranks));
  assert.is(timeline.dropped, 0);
  const of = ({ slices }: typeof timeline) => slices.filter(({ rank }) => rank === 0).length;
  assert.is(of(timeline), of(whole.timeline));
  assert.equal((await traced(all, { most: 10 })).tracer.ranks, []);
});

const small = [
  ...["simulate", "--layers", "1", "--width", "64", "--heads", "8", "--batch", "8", "--context", "16"],
  ...["--vocab", "100", "--mesh", "2x2x4"],
];

test("simulate --trace: the file, and which ranks it leaves out", async () => {
  const { code, stdout, stderr } = await command([...small, "--trace", "step.json"]);
  assert.is(code, 0, stderr);
  assert.match(stdout, /\ntrace: step\.json, [\d,]+ events of a simulated step of 8 of 16 ranks; open it at ui\.perf/);
  const pids = (file: string) =>
    new Set(checkTrace(readFileSync(join(folder, file), "utf8")).events.map(({ pid }) => pid));
  assert.is(pids("step.json").size, 8);
  const some = await command([...small, "--trace", "some.json", "--trace-ranks", "0,9-10"]);
  assert.match(some.stdout, / of 3 of 16 ranks; /);
  assert.is(pids("some.json").size, 3);
});

test("traces of simulated steps that cannot be are refused", async () => {
  for (const ranks of ["16", "3-1", "x", "", "0-16", "1,,2"])
    await refuses(
      [...small, "--trace", "bad.json", `--trace-ranks=${ranks}`],
      /got --trace-ranks .*, need ranks of this mesh, 0 to 15, such as 0-3,16/,
    );
  await refuses([...small, "--trace-ranks", "1"], /got --trace-ranks 1 without --trace; need --trace FILE with it/);
  await refuses([...small, "--trace", "/"], /\/: it is a folder; need a file that can be written/);
});

test.run();

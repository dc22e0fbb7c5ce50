// Faults of simulated machines: by formulas where they are simple, a function of the seed where they are by chance.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseModelConfig } from "../../src/nn/config.ts";
import { meshShape } from "../../src/parallel/shape.ts";
import { distributionOf, histogramOf } from "../../src/plan/distribution.ts";
import { type DegradedLink, type Faults, withFaults } from "../../src/plan/faults.ts";
import { profileNamed } from "../../src/plan/profiles.ts";
import type { StepProgram } from "../../src/plan/program.ts";
import { parametersOf } from "../../src/plan/record-step.ts";
import { replay } from "../../src/plan/replay.ts";
import { recordRanks, simulate } from "../../src/plan/simulate.ts";
import { command, events, refuses } from "./command.ts";
import { machine, message, near, recorded } from "./recorded-program.ts";

const none: Faults = { slow: new Map(), degraded: [], jitter: 0, seed: 1, run: 0 };
const purpose = "test";
const n = 960;

/** Each of two ranks runs a kernel, they send what it made to each other and sum it up. */
const exchange = () =>
  recorded(2, async (group, tensor) => {
    const y = tensor(n);
    y.backend.run("fill", { y: y.buffer, n, value: 1 });
    await group.allReduce(y, { purpose, algorithm: "doubling" });
  });

const seconds = (program: StepProgram, faults: Partial<Faults>, kernel = 1): number =>
  replay(program, withFaults(machine(program, { kernel }), { program, faults: { ...none, ...faults } })).seconds;

for (const k of [0.5, 1, 1.5, 3])
  test(`a device ${k} times as slow: two of its kernels, or one, a message and the other's kernel`, async () => {
    // The other's message is under way from second 1 on; its own from k on.
    const slow = new Map([[1, k]]);
    const m = message(n);
    const wanted = Math.max(Math.max(k, 1 + m) + k, Math.max(1, k + m) + 1);
    near(seconds(await exchange(), { slow }), wanted, `k = ${k}`);
  });

test("a link that degrades takes longer from its second on, both ways, and no other link does", async () => {
  const program = await exchange();
  const at = (...degraded: DegradedLink[]) => seconds(program, { degraded });
  const [early, late] = [
    { devices: [0, 1], factor: 5, fromSeconds: 1 } as const,
    { devices: [0, 1], factor: 7, fromSeconds: 1.5 } as const,
  ];
  near(at(early), 2 + 5 * message(n), "when the messages begin");
  near(at(late), 2 + message(n), "when they are under way");
  near(at(late, { ...early, fromSeconds: 0.5 }), 2 + 5 * message(n), "what has begun");
  near(at({ ...late, fromSeconds: 0.9 }, { ...early, fromSeconds: 0.5 }), 2 + 7 * message(n), "what has begun last");
  const four = await recorded(4, (group, tensor) =>
    group.broadcast(tensor(n), { root: 0, shape: [n], purpose, algorithm: "ring" }),
  );
  for (const devices of [
    [1, 2],
    [2, 1],
  ] as const)
    near(
      seconds(four, { degraded: [{ ...early, devices, fromSeconds: 0 }] }),
      (2 + 5) * message(n),
      "one of a chain's",
    );
  near(seconds(four, { degraded: [{ ...early, devices: [0, 3], fromSeconds: 0 }] }), 3 * message(n), "none of them");
});

test("jitter: of mean 1 and that spread, other numbers for each op, message, run and seed, and the same ones again", async () => {
  const program = await exchange();
  const factors = (faults: Partial<Faults>, ops = 20_000) => {
    const { slowdown } = withFaults(machine(program), { program, faults: { ...none, jitter: 0.3, ...faults } });
    return Array.from({ length: ops }, (_, op) => slowdown?.(0, op) ?? 0);
  };
  const drawn = factors({});
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  // A log-normal factor's own standard deviation is sqrt(exp(sigma^2) - 1); four of the mean's, and of the variance's.
  const spread = Math.sqrt(Math.exp(0.09) - 1);
  assert.ok(Math.abs(mean(drawn) - 1) < (4 * spread) / Math.sqrt(drawn.length), `mean ${mean(drawn)}`);
  const logs = drawn.map(Math.log);
  const center = mean(logs);
  const variance = mean(logs.map((each) => (each - center) ** 2));
  assert.ok(Math.abs(variance / 0.09 - 1) < 4 * Math.sqrt(2 / drawn.length), `variance ${variance}`);
  assert.is(new Set(drawn).size, drawn.length);
  assert.equal(factors({}, 100), drawn.slice(0, 100));
  for (const other of [{ seed: 2 }, { run: 1 }, { seed: 0 }])
    assert.is(
      factors(other, 100).some((factor, op) => factor === drawn[op]),
      false,
      JSON.stringify(other),
    );
  const { congestion, slowdown } = withFaults(machine(program), { program, faults: { ...none, jitter: 0.3 } });
  const between = { from: 0, to: 1, seconds: 0 };
  const [first, second] = [0, 1].map((each) => congestion?.(each, between) ?? 0);
  assert.is.not(first, second);
  assert.is(first, slowdown?.(0, program.messages.receive[0]), "by the message's own op");
});

test("a model's step without jitter is the faultless one to the bit, with it a function of seed and run", async () => {
  const config = parseModelConfig({
    ...{ model_type: "gpt2", vocab_size: 53, n_positions: 16, n_layer: 2, n_embd: 48, n_head: 8 },
  });
  const parameters = parametersOf({ batch: 8, context: 16 });
  const record = await recordRanks({ shape: meshShape({ dims: [2, 2, 2] }), config, parameters });
  const profile = profileNamed("a100");
  const of = (faults?: Partial<Faults>) =>
    simulate(record, { profile, devices: 8, faults: faults && { ...none, ...faults } });
  assert.equal(of({}), of());
  assert.equal(of({ jitter: 0.2, seed: 5, run: 3 }), of({ jitter: 0.2, seed: 5, run: 3 }));
  const times = [1, 2, 3, 4, 5].map((run) => of({ jitter: 0.2, seed: 5, run }).seconds);
  assert.is(new Set(times).size, 5);
  const serial = await recordRanks({ shape: meshShape({ layout: "serial" }), config, parameters });
  const alone = (slow: Map<number, number>) =>
    simulate(serial, { profile, devices: 1, faults: { ...none, slow } }).seconds;
  near(alone(new Map([[0, 2.5]])), 2.5 * alone(new Map()), "a step on one device that is 2.5 times as slow");
});

test("quantiles are numbers that occurred, a histogram counts each once", () => {
  const hundred = Array.from({ length: 100 }, (_, i) => ((i * 37) % 100) + 1);
  const { mean, ...rest } = distributionOf(hundred);
  assert.equal(rest, { min: 1, median: 50, p90: 90, p99: 99, max: 100 });
  near(mean, 50.5, "mean");
  assert.equal(distributionOf([3, 1, 2]), { min: 1, median: 2, p90: 3, p99: 3, max: 3, mean: 2 });
  assert.equal(distributionOf([7]), { min: 7, median: 7, p90: 7, p99: 7, max: 7, mean: 7 });
  const bins = histogramOf([0, 0.4, 1, 1.9, 2, 4], { bins: 4 });
  assert.equal(
    bins.map(({ count }) => count),
    [2, 2, 1, 1],
  );
  assert.equal(
    bins.map(({ from, to }) => [from, to]),
    [
      [0, 1],
      [1, 2],
      [2, 3],
      [3, 4],
    ],
  );
  assert.equal(histogramOf([5, 5], { bins: 4 }), [{ from: 5, to: 5, count: 2 }]);
});

const small = [
  ...["simulate", "--layers", "1", "--width", "64", "--heads", "8", "--batch", "8", "--context", "16"],
  ...["--vocab", "100", "--mesh", "2x2x2"],
];

test("simulate --jitter --runs: the same seed, the same distribution; another, another", async () => {
  const told = async (seed: string) => {
    const args = [...small, "--jitter", "0.2", "--runs", "20", "--slow", "3:2.5,1:1.5", "--seed", seed, "--json"];
    const { code, stdout, stderr } = await command(args);
    assert.is(code, 0, stderr);
    return events(stdout);
  };
  const [first, again, other] = [await told("3"), await told("3"), await told("4")];
  assert.equal(again, first);
  const named = (all: typeof first, name: string) => all.find(({ event }) => event === name) ?? {};
  const distribution = named(first, "distribution");
  const { runSeconds, minSeconds, medianSeconds, maxSeconds, runs, seed, histogram } = distribution as {
    [field: string]: number;
  } & { runSeconds: number[]; histogram: { runs: number }[] };
  assert.equal([runs, seed, runSeconds.length], [20, 3, 20]);
  assert.is(runSeconds[0], named(first, "simulated").seconds);
  assert.equal([minSeconds, maxSeconds], [Math.min(...runSeconds), Math.max(...runSeconds)]);
  assert.is(medianSeconds, runSeconds.toSorted((a, b) => a - b)[9]);
  assert.is(
    histogram.reduce((sum, bin) => sum + bin.runs, 0),
    20,
  );
  assert.ok(minSeconds > Number(named(first, "faults").faultlessSeconds));
  assert.is.not(named(other, "distribution").medianSeconds, medianSeconds);
  const { stdout } = await command([...small, "--jitter", "0.2", "--runs", "20", "--seed", "3"]);
  const bars = [...stdout.matchAll(/^ +([\d.]+) (us|ms) to +([\d.]+) (us|ms) {2}(#*) +(\d+)$/gm)];
  assert.is(bars.length, 12, stdout);
  assert.is(
    bars.reduce((sum, [, , , , , , count]) => sum + Number(count), 0),
    20,
  );
  for (const [bin, from, fromUnit, to, toUnit, bar, count] of bars) {
    assert.ok(Number(from) < Number(to) || fromUnit !== toUnit, bin);
    assert.is(bar === "", count === "0", bin);
  }
});

test("faults that cannot be are refused by name", async () => {
  const wrong: [string[], RegExp][] = [
    [["--slow", "8:2"], /got --slow 8:2, need devices from 0 to 7: there are 8/],
    [["--slow", "3"], /got --slow 3, need a device and a factor, such as 3:2\.5/],
    [["--slow", "3:0"], /got --slow 3:0: 0 is no number from 0\.001 to 1000000/],
    [["--slow", "3:x"], /got --slow 3:x: x is no number/],
    [["--slow", "1:2,1:3"], /got --slow 1:3, and device 1 before/],
    [["--degrade", "0-1"], /got --degrade 0-1, need two devices, a factor and a second, such as 0-8:4@0\.5/],
    [["--degrade", "2-2:4"], /got --degrade 2-2:4, need two different devices/],
    [["--degrade", "0-9:4"], /got --degrade 0-9:4, need devices from 0 to 7/],
    [["--degrade", "0-1:4@-1"], /got --degrade 0-1:4@-1: -1 is no number from 0/],
    [["--degrade", "0-1:4,1-0:5"], /got --degrade 1-0:5, and the same link from the same second before/],
    [["--jitter", "3"], /got --jitter 3: 3 is no number from 0 to 2/],
    [["--jitter", "0.1", "--runs", "0"], /got --runs 0, need a whole number/],
    [["--jitter", "0.1", "--runs", "200000"], /got --runs 200000, need at most 100000/],
    [["--jitter", "0.1", "--seed", "-1"], /got --seed -1, need a whole number from 0/],
    [["--runs", "5"], /got --runs 5 without --jitter/],
    [["--seed", "5"], /got --seed 5 without --jitter/],
  ];
  for (const [args, pattern] of wrong) await refuses([...small, ...args], pattern);
});

test.run();

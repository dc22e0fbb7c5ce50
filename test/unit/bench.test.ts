// The pure parts of the benchmarks: the command line, medians, ratios, results as markdown, what counts as right, the archive's files.

import { existsSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { wrongIn, wrongLoss } from "../../bench/check.ts";
import type { Row } from "../../bench/group.ts";
import { geometricMean, interleave, summary } from "../../bench/harness.ts";
import { scoredLinks } from "../../bench/links.ts";
import { filtered, parseGpuOptions, parseOptions, UsageError } from "../../bench/options.ts";
import { type Group, markdown, means, scored, slug, textLine } from "../../bench/report.ts";
import { flopsOf, inputsOf, recipe, type Task, tasksOf } from "../../bench/tasks.ts";
import { archiveFiles } from "../../scripts/bench-gpu.mjs";
import { parameterCount, parseModelConfig } from "../../src/index.ts";

const parse = (...words: string[]) => parseOptions(words, { cores: 3 });

test("without words every compared subject runs on both devices, in both places, with all threads and with one", () => {
  const options = parse();
  assert.equal(options.subjects, ["products", "attention", "norms", "step"]);
  assert.equal(options.others, []);
  assert.equal(options.devices, ["webgpu", "cpu"]);
  assert.equal(options.where, ["chromium", "node"]);
  assert.equal(options.threads, [3, 1]);
  assert.is(options.peers, true);
  assert.is(options.repeats, 9);
  assert.is(options.tune, true);
  assert.is(parse("--no-tune").tune, false);
  assert.is(parseGpuOptions(["--no-tune"]).tune, false);
});

test("words choose subjects; a benchmark of ours alone brings no compared one with it", () => {
  assert.equal(parse("step", "products").subjects, ["products", "step"]);
  assert.equal([parse("mesh").subjects, parse("mesh").others], [[], ["mesh"]]);
});

test("shapes and threads are lists", () => {
  const options = parse("products", "--shapes", "3x5x7,512x512x512", "--threads", "2,1", "--backend", "cpu", "--alone");
  assert.equal(options.shapes, [
    [3, 5, 7],
    [512, 512, 512],
  ]);
  assert.equal([options.threads, options.devices, options.peers], [[2, 1], ["cpu"], false]);
});

test("links: a message's time, its rate, and how near it comes to the rows beside it, whatever they count", () => {
  const rows = [
    { name: "bare", bytes: 2e6, count: 4, beside: [], medianMs: 8, fastestMs: 7, slowestMs: 20, rounds: 9 },
    { name: "ours", bytes: 2e6, count: 2, beside: ["bare"], medianMs: 5, fastestMs: 4, slowestMs: 6, rounds: 9 },
  ];
  const [bare, ours] = scoredLinks(rows);
  assert.equal([bare.messageUs, bare.gigabytesPerSecond, bare.ratios], [2000, 1, {}]);
  assert.equal([ours.messageUs, ours.gigabytesPerSecond, ours.ratios], [2500, 0.8, { bare: 0.8 }]);
  const [empty] = scoredLinks([{ ...rows[0], bytes: 0 }]);
  assert.is(empty.gigabytesPerSecond, undefined);
  assert.equal([parse("links").subjects, parse("links").others], [[], ["links"]]);
});

const refused = (words: string[], sentence: string) => {
  try {
    parse(...words);
  } catch (error) {
    assert.instance(error, UsageError);
    assert.ok((error as Error).message.includes(sentence), (error as Error).message);
    return;
  }
  assert.unreachable(`${words} was taken`);
};

test("what cannot be is refused with what to use instead", () => {
  refused(["stepp"], "no benchmark is called stepp; use products, attention, norms, step, mesh, encode, links");
  refused(["--repeats", "8"], "--repeats 8; use a whole number of at least 9");
  refused(["--repeats", "nine"], "--repeats nine");
  refused(["--shapes", "3x5"], "--shapes 3x5; use MxNxK");
  refused(["--shapes", "3x0x5"], "--shapes 3x0x5");
  refused(["--threads", "2,17"], "--threads 17");
  refused(["--backend", "gpu"], "--backend gpu; use one of auto, webgpu, cpu");
  refused(["--where", "firefox"], "--where firefox; use one of both, chromium, node");
  refused(["--fast"], "Unknown option '--fast'; npm run bench -- --help lists the options");
  assert.throws(() => parseGpuOptions(["--repeats", "1"]), /--repeats 1; use a whole number of at least 9/);
  assert.throws(() => parseGpuOptions(["--quickk"]), /--help lists the options/);
});

test("a filter keeps the tasks that have it in subject, shape or form, and no task is no run", () => {
  const tasks = tasksOf(["products", "norms"]);
  assert.ok(filtered(tasks, "TN").every((task) => task.subject === "products" && task.form === "TN"));
  assert.is(filtered(tasks, "norms 768").length, 1);
  assert.throws(() => filtered(tasks, "4096"), /no task has 4096/);
});

test("the summary is the median and both ends, whatever the order", () => {
  assert.equal(summary([5, 1, 9, 2, 4]), { medianMs: 4, fastestMs: 1, slowestMs: 9, rounds: 5 });
  assert.ok(Math.abs(geometricMean([2, 8]) - 4) < 1e-12);
});

test("contestants take turns, every other round backwards, as often as asked for or more", async () => {
  const order: number[] = [];
  const contestants = [0, 1].map((i) => ({
    run: async () => {
      order.push(i);
      return [];
    },
  }));
  const timings = await interleave(contestants, { repeats: 2 });
  assert.ok(timings.every(({ rounds }) => rounds >= 2));
  assert.equal(
    order,
    order.map((_, i) => [0, 1, 1, 0][i % 4]),
  );
});

const row = (engine: string, medianMs: number, rest: Partial<Row> = {}): Row => ({
  ...{ subject: "products", shape: "2x3x5", form: "NN", dtype: "f32", engine, version: "1.2", adapter: "a device" },
  ...{ flops: 2e6, bytes: 0, medianMs, fastestMs: medianMs / 2, slowestMs: 2 * medianMs, rounds: 9 },
  ...rest,
});
const group: Group = {
  title: "Somewhere, WebGPU",
  device: "webgpu",
  ceilings: { gflops: 4, gigabytes: 10 },
  troubles: ["tfjs is wrong"],
  rows: [
    row("shardgrad", 1),
    row("slow", 8),
    row("quick", 2),
    row("quick", 0.1, { dtype: "f16" }),
    row("shardgrad", 4, { form: "TN" }),
    row("quick", 2, { form: "TN" }),
    row("shardgrad", 1, { subject: "norms", shape: "2x3", form: "", flops: 0, bytes: 5e6 }),
  ],
};

test("our rows are measured by the fastest peer of the same task and dtype, and by the ceiling that binds them", () => {
  const [ours, slow] = group.rows.map((each) => scored(each, group));
  assert.equal([ours.bestPeer, ours.ratio, ours.gflops, ours.ofCeiling], ["quick", 2, 2, 0.5]);
  assert.equal([slow.bestPeer, slow.ratio], [undefined, undefined]);
  const norm = scored(group.rows[6], group);
  assert.equal([norm.gigabytes, norm.gflops, norm.ofCeiling, norm.ratio], [5, undefined, 0.5, undefined]);
  assert.equal(means(group), [{ subject: "products", ratio: 1, fastestRatio: 1, tasks: 2 }]);
  assert.ok(textLine(ours).endsWith("2.00 GFLOP/s    50%  2.00 x quick"), textLine(ours));
});

test("markdown has date, machine, commit, versions, ceilings, a line a row, the mean and what went wrong", () => {
  const heading = {
    subject: "products",
    date: "2026-11-21",
    machine: "2 cores",
    commit: "abc",
    load: 0.25,
    repeats: 9,
  };
  const text = markdown(heading, [group]);
  for (const part of [
    "# products on 2 cores",
    "2026-11-21, commit abc, load average 0.3 when it began",
    "## Somewhere, WebGPU",
    "a device. shardgrad 1.2, slow 1.2, quick 1.2.",
    "Ceilings of this run: 4.00 GFLOP/s",
    "| 2x3x5 NN | f32 | shardgrad | 1.00 (0.50 to 2.00) | 2.00 GFLOP/s | 50% | 2.00 x quick |",
    "products: 1.00 times as fast as the best peer (geometric mean of 2; 1.00 by the fastest rounds)",
    "- tfjs is wrong",
  ])
    assert.ok(text.includes(part), `${part} is missing in\n${text}`);
  assert.not.ok(text.includes("2x3 "), "another subject's row is in the file");
  assert.is(slug("2 cores of Some(R) CPU @ 2.50GHz"), "2-cores-of-some-cpu-2-50ghz");
});

/** A task's exact result, rounded to f32. */
function exact({ m, n, k, form }: Extract<Task, { subject: "products" }>): Float32Array {
  const { a, b } = inputsOf({ subject: "products", m, n, k, form });
  return Float32Array.from({ length: m * n }, (_, index) => {
    const [row, col] = [Math.floor(index / n), index % n];
    let sum = 0;
    for (let q = 0; q < k; q++)
      sum += a[form === "TN" ? q * m + row : row * k + q] * b[form === "NT" ? col * k + q : q * n + col];
    return sum;
  });
}

for (const form of ["NN", "NT", "TN"] as const)
  test(`${form}: a right product passes, one with an element off or of another form does not`, () => {
    const task = { subject: "products", m: 11, n: 13, k: 7, form } as const;
    const result = exact(task);
    assert.is(wrongIn(task, result), undefined);
    const off = result.slice();
    off[40] *= 1 + 1e-4;
    assert.ok(wrongIn(task, off)?.includes("at 40"));
    assert.ok(wrongIn({ ...task, form: form === "NN" ? "NT" : "NN" }, result));
    assert.ok(wrongIn(task, result.subarray(1))?.includes("142 elements"));
  });

test("losses have to be ours at every step", () => {
  assert.is(wrongLoss([4.2, 3.9], [4.2001, 3.9]), undefined);
  assert.is(wrongLoss([4.2, 3.8], [4.2, 3.9]), "has loss 3.8 at step 2, not 3.9 within 0.0001");
});

test("the step's work is 6 N + 12 layers context width a token", () => {
  const { batch, context, layers, heads, width, vocabulary } = recipe;
  const config = parseModelConfig({
    ...{ model_type: "gpt2", vocab_size: vocabulary, n_positions: context, n_embd: width, n_layer: layers },
    ...{ n_head: heads, bias: false },
  });
  const perToken = 6 * parameterCount(config) + 12 * layers * context * width;
  assert.is(flopsOf({ subject: "step" }), batch * context * perToken);
});

test("the archive has Node, Dawn, the benchmark and its start, and every file it copies exists", () => {
  const places = archiveFiles.map(({ to }) => to);
  for (const needed of ["node", "run.sh", "gpu.mjs", "about.json", "torch_rows.py", "LICENSE"])
    assert.ok(places.includes(needed), `${needed} is missing`);
  for (const file of ["package.json", "index.js", "dist/linux-x64/dawn.node"])
    assert.ok(places.includes(`node_modules/webgpu/${file}`), `${file} of webgpu is missing`);
  for (const { from } of archiveFiles) if (from) assert.ok(existsSync(from), `${from} does not exist`);
});

test.run();

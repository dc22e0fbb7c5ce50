// Traces by the command line: the file is one that viewers open, its steps are those asked for, what cannot be is refused.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import { equal, is, match, ok } from "uvu/assert";
import { command, events, folder, refuses } from "./command.ts";
import { checkTrace } from "./trace-format.ts";

const text = "text.txt";
writeFileSync(join(folder, text), "The quick brown fox jumps over the lazy dog. ".repeat(40));
const tiny = [
  ...["train", "--data", text, "--backend", "cpu", "--layers", "1", "--heads", "4", "--width", "16"],
  ...["--context", "12", "--batch", "4", "--steps", "7", "--eval-every", "0", "--sample", "0"],
];

const read = (file: string) => checkTrace(readFileSync(join(folder, file), "utf8"));
const stepsOf = (file: string) => [
  ...new Set(read(file).events.flatMap(({ cat, name }) => (cat === "steps" ? [name] : []))),
];

test("train --trace on ranks in workers: their file, and how much of messages' time they computed", async () => {
  const { code, stdout, stderr } = await command([...tiny, "--mesh", "2x2", "--link", "worker", "--trace", "run.json"]);
  is(code, 0, stderr);
  match(stdout, /\ntrace: run\.json, [\d,]+ events of steps 3 to 5; open it at ui\.perfetto\.dev\n/);
  match(stdout, /\ntrace: \d+% of the time in which messages were under way, their rank computed\n/);
  const { events: all, threads } = read("run.json");
  equal(stepsOf("run.json"), ["step 3", "step 4", "step 5"]);
  equal(new Set(all.map(({ pid }) => pid)).size, 4);
  const lanes = new Set([...threads.values()].map((name) => name.replace(/ \d+$/, "")));
  equal([...lanes].sort(), ["computing", "receiving", "sending", "steps"]);
  ok(all.some(({ name }) => /^matmul \d+x\d+x\d+$/.test(name)));
  const message = all.find(({ ph, cat, name }) => ph === "X" && cat === "receiving" && name.startsWith("broadcast"));
  match(String(message?.name), /^broadcast \[\d+,\d+\] for .*, (row|column)\(/);
  ok(Number(message?.args?.bytes) > 0);
});

test("train --trace-steps on one rank, and what --json says of it", async () => {
  const { code, stdout, stderr } = await command([...tiny, "--trace", "one.json", "--trace-steps", "1-2", "--json"]);
  is(code, 0, stderr);
  equal(stepsOf("one.json"), ["step 1", "step 2"]);
  const { file, slices, dropped, hidden } = events(stdout).find(({ event }) => event === "trace") ?? {};
  equal([file, dropped, hidden], ["one.json", 0, undefined]);
  is(slices, read("one.json").events.filter(({ ph }) => ph === "X").length);
});

test("matmul --trace: the timed products of every rank", async () => {
  const { code, stdout, stderr } = await command([
    ...["matmul", "--m", "64", "--n", "64", "--k", "64", "--repeats", "3", "--mesh", "2x2", "--link", "worker"],
    ...["--backend", "cpu", "--trace", "product.json"],
  ]);
  is(code, 0, stderr);
  match(stdout, /\ntrace: product\.json, [\d,]+ events of 3 products; open it/);
  const products = read("product.json").events.filter(({ name }) => name === "matmul 32x32x32");
  // 3 repetitions of 2 steps on 4 ranks.
  is(products.length, 24);
});

test("traces that cannot be are refused before anything runs", async () => {
  const trace = [...tiny, "--trace", "bad.json"];
  await refuses(
    [...trace, "--trace-steps", "5-9"],
    /got --trace-steps 5-9, need a step or a range such as 3-5 in this run's 1-7/,
  );
  for (const steps of ["0-2", "4-3", "x", "", "3-", "-3"])
    await refuses([...trace, `--trace-steps=${steps}`], /got --trace-steps .*, need a step or a range/);
  await refuses([...tiny, "--trace-steps", "3"], /got --trace-steps 3 without --trace; need --trace FILE with it/);
  await refuses([...tiny, "--trace", text], /got --trace text\.txt, which is another file of this run/);
  await refuses([...tiny, "--trace", `${text}/run.json`], /text\.txt\/run\.json: .*; need a file that can be/);
});

test.run();

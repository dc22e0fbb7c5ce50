// The tables of plan and scale: as wide as a terminal, and what they say is what JSON says.

import { test } from "uvu";
import { equal, is, match, ok } from "uvu/assert";
import { command, events, refuses } from "./command.ts";

const model = ["--layers", "1", "--heads", "16", "--width", "64", "--context", "16", "--vocab", "100"];

/** The lines of a table, its head first, without progress. */
const tableOf = (text: string, head: RegExp): string[] => {
  const lines = text.split("\n");
  const from = lines.findIndex((line) => head.test(line));
  ok(from >= 0, text);
  return [
    lines[from],
    ...lines.slice(from + 1).filter((line) => /^( +[\d,]+ )?(1d|1d-sp|2d|2.5d|serial) +[\dx]+ /.test(line)),
  ];
};

test("plan's table has at most 100 columns; a line for every other choice says what it loses, as JSON does", async () => {
  const args = ["plan", ...model, "--devices", "16", "--batch", "64", "--memory", "0.0009", "--json"];
  const { code, stdout, stderr } = await command(args);
  is(code, 0, stderr);
  const choices = events(stdout).filter(({ event }) => event === "choice") as Record<string, number>[];
  const [head, ...rows] = tableOf(stderr, /^layout +mesh/);
  is(rows.length, choices.length);
  ok(choices.length > 2 && choices.some(({ accumulate }) => accumulate > 1), stdout);
  for (const line of [head, ...rows]) ok(line.length <= 100, `${line.length} columns: ${line}`);
  for (const [i, choice] of choices.entries()) {
    const { layout, dims, accumulate, microBatch, recompute, seconds, computingSeconds, exposedSeconds, idleSeconds } =
      choice;
    ok(Math.abs(computingSeconds + exposedSeconds + idleSeconds - seconds) <= 1e-9 * seconds);
    const mesh = (dims as unknown as number[]).join("x");
    const shares = [computingSeconds, exposedSeconds, idleSeconds].map((part) => ((100 * part) / seconds).toFixed(1));
    const cells = [layout, mesh, `${accumulate} x ${microBatch}`, recompute ? "yes" : "no"];
    ok(rows[i].replace(/ +/g, " ").startsWith(`${cells.join(" ")} `), rows[i]);
    ok(rows[i].replace(/ +/g, " ").includes(` ${shares.join(" ")} `), rows[i]);
    if (i === 0) equal([choice.why, choice.loss], [undefined, undefined]);
    else {
      const way = `${layout} ${mesh}, ${accumulate} x ${microBatch}${recompute ? ", recomputed" : ""}`;
      ok(stderr.includes(`\n${way}: ${choice.why}\n`), `${way}: ${choice.why}`);
      is(Object.keys(choice.loss).length, 7);
    }
  }
});

test("plan tells programs what was refused where nothing is legal", async () => {
  const { code, stdout, stderr } = await command(["plan", ...model, "--devices", "5", "--json"]);
  is(code, 2);
  const refused = events(stdout);
  equal(
    refused.map(({ event, layout }) => [event, layout]),
    [
      ["refused", "1d"],
      ["refused", "1d-sp"],
    ],
  );
  for (const { why } of refused) match(String(why), /16 heads do not divide over 5 ranks/);
  match(stderr, /error: no layout of 5 ranks is legal/);
});

test("models beyond whole numbers, and of more blocks than can be simulated, are refused in a sentence", async () => {
  const wide = ["--heads", "64", "--width", "64000000", "--vocab", "2000000000", "--layers", "1", "--batch", "64"];
  const cases: [string[], RegExp][] = [
    [["simulate", ...wide], /a rank would hold or receive 2\.8e\+18 bytes, more than 2\^53 can be counted exactly/],
    [["plan", ...wide, "--devices", "64"], /nothing fits \S+ GiB a device; the least that would is \d+ GiB, with/],
    [["simulate", "--layers", "2147483647"], /got 2147483647 blocks, .* at most 67108864 can be simulated/],
    [["plan", "--layers", "2147483647", "--devices", "4"], /got 8589934588 blocks, .* use fewer layers/],
  ];
  for (const [args, said] of cases) await refuses(args, said);
});

test("scale's table has at most 100 columns, whatever grows", async () => {
  for (const mode of [[], ["--mode", "weak", "--grow", "both"]]) {
    const args = ["scale", ...model, "--devices", "1,16", "--batch", "64", "--layouts", "1d,1d-sp,2d,2.5d", ...mode];
    const { code, stdout, stderr } = await command(args);
    is(code, 0, stderr);
    const [head, ...rows] = tableOf(stdout, /^devices layout mesh/);
    is(rows.length, 5);
    for (const line of [head, ...rows]) ok(line.length <= 100, `${line.length} columns: ${line}`);
    match(rows[0], / 100\.0 /);
  }
});

test.run();

// simulate and plan on the command line: what they tell, and what they refuse.

import { test } from "uvu";
import { equal, is, match, ok } from "uvu/assert";
import { command, events, refuses } from "./command.ts";

const tiny = ["--layers", "2", "--heads", "8", "--width", "64", "--context", "32", "--vocab", "96"];

test("simulate tells a step's parts, which add up, its traffic and memory", async () => {
  const { code, stdout, stderr } = await command(["simulate", ...tiny, "--mesh", "2x2x2", "--json"]);
  is(code, 0, stderr);
  const [told] = events(stdout) as unknown as Record<string, number>[];
  const { seconds, computingSeconds, hiddenSeconds, exposedSeconds, idleSeconds } = told;
  ok(Math.abs(computingSeconds + exposedSeconds + idleSeconds - seconds) < 1e-9 * seconds);
  ok(0 < hiddenSeconds && hiddenSeconds < computingSeconds);
  const [, share] = stderr.match(/a device: computing [^(]*\(([\d.]+)%\)/) ?? [];
  is(share, ((100 * computingSeconds) / seconds).toFixed(1), "the text says what JSON says");
  equal([told.ranks, told.devices, told.tokens], [8, 8, 8 * 32]);
  ok(told.bytesReceived === 4 * told.wordsReceived && told.messagesReceived > 0 && told.mfu > 0);
  match(stderr, /a device: computing .* hidden under it .* exposed .* idle/);
});

test("all ranks on one device send nothing to each other that takes time", async () => {
  const args = ["simulate", ...tiny, "--mesh", "2x2x2", "--devices", "1", "--json"];
  const [told] = events((await command(args)).stdout) as unknown as Record<string, number>[];
  equal([told.hiddenSeconds, told.exposedSeconds], [0, 0]);
});

test("plan ranks what fits, says why the others do not, and ends with flags that simulate takes", async () => {
  const args = ["plan", ...tiny, "--devices", "4", "--batch", "4,8"];
  const { code, stdout, stderr } = await command(args);
  is(code, 0, stderr);
  const best = stdout.trimEnd().split("\n").at(-1) ?? "";
  match(best, /^best: npx shardgrad simulate .*--layout \S+ --mesh \S+ --batch \d+/);
  const choices = events((await command([...args, "--json"])).stdout) as unknown as Record<string, number>[];
  const rates = choices.filter(({ tokensPerSecond }) => tokensPerSecond > 0).map((each) => each.tokensPerSecond);
  equal(
    rates,
    rates.toSorted((a, b) => b - a),
  );
});

test("plan's last line is a command that simulates the first choice, all its flags included", async () => {
  const flags = ["--arch", "llama", "--kv-heads", "4", "--ffn", "192", "--dtype", "f16", "--wire", "f16"];
  const args = ["plan", ...tiny, ...flags, "--profile", "m1", "--network", "wifi", "--devices", "4", "--batch", "16"];
  // Too little for all sequences at once.
  const { code, stdout, stderr } = await command([...args, "--memory", "0.0008", "--json"]);
  is(code, 0, stderr);
  const [choice] = events(stdout);
  const { accumulate, batch, microBatch } = choice as Record<string, number>;
  ok(accumulate > 1 && batch === 16 && microBatch === 16 / accumulate, stdout);
  const [, best] = stderr.match(/^best: npx shardgrad (simulate .*)$/m) ?? [];
  const [simulated] = events((await command([...best.split(" "), "--json"])).stdout);
  for (const name of ["arch", "layers", "width", "heads", "kvHeads", "ffn", "vocab", "context", "accumulate"])
    is(simulated[name], choice[name], name);
  for (const name of ["recompute", "dtype", "wire", "profile", "layout", "devices"])
    is(simulated[name], choice[name], name);
  equal([simulated.dims, simulated.batch], [choice.dims, microBatch]);
});

test("plan is content with the memory that it says is the least, and tells programs why nothing fits", async () => {
  const args = ["plan", ...tiny, "--devices", "4"];
  const none = await command([...args, "--memory", "0.0001", "--json"]);
  is(none.code, 2);
  match(none.stderr, /^error: nothing fits 0\.0001 GiB a device/m);
  const refused = events(none.stdout);
  ok(refused.length > 1 && refused.every(({ event, layers, why }) => event === "refused" && layers === 2 && why));
  const [, least] = none.stderr.match(/the least that would is (\S+) GiB/) ?? [];
  is((await command([...args, "--memory", least])).code, 0);
  const leastBytes = Math.min(...refused.map(({ leastBytes }) => Number(leastBytes ?? Number.POSITIVE_INFINITY)));
  ok(Number(least) * 2 ** 30 < 1.01 * leastBytes, "no more than three digits need");
});

test("what cannot be simulated or planned is refused in a sentence", async () => {
  const cases: [string[], RegExp][] = [
    [["simulate", ...tiny, "--mesh", "2x2x2", "--devices", "3"], /8 ranks do not spread evenly over 3 devices/],
    [["simulate", ...tiny, "--mesh", "2x2", "--batch", "3"], /3 samples of a batch do not divide/],
    [["simulate", "--batch", "1000000", "--context", "1000000"], /1000000 x 1000000 tokens in a micro-batch, at most/],
    [["simulate", "--vocab", "2000000000", "--width", "2000000", "--heads", "2"], /more than 2\^53 can be counted/],
    [["plan", ...tiny, "--devices", "5"], /no layout of 5 ranks is legal .* use 5 or 10 heads/],
    [
      ["plan", ...tiny, "--devices", "4", "--memory", "0.0001"],
      /nothing fits .* the least that would is \S+ GiB, with/,
    ],
    [["plan", ...tiny, "--memory", "-3"], /got --memory -3, need GiB above 0/],
    [["plan", ...tiny, "--batch", "8,8"], /got --batch 8,8, need each number once/],
    [["plan", ...tiny, "--recompute"], /unknown option '--recompute'/],
    [["plan", ...tiny, "--batch", "8,x"], /got --batch x, need a whole number/],
    [["plan", ...tiny, "--devices", "5000"], /5000 ranks, need at most 4096/],
    [["calibrate", "--out", "/"], /\/: it is a folder/],
  ];
  for (const [args, said] of cases) await refuses(args, said);
});

test.run();

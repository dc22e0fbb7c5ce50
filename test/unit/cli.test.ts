import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import { equal, is, match, not, ok } from "uvu/assert";
import { command, events, fixture, folder, refuses } from "./command.ts";

const file = (name: string, content: string | Uint8Array) => {
  writeFileSync(join(folder, name), content);
  return name;
};
const text = file("text.txt", "The quick brown fox jumps over the lazy dog. ".repeat(40));
const tiny = ["train", "--data", text, "--backend", "cpu", "--layers", "1", "--heads", "2", "--width", "8"];
const short = [...tiny, "--context", "12", "--batch", "3", "--steps", "4", "--eval-every", "2", "--sample", "9"];

test("help and version are no failures", async () => {
  for (const args of [["--help"], ["train", "--help"], ["--version"]]) {
    const { code, stdout, stderr } = await command(args);
    equal({ code, stderr }, { code: 0, stderr: "" });
    match(stdout, args[0] === "--version" ? /^\d+\.\d+\.\d+\n$/ : /^Usage: shardgrad/);
  }
  is((await command([])).code, 2);
});

test("unknown commands, flags and choices are refused with the nearest known one", async () => {
  await refuses(["trian"], /unknown command 'trian' \(Did you mean train\?\)/);
  await refuses(["train", "--layer", "2"], /unknown option '--layer' \(Did you mean --layers\?\)/);
  await refuses(["train", "--backend", "gpu"], /'gpu' is invalid.*auto, webgpu, cpu/);
  await refuses(["verify"], /missing required argument 'dir'/);
  await refuses(["train", "text.txt"], /too many arguments/);
});

test("f16 on a device without it: a run in f32 with a sentence that says why, in JSON too", async () => {
  const human = await command([...short, "--dtype", "f16"]);
  is(human.code, 0, human.stderr);
  const sentence = "f32 in place of f16: f16 needs webgpu, this is the cpu backend";
  ok(`${human.stdout}${human.stderr}`.includes(`${sentence}\n`));
  const asked = await command([...short, "--dtype", "f16", "--json"]);
  const [start] = events(asked.stdout);
  is(start.dtype, "f32");
  is(start.dtypeNote, sentence);
  equal(
    events(asked.stdout)
      .filter(({ event }) => event === "step")
      .map(({ loss }) => loss),
    events((await command([...short, "--json"])).stdout)
      .filter(({ event }) => event === "step")
      .map(({ loss }) => loss),
  );
  await refuses([...short, "--dtype", "bf16"], /'bf16' is invalid.*f32, f16/);
});

test("texts that cannot train are refused", async () => {
  await refuses(["train", "--data", "missing.txt"], /missing\.txt: there is no such file; need a text file/);
  await refuses(["train", "--data", "."], /it is a folder/);
  await refuses(["train", "--data", file("empty.txt", "")], /empty\.txt: got an empty file/);
  await refuses(["train", "--data", file("zero.bin", Uint8Array.of(65, 0, 66))], /zero byte at 1.*binary/);
  await refuses(["train", "--data", file("latin1.txt", Uint8Array.of(65, 0xe9, 66))], /not UTF-8/);
  await refuses(["train", "--data", file("one.txt", "z".repeat(5000))], /only the character "z"/);
  await refuses(
    ["train", "--data", file("short.txt", "abc".repeat(50))],
    /150 tokens: got 15 .* need 65 .* at most 14/,
  );
});

test("numbers out of range are refused with what is needed", async () => {
  await refuses([...tiny, "--lr", "nan"], /got --lr nan, need a number above 0; the default is/);
  await refuses([...tiny, "--lr", "-1"], /got --lr -1, need a number above 0/);
  await refuses([...tiny, "--lr", "1e-3x"], /got --lr 1e-3x/);
  await refuses([...tiny, "--lr", ""], /got --lr "", need/);
  await refuses([...tiny, "--lr", "1e999"], /got --lr 1e999, need a number above 0/);
  await refuses([...tiny, "--steps", "2.5"], /got --steps 2\.5, need a whole number from 1/);
  await refuses([...tiny, "--steps", "0x10"], /got --steps 0x10/);
  await refuses([...tiny, "--batch", "0"], /got --batch 0, need a whole number from 1/);
  await refuses([...tiny, "--dropout", "1"], /got --dropout 1, need a number from 0 to below 1/);
  await refuses([...tiny, "--seed", "-1"], /got --seed -1, need a whole number from 0/);
  await refuses([...tiny, "--min-lr", "1"], /got --min-lr 1 with --lr/);
  await refuses([...tiny, "--warmup", "9", "--steps", "8"], /got --warmup 9 with --steps 8/);
});

test("models that do not fit are refused before anything is allocated", async () => {
  await refuses(
    [...tiny, "--heads", "3"],
    /got n_head 3 with n_embd 8, need a divisor of 8; use n_head 2 or 4, or n_embd 6 or 9/,
  );
  await refuses(
    [...tiny, "--layers", "2000000000", "--width", "64"],
    /got a model of .* parameters, need at most 2e\+10/,
  );
  await refuses(
    [...tiny, "--batch", "99999999"],
    /one activation of .* GiB, need at most 16\.0 GiB; use a smaller --batch/,
  );
  await refuses([...tiny, "--loss-blocks", "7"], /got --loss-blocks 7 .* need a divisor of their product, /);
  await refuses([...tiny, "--accumulate", "2000000000"], /tokens a step, need at most 268435456; use a smaller --acc/);
  await refuses([...tiny, "--kv-heads", "1"], /--kv-heads 1 with gpt2, need --arch llama/);
  const llama = [...tiny, "--arch", "llama"];
  await refuses(
    [...llama, "--heads", "4", "--kv-heads", "3"],
    /got num_key_value_heads 3 .*; use num_key_value_heads 2 or 4/,
  );
  await refuses([...llama, "--heads", "8"], /head width of 1, need an even one/);
  await refuses([...llama, "--bias"], /got --bias with llama/);
  await refuses([...llama, "--activation", "gelu"], /got --activation gelu with llama/);
});

test("config files are refused by field, and by the flags they contradict", async () => {
  const config = { model_type: "gpt2", n_positions: 16, n_embd: 8, n_layer: 1, n_head: 2 };
  const run = (json: unknown, ...flags: string[]) => [
    ...["train", "--data", text, "--backend", "cpu", "--config", file("config.json", JSON.stringify(json)), ...flags],
  ];
  await refuses(
    run({ ...config, n_layers: 1 }),
    /error: config\.json: model config: .*unknown field "n_layers"; did you mean "n_layer"\?/,
  );
  await refuses(run({ ...config, n_embd: -8 }), /error: config\.json: .*got n_embd -8, need a whole number/);
  await refuses(
    run(config, "--heads", "3"),
    /error: config\.json, with the flags over it: .*got n_head 3 with n_embd 8/,
  );
  await refuses(run([config]), /error: config\.json: .*need a JSON object/);
  await refuses(
    run({ ...config, vocab_size: 50257 }),
    /config\.json: got vocab_size 50257 with a tokenizer of \d+ tokens/,
  );
  await refuses(run(config, "--context", "17"), /got --context 17, need at most the 16 positions of config\.json;/);
  await refuses(
    run(config, "--arch", "llama"),
    /got --arch llama with a --config of model_type "gpt2" \(config\.json\), need/,
  );
  await refuses(
    ["train", "--data", text, "--config", file("bad.json", "{")],
    /bad\.json: got something that is not JSON/,
  );
  await refuses(["train", "--data", text, "--config", "none.json"], /none\.json: there is no such file/);
  const { code, stdout } = await command(run(config, "--steps", "1", "--layers", "2", "--json"));
  is(code, 0);
  const [start] = events(stdout);
  is((start.parameters as { context: number }).context, 16);
  // 2 layers, as the flag says, of width 8 over 29 characters and 16 positions
  is(start.parameterCount, (29 + 16) * 8 + 2 * (12 * 8 * 8 + 13 * 8) + 16);
});

test("--json: stdout is events and nothing else, the same twice but for the clock", async () => {
  const runs = [];
  for (const arch of ["gpt2", "gpt2", "llama"]) {
    const { code, stdout, stderr } = await command([...short, "--arch", arch, "--json"]);
    is(code, 0, stderr);
    match(stderr, /validation loss/);
    runs.push(events(stdout));
  }
  for (const run of runs) {
    equal(
      run.map(({ event }) => event),
      ["start", "step", "step", "eval", "step", "step", "eval", "sample", "done"],
    );
    equal(
      run.filter(({ event }) => event === "step").map(({ step }) => step),
      [1, 2, 3, 4],
    );
  }
  const losses = runs.map((run) => run.filter(({ event }) => event === "step").map(({ loss }) => loss as number));
  equal(losses[0], losses[1]);
  not.equal(losses[0], losses[2]);
  // ln 29 = 3.37 for 29 characters before anything is learnt.
  for (const run of losses) ok(Math.abs(run[0] - Math.log(29)) < 0.2, `${run[0]}`);
  const sample = runs[0].find(({ event }) => event === "sample") as { text: string };
  is(sample.text.length, 10);
});

test("people get lines, a sample and at last the report's path", async () => {
  const { code, stdout, stderr } = await command([...short, "--report", "deep/er/run.html"]);
  equal({ code, stderr }, { code: 0, stderr: "" });
  const lines = stdout.trimEnd().split("\n");
  is(lines.at(-1), "report: deep/er/run.html");
  match(stdout, /step 1\/4 {2}loss \d/);
  match(stdout, /step 2\/4 {2}train loss \d.* validation loss \d/);
  is(stdout.includes("\u001b"), false, "no escape codes where there is no terminal");
  const html = readFileSync(join(folder, "deep/er/run.html"), "utf8");
  match(html, /^<!doctype html>/);
  match(html, /<\/html>\n$/);
  equal(readdirSync(join(folder, "deep/er")), ["run.html"], "no temporary file is left");
});

test("a report that cannot be written is refused before the run", async () => {
  await refuses([...short, "--report", ""], /got "" as a file's name, need a file that can be written/);
  await refuses([...short, "--report", "."], /^error: \.: it is a folder; need a file that can be written/);
  await refuses(
    [...short, "--report", `${text}/report.html`],
    /a part of its path is no folder|there is no such file|EEXIST|ENOTDIR/,
  );
});

test("a diverged run is one sentence, exit code 1, and its report says so", async () => {
  const wild = [...short, "--lr", "1e38", "--min-lr", "1e38", "--warmup", "0", "--clip", "0", "--steps", "50"];
  const { code, stdout, stderr } = await command([...wild, "--json", "--report", "wild.html"]);
  is(code, 1);
  const sentence = stderr.split("\n").find((line) => line.startsWith("error: ")) ?? "";
  match(sentence, /^error: the run diverged at step \d+: .* learning rate 1e\+38; use a smaller --lr/);
  is(/ {4}at /.test(stderr), false, "no stack trace");
  is(
    events(stdout).some(({ event }) => event === "done"),
    false,
  );
  match(readFileSync(join(folder, "wild.html"), "utf8"), /The run failed: the run diverged/);
});

test("Ctrl-C ends a run with what it has: sample, done and report still come", async () => {
  const long = [...tiny, "--context", "12", "--steps", "1000000", "--eval-every", "0", "--sample", "5", "--json"];
  let interrupted = false;
  const { code, stdout, stderr } = await command([...long, "--report", "early.html"], (stdout, child) => {
    if (interrupted || !stdout.includes('"step":3,')) return;
    interrupted = true;
    child.kill("SIGINT");
  });
  is(code, 0, stderr);
  match(stderr, /press Ctrl-C again/);
  const last = events(stdout).slice(-3);
  equal(
    last.map(({ event }) => event),
    ["eval", "sample", "done"],
  );
  const { steps } = last[2] as { steps: number };
  ok(steps >= 3 && steps < 1000000);
  ok(existsSync(join(folder, "early.html")));
});

test("words nobody reads are no failure: events go on when stderr is closed", async () => {
  let closed = false;
  const { code, stdout } = await command([...tiny, "--context", "12", "--steps", "20", "--json"], (_, child) => {
    if (!closed) child.stderr?.destroy();
    closed = true;
  });
  is(code, 0);
  is(events(stdout).at(-1)?.event, "done");
});

test("verify passes a reference run and fails a falsified one", async () => {
  const good = await command(["verify", fixture("gpt2"), "--backend", "cpu", "--json"]);
  is(good.code, 0, good.stderr);
  const [result, ...rest] = events(good.stdout);
  equal([result.event, result.pass, rest.length], ["verify", true, 0]);

  cpSync(fixture("gpt2"), join(folder, "false"), { recursive: true });
  const losses = JSON.parse(readFileSync(join(folder, "false/losses.json"), "utf8"));
  losses.loss[2] *= 1.00001;
  file("false/losses.json", JSON.stringify(losses));
  const bad = await command(["verify", "false", "--backend", "cpu"]);
  is(bad.code, 1);
  match(bad.stdout, /losses +(?:9\.\d\de-6|1\.0\de-5) +5e-6 +FAIL/);
  match(bad.stdout, /FAIL\n$/);
});

test("verify refuses folders that are not reference runs", async () => {
  await refuses(
    ["verify", "nowhere", "--backend", "cpu"],
    /nowhere.config\.json: there is no such file; need a reference run's config\.json/,
  );
  cpSync(fixture("gpt2"), join(folder, "broken"), { recursive: true });
  const weights = readFileSync(join(folder, "broken/weights.safetensors"));
  file("broken/weights.safetensors", weights.subarray(0, 5000));
  const { code, stdout, stderr } = await command(["verify", "broken", "--backend", "cpu", "--json"]);
  equal({ code, stdout }, { code: 2, stdout: "" });
  match(stderr, /\nerror: broken: weights\.safetensors: .*truncated.*; use an intact file\n$/);
  cpSync(fixture("gpt2/weights.safetensors"), join(folder, "broken/weights.safetensors"));
  for (const name of ["batch", "expected"]) {
    const whole = readFileSync(join(folder, `broken/${name}.safetensors`));
    file(`broken/${name}.safetensors`, whole.subarray(0, whole.length - 1));
    const truncated = await command(["verify", "broken", "--backend", "cpu", "--mesh", "2", "--json"]);
    is(truncated.code, 2);
    match(truncated.stderr, new RegExp(`\nerror: broken: ${name}\\.safetensors: .*truncated; use an intact file\n$`));
    file(`broken/${name}.safetensors`, whole);
  }
  file("broken/losses.json", "x\n");
  const losses = await command(["verify", "broken", "--backend", "cpu", "--json"]);
  match(
    losses.stderr,
    /\nerror: broken: losses\.json is not JSON: [^\n]*; write it again with the reference generator\n$/,
  );
});

test("info --json is one event with what was found", async () => {
  const { code, stdout } = await command(["info", "--json"]);
  is(code, 0);
  const [info, ...rest] = events(stdout);
  equal([info.event, Array.isArray(info.adapters), rest.length], ["info", true, 0]);
  match(String(info.auto), /^(webgpu|cpu)/);
});

test.run();

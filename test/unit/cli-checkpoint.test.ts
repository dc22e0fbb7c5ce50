// Runs that end in a file, and go on from it: by Ctrl-C and by steps, on other meshes, and what is refused.

import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import { equal, is, match, ok } from "uvu/assert";
import { readCheckpoint } from "../../src/train/checkpoint.ts";
import { readSafetensors } from "../../src/train/safetensors.ts";
import { command, events, folder, refuses } from "./command.ts";

const text = "text.txt";
writeFileSync(join(folder, text), "The quick brown fox jumps over the lazy dog. ".repeat(40));
const data = ["train", "--data", text, "--backend", "cpu", "--threads", "1"];
const model = ["--layers", "1", "--heads", "4", "--width", "16", "--context", "12", "--batch", "4"];
const tiny = [...data, ...model, "--dropout", "0.1", "--eval-every", "0", "--eval-batches", "1", "--sample", "0"];

const stepsOf = (stdout: string) => events(stdout).filter(({ event }) => event === "step");
const lossesOf = (stdout: string) =>
  stepsOf(stdout).map(({ step, loss, learningRate }) => ({ step, loss, learningRate }));
const headOf = (file: string) => readCheckpoint(readFileSync(join(folder, file)));

test("train --save and Ctrl-C, then --resume: the run that was not interrupted, bit for bit", async () => {
  const long = [...tiny, "--steps", "150"];
  const whole = await command([...long, "--json"]);
  is(whole.code, 0, whole.stderr);
  let pressed = false;
  const first = await command([...long, "--save", "run.safetensors", "--json"], (stdout, child) => {
    if (pressed || !/"step":5,/.test(stdout)) return;
    pressed = true;
    child.kill("SIGINT");
  });
  is(first.code, 0, first.stderr);
  const { step } = headOf("run.safetensors");
  ok(step >= 5 && step < 150, `ended at ${step}`);
  is(stepsOf(first.stdout).length, step);
  match(first.stderr, /\ncheckpoint: run\.safetensors; --resume run\.safetensors goes on from it\n/);
  const second = await command([...data, "--resume", "run.safetensors", "--json"]);
  is(second.code, 0, second.stderr);
  match(second.stderr, new RegExp(`\ngoing on from step ${step} of 150\n`));
  match(second.stderr, new RegExp(`\n150 steps, ${step} of them before, in `));
  equal([...lossesOf(first.stdout), ...lossesOf(second.stdout)], lossesOf(whole.stdout));
  const done = ({ stdout }: { stdout: string }) => events(stdout).find(({ event }) => event === "done");
  is(done(second)?.validationLoss, done(whole)?.validationLoss);
});

test("train --save-every: a whole file at each, on another mesh and from a file of its own name", async () => {
  const short = [...tiny, "--steps", "5", "--mesh", "2x2", "--save", "mesh.safetensors", "--save-every", "2", "--json"];
  const { code, stdout, stderr } = await command(short);
  is(code, 0, stderr);
  const saves = events(stdout).filter(({ event }) => event === "checkpoint");
  equal(
    saves.map(({ step, file }) => [step, file]),
    [2, 4, 5].map((step) => [step, "mesh.safetensors"]),
  );
  is(saves[2].bytes, statSync(join(folder, "mesh.safetensors")).size);
  equal(
    readdirSync(folder).filter((name) => name.endsWith(".tmp")),
    [],
  );
  ok(readSafetensors(readFileSync(join(folder, "mesh.safetensors"))).has("h.0.attn.c_attn.weight"));
  const on = ["--resume", "mesh.safetensors", "--save", "mesh.safetensors", "--steps", "9", "--report", "on.html"];
  const trace = ["--trace", "on.json"];
  const resumed = await command([...data, ...on, ...trace]);
  is(resumed.code, 0, resumed.stderr);
  match(resumed.stdout, /\ntrace: on\.json, [\d,]+ events of steps 8 to 9; open it/);
  match(readFileSync(join(folder, "on.html"), "utf8"), /9, 5 before/);
  const { step, parameters } = headOf("mesh.safetensors");
  equal([step, parameters.steps, parameters.batch, parameters.dropout], [9, 9, 4, 0.1]);
});

test("what contradicts a checkpoint, or cannot be saved or resumed, is refused before anything runs", async () => {
  const { code, stderr } = await command([...tiny, "--steps", "3", "--save", "three.safetensors"]);
  is(code, 0, stderr);
  const resume = [...data, "--resume", "three.safetensors"];
  const more = [...resume, "--steps", "5"];
  await refuses(
    resume,
    /three\.safetensors: got a checkpoint of 3 steps for a run of 3, need a run of more; use a larger/,
  );
  await refuses(
    [...more, "--layers", "2"],
    /three\.safetensors: checkpoint: got n_layer 1, need the run's 2; use the config/,
  );
  await refuses([...more, "--arch", "llama"], /got --arch llama with a checkpoint of model_type "gpt2" \(three\.safe/);
  await refuses(
    [...more, "--tokenizer", "byte"],
    /got --tokenizer byte with three\.safetensors, whose tokenizer is char/,
  );
  writeFileSync(join(folder, "other.txt"), "0123456789 ".repeat(90));
  const other = ["train", "--data", "other.txt", "--resume", "three.safetensors", "--steps", "5"];
  await refuses(other, /other\.txt: got the character "0" .*, need one of the \d+ the tokenizer was made from/);
  await refuses(
    [...more, "--trace", "x.json", "--trace-steps", "2"],
    /need a step or a range such as 3-5 in this run's 4-5/,
  );
  await refuses(
    [...more, "--report", "three.safetensors"],
    /got --report three\.safetensors, which is an input of this run/,
  );
  await refuses([...tiny, "--save-every", "2"], /got --save-every 2 without --save/);
  await refuses([...tiny, "--save", "x", "--save-every", "0"], /got --save-every 0, need a whole number from 1/);
  await refuses([...tiny, "--save", text], /got --save text\.txt, which is another file of this run/);
  await refuses([...tiny, "--save", "text.txt/run"], /text\.txt\/run: .*need a file that can be written/);
  await refuses(
    [...tiny, "--resume", "none.safetensors"],
    /none\.safetensors: there is no such file; need a checkpoint/,
  );
  await refuses([...tiny, "--resume", text], /text\.txt: safetensors: got a header length of .*not safetensors/);
  const cut = readFileSync(join(folder, "three.safetensors")).subarray(0, 9000);
  writeFileSync(join(folder, "cut.safetensors"), cut);
  await refuses(
    [...data, "--resume", "cut.safetensors", "--steps", "5"],
    /cut\.safetensors: safetensors: .*use an intact file/,
  );
});

test.run();

// --wire on the command line: which commands take it, what it says of bytes, and that a room's plan brings it to who joins.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import { equal, is, match, ok } from "uvu/assert";
import { command, events, fixture, folder, refuses } from "./command.ts";

const text = "fox.txt";
writeFileSync(join(folder, text), "The quick brown fox jumps over the lazy dog. ".repeat(40));
const tiny = [
  ...["--data", text, "--layers", "1", "--heads", "4", "--width", "16"],
  ...["--context", "12", "--batch", "4", "--steps", "2", "--eval-every", "0", "--sample", "0"],
];
const cpu = ["--backend", "cpu", "--threads", "1"];

test("a wire that there is not is refused by every command that has one", async () => {
  for (const args of [["train"], ["serve", "--mesh", "2"], ["verify", "."], ["matmul"], ["layouts"]])
    await refuses(
      [...args, "--wire", "f8"],
      /option '--wire <type>' argument 'f8' is invalid. Allowed choices are f32, f16/,
    );
});

test("train: half of f32's bytes but for what is exact, by the closed form, and a line that says so", async () => {
  const run = async (wire: string) => {
    const args = ["train", ...tiny, ...cpu, "--mesh", "2x2", "--wire", wire];
    const { code, stdout, stderr } = await command([...args, "--json"]);
    is(code, 0, stderr);
    const steps = events(stdout).filter(({ event }) => event === "step");
    for (const { bytesReceived, closedFormBytes } of steps) equal(bytesReceived, closedFormBytes);
    return { bytes: steps.map(({ bytesReceived }) => (bytesReceived as number[])[0]), stderr };
  };
  const [f16, f32] = [await run("f16"), await run("f32")];
  for (const [step, bytes] of f16.bytes.entries())
    ok(bytes > f32.bytes[step] / 2 && bytes < 0.7 * f32.bytes[step], `${bytes} of ${f32.bytes[step]}`);
  match(f16.stderr, /layout 2d on 2 x 2 = 4 ranks, f16 on the wire\n/);
  match(f16.stderr, /, loss scale 65536, 0 steps skipped\n/);
  ok(!/wire|loss scale/.test(f32.stderr), f32.stderr);
});

test("verify, matmul and layouts: what the wire changes is said, and passes", async () => {
  const verified = await command(["verify", fixture("gpt2"), ...cpu, "--mesh", "2x2", "--wire", "f16"]);
  is(verified.code, 0, verified.stderr);
  match(verified.stdout, /on 2 x 2 = 4 ranks, f16 on the wire: limits sqrt\(3 n\) 2\^-11 for n roundings/);
  match(verified.stdout, /first loss +\S+ +4e-3 {2}ok\nlater losses +\S+\n/);
  const product = ["matmul", ...cpu, "--mesh", "2x2", "--m", "20", "--n", "12", "--k", "16", "--repeats", "1"];
  const multiplied = await command([...product, "--wire", "f16"]);
  is(multiplied.code, 0, multiplied.stderr);
  // (q - 1) (M K + K N) / q^2 words of two bytes.
  match(multiplied.stdout, /wire +f16: 256 bytes to the busiest rank, half of f32's\n/);
  match(multiplied.stdout, /of what f16 on the wire and gamma\(16\) allow/);
  const rows = async (wire: string) =>
    events((await command(["layouts", "--mesh-size", "8", "--wire", wire, "--json"])).stdout);
  const [f16, f32] = [await rows("f16"), await rows("f32")];
  for (const [index, { legal, layout, bytesReceived, wordsReceived }] of f16.entries()) {
    equal(wordsReceived, f32[index].wordsReceived);
    if (legal && layout !== "serial")
      ok(Number(bytesReceived) < 0.55 * Number(f32[index].bytesReceived), `${layout}: ${bytesReceived}`);
  }
});

test("serve: the plan has the wire, and its sentence half the bytes", async () => {
  const plan = async (wire: string) => {
    const args = ["serve", ...tiny, "--mesh", "2x2", "--host", "127.0.0.1", "--port", "0", "--wire", wire, "--json"];
    const { stdout } = await command(args, (_, child) => void child.kill("SIGINT"));
    const { plan } = events(stdout).find(({ event }) => event === "room") as { plan: Record<string, string> };
    return { wire: JSON.parse(plan.options).parameters.wire, about: plan.about };
  };
  const [f16, f32] = [await plan("f16"), await plan("f32")];
  is(f16.wire, "f16");
  is(f32.wire, "f32");
  match(f16.about, /Each rank receives up to [\d.]+ \w+ a step, f16 on the wire\.$/);
  match(f32.about, /Each rank receives up to [\d.]+ \w+ a step\.$/);
});

test.run();

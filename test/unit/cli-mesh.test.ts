// The command line on meshes: what it refuses, and that its numbers are the run's.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import { equal, is, match, ok } from "uvu/assert";
import { command, events, fixture, folder, refuses } from "./command.ts";

const text = "text.txt";
writeFileSync(join(folder, text), "The quick brown fox jumps over the lazy dog. ".repeat(40));
const tiny = [
  ...["train", "--data", text, "--backend", "cpu", "--layers", "1", "--heads", "4", "--width", "16"],
  ...["--context", "12", "--batch", "4", "--steps", "3", "--eval-every", "2", "--sample", "9"],
];

test("meshes that are none, or not the layout's, are refused", async () => {
  await refuses(
    [...tiny, "--mesh", "2x"],
    /mesh 2x: need P, q x q or q x q x d as whole numbers from 1; write it like/,
  );
  await refuses([...tiny, "--mesh", "2x3"], /mesh 2x3: rows and columns of a 2d mesh must be as many; use 2x2 or 3x3/);
  await refuses([...tiny, "--layout", "3d"], /'3d' is invalid.*serial, 1d, 1d-sp, 2d, 2\.5d/);
  await refuses([...tiny, "--layout", "2.5d"], /layout 2\.5d needs a mesh of ranks; add one, for example --mesh 2x2x2/);
  await refuses(
    [...tiny, "--layout", "2d", "--mesh", "4"],
    /mesh 4: layout 2d needs a mesh of 2 axes; use one like 2x2/,
  );
  await refuses([...tiny, "--layout", "serial", "--mesh", "4"], /mesh 4: layout serial is one rank; leave --mesh out/);
});

test("models and batches that do not divide are refused with what would", async () => {
  await refuses(
    [...tiny, "--mesh", "3x3"],
    /mesh 3x3: 4 heads do not divide over q = 3; use 3 or 6 heads, or a mesh of 4x4, 2x2/,
  );
  await refuses(
    [...tiny, "--mesh", "2x2x3"],
    /mesh 2x2x3: 4 samples of a batch do not divide over q d = 6; use 6 samples of a batch, or a mesh of 2x2x2/,
  );
  await refuses(
    ["verify", fixture("llama"), "--backend", "cpu", "--mesh", "8"],
    /llama: mesh 8: 4 key-value heads do not divide over 8 ranks; use 8 key-value heads, or a mesh of 4, 2$/m,
  );
});

test("a mesh of one axis is said as its ranks", async () => {
  const { stdout } = await command([...tiny, "--mesh", "4"]);
  match(stdout, /\nlayout 1d on 4 ranks\n/);
  match(stdout, /\n3 steps in .*, validation loss of the whole split \d/);
});

test("a report never replaces the run's text", async () => {
  await refuses([...tiny, "--report", text], /got --report text\.txt, which is an input of this run; use another file/);
});

test("train --mesh 2x2x2 --json: at every step each rank's bytes are the closed form's", async () => {
  const { code, stdout, stderr } = await command([...tiny, "--mesh", "2x2x2", "--json", "--report", "mesh.html"]);
  is(code, 0, stderr);
  const all = events(stdout);
  equal(all[0].mesh, { layout: "2.5d", dims: [2, 2, 2] });
  const steps = all.filter(({ event }) => event === "step");
  is(steps.length, 3);
  for (const { bytesReceived, closedFormBytes } of steps) {
    is((bytesReceived as number[]).length, 8);
    ok((bytesReceived as number[]).every((bytes) => bytes > 0));
    equal(bytesReceived, closedFormBytes);
  }
  match(stderr, /layout 2\.5d on 2 x 2 x 2 = 8 ranks/);
  match(stderr, /each rank received [\d,]+ bytes a step, as the closed form says, to the byte, at every step/);
  const html = readFileSync(join(folder, "mesh.html"), "utf8");
  match(html, /<h2>8 ranks: layout 2\.5d on 2 × 2 × 2<\/h2>/);
  is(html.match(/<tr><th scope="row">[0-7]<\/th>(<td style="--share:[\d.]+">[^<]+<\/td>){8}<\/tr>/g)?.length, 8);
});

test("verify on a mesh: limits twice as wide, and what was sent for what", async () => {
  const { code, stdout, stderr } = await command(["verify", fixture("llama"), "--backend", "cpu", "--mesh", "2x2"]);
  equal({ code, stderr }, { code: 0, stderr: "" });
  match(stdout, /layout 2d on 2 x 2 = 4 ranks: limits 2 times as wide/);
  match(stdout, /logits +\S+ +1e-5 {2}ok/);
  match(stdout, /\npass\n/);
  match(stdout, /linear backward +[\d,]+ +[\d,]+\n/);
});

test("layouts: legal ones with their words, messages and bytes, others with the reason", async () => {
  const sizes = ["--width", "64", "--heads", "8", "--layers", "2", "--vocab", "65", "--batch", "8", "--context", "32"];
  const { code, stdout, stderr } = await command(["layouts", ...sizes, "--mesh-size", "8"]);
  equal({ code, stderr }, { code: 0, stderr: "" });
  match(stdout, /\nlayout .* messages /);
  match(stdout, /\nserial {2}1 .* 0 B +0 /);
  match(stdout, /\n1d +8 /);
  match(stdout, /\n2\.5d +2x2x2 /);
  // 1D: two rounds for each of embedding, four linears, head, two of the loss, and the norm. 2D: 2 for the embedding, 6 for norms, 6 for
  // each linear and the head, 3 for the loss, 1 for gradients, 2 for their norm.
  const grid = [
    "--mesh-size",
    "4",
    "--batch",
    "4",
    "--context",
    "12",
    "--vocab",
    "28",
    "--layers",
    "1",
    "--heads",
    "4",
  ];
  const even = events((await command(["layouts", ...grid, "--width", "16", "--json"])).stdout);
  equal(
    even.map(({ layout, messagesReceived }) => [layout, messagesReceived]),
    [
      ["serial", 0],
      ["1d", 18],
      ["1d-sp", 53],
      ["2d", 44],
    ],
  );
  const narrow = events((await command(["layouts", ...grid, "--width", "16", "--dtype", "f16", "--json"])).stdout);
  for (const [index, f16] of narrow.entries()) {
    const f32 = even[index];
    const [bytes, words] = [Number(f16.bytesReceived), Number(f16.wordsReceived)];
    equal([f32.bytesReceived, f32.wordsReceived], [4 * words, words]);
    // Between half and all: what is sent of losses, norms and gradients stays f32.
    ok(words === 0 ? bytes === 0 : bytes > 2 * words && bytes < 4 * words, `${f16.layout}: ${bytes} of ${4 * words}`);
    const [half, whole] = [f16.memoryBytes, f32.memoryBytes] as Record<string, number>[];
    ok(half.weights < 0.6 * whole.weights && half.activations < 0.7 * whole.activations && half.total < whole.total);
  }
  const odd = await command(["layouts", ...sizes, "--mesh-size", "9", "--json"]);
  const rows = events(odd.stdout);
  equal(
    rows.map(({ layout, legal }) => [layout, legal]),
    [
      ["serial", true],
      ["1d", false],
      ["1d-sp", false],
      ["2d", false],
    ],
  );
  match(String(rows[3].why), /^mesh 3x3: 8 heads do not divide over q = 3/);
  await refuses(["layouts", "--mesh-size", "0"], /got --mesh-size 0, need a whole number from 1/);
  await refuses(
    ["layouts", "--mesh-size", "0x10"],
    /got --mesh-size 0x10, need a whole number from 1 to 2147483647; the default is 4/,
  );
  await refuses(["layouts", "--width", "65"], /n_embd|width/);
  await refuses(["layouts", "--kv-heads", "2"], /got --kv-heads 2 with gpt2, need --arch llama/);
});

test.run();

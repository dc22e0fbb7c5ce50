// The simulator's clock against textbook formulas: alpha a message, beta a byte, one port each way.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { makeMesh } from "../../src/parallel/mesh.ts";
import { place } from "../../src/parallel/placement.ts";
import { activation, productAB, weight } from "../../src/parallel/products.ts";
import { assemble } from "../../src/plan/assemble.ts";
import type { StepProgram } from "../../src/plan/program.ts";
import { Recorder, Works } from "../../src/plan/recorder.ts";
import { type Replay, replay } from "../../src/plan/replay.ts";
import { constant } from "../../src/tensor/tensor.ts";
import { alpha, beta, machine, message, near, recorded } from "./recorded-program.ts";

const n = 960;

const run = (program: StepProgram, how: Parameters<typeof machine>[1] = {}): Replay =>
  replay(program, machine(program, how));

const purpose = "test";

for (const size of [2, 3, 4, 8, 13]) {
  test(`${size} ranks: a root that sends to each, p - 1 messages; a chain, as many; a tree, log2 p rounded up`, async () => {
    const broadcast = (algorithm: "direct" | "tree" | "ring") =>
      recorded(size, (group, tensor) => group.broadcast(tensor(n), { root: 0, shape: [n], purpose, algorithm }));
    near(run(await broadcast("direct")).seconds, (size - 1) * message(n), "direct");
    near(run(await broadcast("ring")).seconds, (size - 1) * message(n), "ring");
    near(run(await broadcast("tree")).seconds, Math.ceil(Math.log2(size)) * message(n), "tree");
  });

  test(`${size} ranks: all-reduce in a ring, 2 (p - 1) messages of n/p`, async () => {
    const words = 60 * size;
    const program = await recorded(size, (group, tensor) =>
      group.allReduce(tensor(words), { purpose, algorithm: "ring" }),
    );
    near(run(program).seconds, 2 * (size - 1) * message(60), "ring");
  });

  test(`${size} ranks: everyone to everyone, p - 1 messages one after another`, async () => {
    const program = await recorded(size, (group, tensor) =>
      group.allGather(tensor(n), { purpose, algorithm: "direct" }),
    );
    near(run(program).seconds, (size - 1) * message(n), "direct");
  });
}

test("4 ranks: all-reduce by doubling, log2 p messages and sums between them", async () => {
  const program = await recorded(4, (group, tensor) => group.allReduce(tensor(n), { purpose, algorithm: "doubling" }));
  near(run(program, { kernel: 3 }).seconds, 2 * (message(n) + 3), "doubling");
});

test("a link that several devices share passes one message after another, at its own rate", async () => {
  const program = await recorded(8, async (group, tensor) => {
    const x = tensor(n);
    const half = group.size / 2;
    // Ranks 0 to 3 send to 4 to 7, all at once.
    if (group.index < half) group.send(x, { to: group.index + half, tag: "x", purpose });
    else await group.receive({ from: group.index - half, tag: "x", shape: [n], purpose });
  });
  const shared = [{ link: 0, bytesPerSecond: 1 / beta }];
  const route = () => ({ alpha, bytesPerSecond: 1 / beta, shared });
  near(run(program, { sharedLinks: 1, route }).seconds, alpha + 4 * (4 * n * beta), "four in a row");
  const wide = () => ({ alpha, bytesPerSecond: 1 / beta, shared: [{ link: 0, bytesPerSecond: 4 / beta }] });
  near(run(program, { sharedLinks: 1, route: wide }).seconds, alpha + (3 / 4 + 1) * 4 * n * beta, "four times as wide");
});

test("a message that waits for one link keeps no other from its use", async () => {
  const program = await recorded(6, async (group, tensor) => {
    const x = tensor(n);
    // 0 to 3, 1 to 4, 2 to 5, all at once: the second needs both the first's link and the third's.
    if (group.index < 3) group.send(x, { to: group.index + 3, tag: "x", purpose });
    else await group.receive({ from: group.index - 3, tag: "x", shape: [n], purpose });
  });
  const rate = 1 / beta;
  const ways = [[0], [0, 1], [1]].map((links) => links.map((link) => ({ link, bytesPerSecond: rate })));
  const spans: number[] = [];
  const route = (from: number) => ({ alpha: 0, bytesPerSecond: rate, shared: ways[from] });
  const { seconds } = replay(program, machine(program, { sharedLinks: 2, route }), {
    message: (_, { end }) => spans.push(end),
  });
  near(seconds, 2 * 4 * n * beta, "all three");
  near(spans[1], 4 * n * beta, "the third goes beside the first");
});

test("without overlap, which device has which number decides nothing", async () => {
  const seconds: number[] = [];
  for (const sender of [0, 1]) {
    const program = await recorded(2, async (group, tensor) => {
      const x = tensor(n);
      for (let i = 0; i < 3; i++) {
        const y = tensor(n);
        y.backend.run("fill", { y: y.buffer, n, value: 1 });
        if (group.index !== sender) continue;
        group.send(i === 0 ? y : x, { to: 1 - sender, tag: String(i), purpose });
      }
      for (let i = 0; i < 3 && group.index !== sender; i++)
        await group.receive({ from: sender, tag: String(i), shape: [n], purpose });
    });
    seconds.push(run(program, { kernel: message(n), overlap: false }).seconds);
  }
  assert.is(seconds[0], seconds[1]);
});

test("a device that waits to be asked does not compute", async () => {
  const program = await recorded(1, async (_, tensor) => {
    for (let i = 0; i < 4; i++) {
      const y = tensor(n);
      y.backend.run("fill", { y: y.buffer, n, value: 1 });
    }
  });
  const { devices, seconds } = run(program, { kernel: 1, hostKernelSeconds: 3 });
  assert.equal([seconds, devices[0].computing, devices[0].idle], [13, 4, 9]);
});

test("messages are hidden under kernels that do not need them, where the machine overlaps", async () => {
  const program = await recorded(2, async (group, tensor) => {
    const [x, y] = [tensor(n), tensor(n)];
    if (group.index === 0) group.send(x, { to: 1, tag: "x", purpose });
    y.backend.run("fill", { y: y.buffer, n, value: 1 });
    if (group.index === 0) return;
    const got = await group.receive({ from: 0, tag: "x", shape: [n], purpose });
    y.backend.run("axpy", { x: got.buffer, y: y.buffer, n, alpha: 1 });
  });
  const long = 2 * message(n);
  const beside = run(program, { kernel: long });
  near(beside.seconds, 2 * long, "the message beside the first kernel");
  near(beside.devices[1].hidden, message(n), "hidden");
  near(beside.devices[1].computing, 2 * long - message(n), "alone");
  const apart = run(program, { kernel: long, overlap: false });
  near(apart.seconds, message(n) + 2 * long, "one after another");
  near(apart.devices[1].exposed, message(n), "exposed");
});

test("a straggler and a slow link make a step longer by what they take", async () => {
  const program = await recorded(2, async (group, tensor) => {
    const y = tensor(n);
    y.backend.run("fill", { y: y.buffer, n, value: 1 });
    await group.allReduce(y, { purpose, algorithm: "doubling" });
  });
  near(run(program, { kernel: 1 }).seconds, 2 + message(n), "as they should be");
  near(
    run(program, { kernel: 1, slowdown: (device) => (device === 1 ? 3 : 1) }).seconds,
    6,
    "slow device: the message came meanwhile",
  );
  near(run(program, { kernel: 1, congestion: () => 5 }).seconds, 2 + 5 * message(n), "slow link");
});

test("ranks on one device take turns, and their messages no time", async () => {
  const program = await recorded(4, async (group, tensor) => {
    const y = tensor(n);
    y.backend.run("fill", { y: y.buffer, n, value: 1 });
    await group.broadcast(y, { root: 0, shape: [n], purpose });
  });
  const together = { kernel: 1, devices: 1, deviceOf: [0, 0, 0, 0] };
  near(run(program, together).seconds, 4, "four kernels");
  near(run(program, { ...together, localSeconds: 2 }).seconds, 4 + 3 * 2, "and three references handed over");
  near(run(program, { ...together, hostKernelSeconds: 0.5 }).seconds, 4.5, "asked for ahead");
  near(run(program, { ...together, hostKernelSeconds: 3 }).seconds, 4 * 3 + 1, "asked for too slowly");
});

for (const [kernel, long] of [
  [message(n) / 2, "short"],
  [5 * message(n), "long"],
] as const)
  test(`SUMMA on 2 x 2 ranks, ${long} kernels: two messages a step, hidden under the product of the step before`, async () => {
    const works = new Works();
    const records = [];
    for (let rank = 0; rank < 4; rank++) {
      const recorder = new Recorder({ rank, size: 4, works });
      const mesh = makeMesh({ link: recorder, q: 2, d: 1 });
      const block = (rows: number, columns: number) =>
        constant(recorder.backend, { shape: [rows, columns], purpose: "scratch" });
      const [a, b, y] = [block(24, 40), block(40, 24), block(24, 24)];
      recorder.begin();
      await productAB(mesh, {
        a: place(a, activation),
        b: place(b, weight),
        to: { tensor: place(y, activation), accumulate: false },
        purpose,
      });
      records.push(recorder.end());
    }
    const program = assemble(records, works);
    const m = message(n);
    near(run(program, { kernel }).seconds, 2 * m + Math.max(2 * m, kernel) + kernel, "with overlap");
    near(run(program, { kernel, overlap: false }).seconds, 2 * (2 * m + kernel), "without");
  });

test("a message that nobody sends is found", async () => {
  let thrown: unknown;
  try {
    await recorded(2, async (group, tensor) => {
      if (group.index === 0) group.send(tensor(n), { to: 1, tag: "x", purpose });
    });
  } catch (error) {
    thrown = error;
  }
  assert.match(String(thrown), /send 1 messages and receive 0/);
});

test.run();

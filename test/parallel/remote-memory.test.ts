// Memory that goes round: once a run is under way, what is sent and received takes none from the machine, neither in the host nor on the
// device; and it comes back from a rank that only receives.

import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { test } from "uvu";
import { equal, is, ok } from "uvu/assert";
import { bundle } from "../../scripts/bundle.mjs";
import { workerRanks } from "../../src/cluster/workers.ts";
import { MessagePortChannel } from "../../src/comm/message-port.ts";
import { Spare, spare } from "../../src/comm/spare.ts";
import { releaseWebRtc } from "../../src/comm/webrtc.ts";
import { createLayout, meshShape } from "../../src/parallel/shape.ts";
import { train } from "../../src/train/trainer.ts";
import { backendUnderTest, closeBackend } from "../gpu/harness.ts";
import { corpus, gpt2, parameters, tokenizer } from "../training/toy.ts";
import { inbox } from "../unit/webrtc-messages.ts";
import type { OneWay } from "./one-way-rank.ts";
import { runRemote } from "./remote-ranks.ts";

test.after(closeBackend);
test.after(releaseWebRtc);

test("2.5d 2x2x2 over channels: after three steps messages allocate nothing, in the host or on the device", async () => {
  const backend = await backendUnderTest();
  const shape = meshShape({ layout: "2.5d", dims: [2, 2, 2] });
  // Tensors of some KB: shorter ones an engine has at hand.
  const config = { ...gpt2, n_embd: 96 };
  const run = { ...parameters, batch: 16, steps: 12, evalEvery: 0, evalBatches: 1, sampleTokens: 0 };
  const fresh: number[] = [];
  const reserved: number[] = [];
  const received: number[] = [];
  const begun = spare.misses;
  await runRemote({ size: 8, backend }, async ({ link, backend: own }) => {
    const layout = createLayout(shape, { backend: own, link });
    for await (const event of train({ backend: own, config, tokenizer, corpus, layout, parameters: run }))
      if (event.event === "step" && link.rank === 0) {
        fresh.push(spare.misses - begun);
        reserved.push(backend.memory.reservedBytes);
        received.push(8 * link.traffic.elementBytes);
      }
  });
  is(fresh.length, run.steps);
  ok(fresh[0] > 0, "messages take memory of their own at first");
  // More where more messages are under way at once than ever before, which is a matter of chance.
  ok(fresh[11] - fresh[2] <= fresh[0] / 3, `fresh arrays after each step: ${fresh}`);
  const [grown, come] = [reserved, received].map((bytes) => bytes[11] - bytes[2]);
  ok(grown <= come / 4, `the device's memory grew by ${grown} bytes while ${come} came: ${reserved}`);
});

test("over ports, also of ranks that WebRTC joins, memory comes back from a rank that only receives; heads of chunks are counted", async () => {
  const { name } = await backendUnderTest();
  mkdirSync("build", { recursive: true });
  const folder = mkdtempSync(join(process.cwd(), "build/one-way-"));
  const overhead: number[] = [];
  try {
    const program = join(folder, "rank.mjs");
    await bundle({ entryPoints: ["test/parallel/one-way-rank.ts"], outfile: program, logLevel: "error" });
    for (const [link, words] of [
      ["worker", 20_001],
      ["webrtc", 20_001],
      ["webrtc", 16_001],
    ] as const) {
      const options = { rounds: 4, messages: 60, words };
      const run = await workerRanks({ backend: name, link }).run(pathToFileURL(program), { size: 2, options });
      const [sender, receiver] = run as OneWay[];
      ok(
        sender.fresh[0] > 0 && sender.fresh[3] <= 60,
        `${link}, ${words} words: fresh arrays after 60 messages and more: ${sender.fresh}`,
      );
      equal(receiver.fresh, [0, 0, 0, 0]);
      overhead.push(sender.overheadBytes);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  // Two chunks a tensor or one, and one for each of a few short frames.
  for (const [at, head] of [
    [1, 24],
    [2, 12],
  ]) {
    const heads = overhead[at] - overhead[0];
    ok(heads >= 240 * head && heads <= 240 * head + 120, `${overhead} bytes beside the tensors`);
  }
});

test("as many arrays are kept as there were once too few, and no more: others go where they came from", () => {
  const spares = new Spare();
  const home: ArrayBuffer[] = [];
  const first = spares.take(10_000);
  is(first.length, 10_000);
  ok(first.buffer.byteLength >= 10_000 && first.buffer.byteLength <= 10_000 * 1.5);
  spares.give(first.buffer);
  is(spares.take(10_016).buffer, first.buffer, "another length of the same size");
  equal(spares.misses, 1);
  for (const memory of [first.buffer, new ArrayBuffer(first.buffer.byteLength)]) {
    spares.comes(new Uint8Array(memory), { giveBack: (back) => void home.push(back) });
    spares.give(memory);
  }
  is(home.length, 1);
  // What has something before the message was not made here or there: it goes nowhere.
  const part = new Uint8Array(new ArrayBuffer(10_012), 12);
  spares.comes(part, { giveBack: (back) => void home.push(back) });
  spares.give(part.buffer);
  is(home.length, 1);
  // What belongs here stays rather than what does not.
  const own = new ArrayBuffer(first.buffer.byteLength);
  spares.give(own);
  equal(home, [home[0], first.buffer]);
  is(spares.take(10_000).buffer, own);
  // Memory of a size that was never asked for is of no use, whoever sends it.
  for (const bytes of [0, 1, 4096, 10_001, 1 << 20]) spares.give(new ArrayBuffer(bytes));
  is(spares.take(1 << 20).length, 1 << 20);
  is(spares.misses, 2);
  is(spares.take(100).buffer.byteLength, 100);
  is(spares.misses, 2, "short ones are not counted");
});

test("all that is kept is at most 64 MB", () => {
  const spares = new Spare();
  const taken = Array.from({ length: 5 }, () => spares.take(16 << 20).buffer);
  for (const memory of taken) spares.give(memory);
  for (let i = 0; i < 5; i++) spares.take(16 << 20);
  is(spares.misses, 6);
  spares.clear();
  spares.take(16 << 20);
  is(spares.misses, 7);
});

test("a port takes memory that is given back with a message, alone, and as often as it likes; a list of anything else closes it", async () => {
  for (const [list, reason] of [
    [[new Uint8Array(5), new ArrayBuffer(8), new ArrayBuffer(50_000)], undefined],
    [[new ArrayBuffer(8), new ArrayBuffer(0)], undefined],
    [[], "it sent something else than bytes"],
    [[new Uint8Array(5), 7], "it sent something else than bytes"],
    [[new ArrayBuffer(8), new Uint8Array(5)], "it sent something else than bytes"],
    [[new SharedArrayBuffer(8)], "it sent something else than bytes"],
    [["closed"], "it sent something else than bytes"],
    [[new Uint8Array(5), null], "it sent something else than bytes"],
    [Array.from({ length: 100 }, () => new ArrayBuffer(8)), "it sent something else than bytes"],
  ] as [unknown[], string | undefined][]) {
    const { port1, port2 } = new MessageChannel();
    const { messages, closed } = inbox(new MessagePortChannel(port1));
    port2.postMessage(list);
    port2.postMessage(list);
    port2.postMessage("closed");
    is(await closed, reason ?? "it has closed its side");
    is(messages.length, reason || !(list[0] instanceof Uint8Array) ? 0 : 2);
    port2.close();
  }
});

test("memory that nobody here needs goes back over its port: with the next message, or eight at a time", async () => {
  const { port1, port2 } = new MessageChannel();
  const channel = new MessagePortChannel(port1);
  channel.listen({ message: () => {}, closed: () => {} });
  const come: unknown[] = [];
  const all = new Promise<void>((resolve) => {
    port2.addEventListener("message", ({ data }) => {
      come.push(data);
      if (data === "closed") resolve();
    });
  });
  port2.start();
  channel.giveBack(new ArrayBuffer(5000));
  channel.giveBack(new ArrayBuffer(6000));
  channel.send(Uint8Array.of(1, 2, 3));
  channel.send(Uint8Array.of(4));
  for (let i = 0; i < 9; i++) channel.giveBack(new ArrayBuffer(7000 + i));
  channel.giveBack(new ArrayBuffer(5 << 20));
  channel.close();
  channel.giveBack(new ArrayBuffer(1));
  await all;
  const lengths = come.map((each) =>
    [each].flat().map((part) => (part instanceof ArrayBuffer || part instanceof Uint8Array ? part.byteLength : part)),
  );
  equal(lengths, [[3, 5000, 6000], [1], [7000, 7001, 7002, 7003, 7004, 7005, 7006, 7007], [7008, 5 << 20], ["closed"]]);
  port2.close();
});

test.run();

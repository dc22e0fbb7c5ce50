// Channels through shared memory: whole messages in order whatever the ring's size, rings that are full, and ends that close.

import { once } from "node:events";
import { setTimeout as later } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { RingChannel, ringPair, ringsWork } from "../../src/comm/ring-channel.ts";
import { randomNumbers } from "../parallel/ranks.ts";
import echo from "./ring-echo.script";

/** A channel with what it has been told so far. */
class Ear {
  readonly messages: Uint8Array[] = [];
  readonly reasons: string[] = [];
  #heard = () => {};

  constructor(readonly channel: RingChannel) {}

  listen(): this {
    this.channel.listen({
      message: (bytes) => {
        this.messages.push(bytes);
        this.#heard();
      },
      closed: (reason) => {
        this.reasons.push(reason);
        this.#heard();
      },
    });
    return this;
  }

  async until(holds: () => boolean): Promise<void> {
    while (!holds())
      await new Promise<void>((resolve) => {
        this.#heard = resolve;
      });
  }
}

/** Both ends in this thread. */
const pair = (bytes?: number): [Ear, Ear] =>
  ringPair(bytes).map((ends) => new Ear(new RingChannel(ends))) as [Ear, Ear];

/** Contents that depend on length and seed. */
const message = (length: number, seed: number): Uint8Array<ArrayBuffer> =>
  Uint8Array.from({ length }, (_, i) => (i * 31 + seed * 17 + (i >> 8)) & 255);

for (const ringBytes of [16, 64, 1024])
  test(`a ring of ${ringBytes} bytes: messages of none to some thousand bytes come whole and in order, both ways at once`, async () => {
    const [a, b] = pair(ringBytes);
    const random = randomNumbers(ringBytes);
    const sent = [a, b].map(() =>
      Array.from({ length: 60 }, (_, seed) => message(Math.floor(random() ** 3 * 3000), seed)),
    );
    for (const [side, ear] of [a, b].entries()) for (const each of sent[side]) ear.channel.send(each.slice());
    a.listen();
    b.listen();
    await a.until(() => a.messages.length === 60);
    await b.until(() => b.messages.length === 60);
    assert.equal(b.messages, sent[0]);
    assert.equal(a.messages, sent[1]);
    const padding = sent[0].reduce((sum, { length }) => sum + 8 + ((8 - (length % 8)) % 8), 0);
    assert.is(a.channel.overheadBytes, padding);
    assert.equal([a.reasons, b.reasons], [[], []]);
    a.channel.close();
    b.channel.close();
  });

test("messages are 4-byte aligned arrays of their own, the listener's to keep", async () => {
  const [a, b] = pair();
  b.listen();
  for (const seed of [1, 2, 3]) {
    a.channel.send(message(5000, seed)); // long enough to be used again
    b.channel.send(message(5000, 10 + seed));
  }
  a.listen();
  await b.until(() => b.messages.length === 3);
  await a.until(() => a.messages.length === 3);
  for (const { messages, first } of [
    { messages: b.messages, first: 1 },
    { messages: a.messages, first: 11 },
  ])
    for (const [i, bytes] of messages.entries()) {
      assert.equal(bytes, message(5000, first + i));
      assert.is(bytes.byteOffset % 4, 0);
      assert.instance(bytes.buffer, ArrayBuffer);
    }
  assert.is(new Set([...a.messages, ...b.messages].map(({ buffer }) => buffer)).size, 6);
  a.channel.close();
});

test("a full ring stops nobody: the sender goes on, and what it sent comes when the receiver listens", async () => {
  const [a, b] = pair(256);
  const sent = Array.from({ length: 50 }, (_, seed) => message(100, seed));
  for (const each of sent) a.channel.send(each.slice());
  let flushed = false;
  const flush = a.channel.flush().then(() => {
    flushed = true;
  });
  await later(20);
  assert.is(flushed, false);
  b.listen();
  await flush;
  await b.until(() => b.messages.length === 50);
  assert.equal(b.messages, sent);
  await a.channel.flush(); // nothing is left
  a.channel.close();
});

test("an end that closes: what it sent before comes, in full rings too, then the other end is told once, and nothing goes any more", async () => {
  for (const ringBytes of [64, 1 << 16]) {
    const [a, b] = pair(ringBytes);
    a.listen();
    const sent = Array.from({ length: 20 }, (_, seed) => message(90, seed));
    for (const each of sent) a.channel.send(each.slice());
    a.channel.close();
    a.channel.send(message(5, 0));
    b.listen();
    await b.until(() => b.reasons.length > 0);
    assert.equal(b.messages, sent);
    assert.equal(b.reasons, ["it has closed its side"]);
    b.channel.send(message(5, 0));
    b.channel.close();
    await b.channel.flush();
    await later(5);
    assert.equal([a.messages, a.reasons, b.reasons.length], [[], [], 1]);
  }
});

test("both ends close with full rings: as nobody reads any more, neither waits for room", async () => {
  const [a, b] = pair(64);
  for (const { channel } of [a.listen(), b]) for (let i = 0; i < 20; i++) channel.send(message(90, i));
  const flushes = [a, b].map(({ channel }) => channel.flush());
  a.channel.close();
  b.channel.close();
  await Promise.all(flushes);
  assert.equal([a.reasons, b.reasons], [[], []]);
});

test("two threads: an echo of messages from none to three times the ring; closing ends the other thread", async () => {
  const [ends, theirs] = ringPair(1 << 18);
  const worker = new Worker(echo, { eval: true, workerData: theirs });
  const exit = once(worker, "exit");
  const ear = new Ear(new RingChannel(ends)).listen();
  const lengths = [0, 1, 7, 8, 4096, 65_552, (1 << 18) - 8, 1 << 18, 3 * (1 << 18) + 5];
  const sent = [...lengths, ...lengths].map((length, seed) => message(length, seed));
  for (const each of sent) ear.channel.send(each.slice());
  await ear.until(() => ear.messages.length === sent.length);
  for (const [i, each] of sent.entries()) assert.ok(Buffer.compare(ear.messages[i], each) === 0, `message ${i}`);
  for (let i = 0; i < 200; i++) {
    ear.channel.send(message(16, i));
    await ear.until(() => ear.messages.length === sent.length + i + 1);
  }
  ear.channel.close();
  const [code] = await exit;
  assert.is(code, 0);
});

test("Node has what rings need", () => {
  assert.is(ringsWork(), true);
});

test.run();

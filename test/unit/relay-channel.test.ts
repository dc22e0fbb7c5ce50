// Relayed channels over wires that a test holds both ends of: what a peer may send, and flushes of wires that fail. Through a real server:
// nats-relay.test.ts.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { RelayChannel, type RelayWire } from "../../src/comm/relay-channel.ts";
import { content, inbox, same } from "./webrtc-messages.ts";

type Packet = Uint8Array<ArrayBuffer>;

/** One end. What is sent comes to the other end in a later turn. */
class End implements RelayWire {
  readonly mostBytes = 100_000;
  readonly overheadBytes = 8;
  other: End | undefined;
  closed = false;
  packet: (bytes: Packet) => void = () => {};
  lost: (reason: string) => void = () => {};

  send(bytes: Packet): void {
    setImmediate(() => this.other?.packet(bytes));
  }

  listen(listener: { packet(bytes: Packet): void; lost(reason: string): void }): void {
    this.packet = (bytes) => listener.packet(bytes);
    this.lost = (reason) => listener.lost(reason);
  }

  async flush(): Promise<void> {}

  close(): void {
    this.closed = true;
  }
}

function ends(): [End, End] {
  const pair: [End, End] = [new End(), new End()];
  [pair[0].other, pair[1].other] = [pair[1], pair[0]];
  return pair;
}

const patience = { timeoutMs: 5000, silentMs: 5000 };

function packet(words: readonly number[], contentBytes = 0): Packet {
  const bytes = new Uint8Array(16 + contentBytes);
  const head = new DataView(bytes.buffer);
  for (const [i, word] of words.entries()) head.setUint32(4 * i, word, true);
  return bytes;
}
const [here, data, taken] = [1, 2, 3];

test("a flush settles when its wire's fails, and at the channel's end when its wire's never does", async () => {
  const [near, far] = ends();
  const channels = [near, far].map((end) => new RelayChannel(end, patience));
  await Promise.all(channels.map(({ opened }) => opened));
  const { closed } = inbox(channels[0]);
  near.flush = () => Promise.reject(new Error("the connection is closing"));
  await channels[0].flush();
  near.flush = () => new Promise(() => {});
  const flush = channels[0].flush();
  channels[1].close();
  assert.is(await closed, "it has closed its side");
  await flush;
  await channels[0].flush();
  assert.ok(near.closed && far.closed);
});

test("a peer that sends what is no packet, or packets that make no message, is closed with the reason", async () => {
  for (const [sent, reason] of [
    [[new Uint8Array(15)], /^it sent a packet of 15 bytes, which has no head$/],
    [[packet([6])], /^it sent a packet of kind 6, which there is not$/],
    [[packet([taken, 1])], /^it says it took 1 chunks when 0 were under way$/],
    [[packet([data, 1, 0, 4], 4)], /^it sent chunk 0 of message 1 instead of 0 of 0$/],
    [[packet([data, 0, 0, 4], 5)], /^it sent a chunk of 5 bytes at 0 of a message of 4$/],
    [[packet([data, 0, 0, 9], 0)], /^it sent a chunk of 0 bytes at 0 of a message of 9$/],
    [[packet([data, 0, 0, 2 ** 32 - 1], 4)], /^it announced a message of 4294967295 bytes, at most 2147483648/],
    [[packet([data, 0, 0, 9], 4), packet([data, 0, 1, 10], 5)], /^it announced 9 bytes, then 10 for the same/],
    [[packet([data, 0, 0, 9], 4), packet([data, 0, 1, 9], 6)], /^it sent a chunk of 6 bytes at 4 of a message of 9$/],
  ] as [Packet[], RegExp][]) {
    const end = new End();
    const channel = new RelayChannel(end, patience);
    const { messages, closed } = inbox(channel);
    end.packet(packet([here]));
    await channel.opened;
    for (const each of sent) end.packet(each);
    assert.match(await closed, reason);
    assert.is(messages.length, 0);
    channel.send(new Uint8Array(4));
    await channel.flush();
  }
});

test("a wire that takes little gets messages in pieces that it takes", async () => {
  const [near, far] = ends();
  const channels = [near, far].map((end) => new RelayChannel(end, patience));
  const lengths: number[] = [];
  const send = near.send.bind(near);
  near.send = (bytes) => {
    lengths.push(bytes.length);
    send(bytes);
  };
  const box = inbox(channels[1]);
  channels[0].send(content(250_000, 1));
  await box.count(1);
  assert.ok(same(box.messages[0], content(250_000, 1)));
  assert.equal(
    lengths.filter((length) => length > 16),
    [100_000, 100_000, 250_000 - 2 * (100_000 - 16) + 16],
  );
  for (const channel of channels) channel.close();
});

test.run();

// Channels through a real NATS server.

import type { Msg, NatsConnection } from "@nats-io/nats-core";
import { test } from "uvu";
import { is, match, ok, throws } from "uvu/assert";
import { joinRoom } from "../../src/cluster/rendezvous/client.ts";
import type { RoomClient } from "../../src/cluster/rendezvous/membership.ts";
import { openNats, parseNatsUrl } from "../../src/cluster/rendezvous/nats-address.ts";
import { openNatsRoom } from "../../src/cluster/rendezvous/nats-room.ts";
import { Seal } from "../../src/cluster/rendezvous/nats-seal.ts";
import { NatsWire } from "../../src/cluster/rendezvous/nats-wire.ts";
import { connectOrRelay } from "../../src/cluster/rendezvous/relays.ts";
import type { Channel } from "../../src/comm/channel.ts";
import { CommunicationError } from "../../src/comm/link.ts";
import { RelayChannel } from "../../src/comm/relay-channel.ts";
import { RtcChannel } from "../../src/comm/webrtc-channel.ts";
import type { SignalData } from "../../src/comm/webrtc-signal.ts";
import { NatsServer } from "./nats-server.ts";
import { planOf, secret } from "./rendezvous-bench.ts";
import { content, type Inbox, inbox, same } from "./webrtc-messages.ts";

const silentMs = 1500;
const patience = { timeoutMs: 10_000, silentMs };
const ids = ["A".repeat(22), "B".repeat(22)];

interface Pair {
  server: NatsServer;
  connections: NatsConnection[];
  channels: RelayChannel[];
  seal: Seal;
}

/** Two channels of a server of their own, one over TCP and one over WebSocket, after which nothing may be left. */
async function pairing(work: (pair: Pair) => Promise<void>): Promise<void> {
  const server = await NatsServer.start();
  const connections: NatsConnection[] = [];
  const channels: RelayChannel[] = [];
  try {
    const seal = await Seal.of({ secret, room: "room" });
    for (const url of [server.url("room"), server.webSocketUrl("room")])
      connections.push(await openNats(parseNatsUrl(url)));
    for (const [i, connection] of connections.entries()) {
      const wire = new NatsWire({ connection, seal, room: "room", generation: 7, own: ids[i], other: ids[1 - i] });
      channels.push(new RelayChannel(wire, patience));
    }
    await Promise.all(channels.map(({ opened }) => opened));
    await work({ server, connections, channels, seal });
  } finally {
    for (const channel of channels) channel.close();
    await Promise.all(connections.map((connection) => connection.close()));
    await server.remove();
  }
}

/** Rejects when the channel closes before so many have come. */
const came = ({ count, closed }: Inbox, wanted: number): Promise<void> =>
  Promise.race([
    count(wanted),
    closed.then((reason) => {
      throw new Error(reason);
    }),
  ]);

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Around what a packet holds, and up to many of them. */
const sizes = [0, 1, 15, 16, 4097, 131_072, 131_087, 131_088, 131_089, 1_000_003, 5 << 20];

test("messages of 0 bytes to 5 MB come as they were sent, both ways at once, in order", () =>
  pairing(async ({ channels }) => {
    const boxes = channels.map(inbox);
    for (const [side, channel] of channels.entries())
      for (const [i, size] of sizes.entries()) channel.send(content(size, 100 * side + i));
    for (let i = 0; i < 200; i++) channels[0].send(content(i % 7, 1000 + i));
    await Promise.all([came(boxes[0], sizes.length), came(boxes[1], sizes.length + 200)]);
    for (const [side, { messages }] of boxes.entries())
      for (const [i, size] of sizes.entries()) {
        ok(same(messages[i], content(size, 100 * (1 - side) + i)), `${size} bytes from side ${1 - side}`);
        is(messages[i].byteOffset, 0);
      }
    for (let i = 0; i < 200; i++)
      ok(same(boxes[1].messages[sizes.length + i], content(i % 7, 1000 + i)), `small one ${i}`);
  }));

test("the bytes beside 5 MB are below 1%", () =>
  pairing(async ({ channels }) => {
    const box = inbox(channels[1]);
    channels[0].send(content(5 << 20, 1));
    await came(box, 1);
    const all = channels[0].overheadBytes + channels[1].overheadBytes;
    ok(all > 0 && all < 0.01 * (5 << 20), `${all} bytes`);
  }));

test("a side that takes nothing holds the other up at 1 MB, and loses nothing", () =>
  pairing(async ({ server, channels }) => {
    const stranger = await server.stranger();
    let relayed = 0;
    stranger.subscribe(`shardgrad.room.relay.7.${ids[0]}.>`, {
      callback: (_, { data }) => void (relayed += data.length),
    });
    await stranger.flush();
    for (let i = 0; i < 10; i++) channels[0].send(content(1 << 20, i));
    let flushed = false;
    const flush = channels[0].flush().then(() => (flushed = true));
    await pause(300);
    ok(relayed > 0.9 * (1 << 20) && relayed < 1.1 * (1 << 20), `${relayed} bytes`);
    is(flushed, false);
    const box = inbox(channels[1]);
    await came(box, 10);
    await flush;
    for (let i = 0; i < 10; i++) ok(same(box.messages[i], content(1 << 20, i)), `message ${i}`);
    await stranger.close();
  }));

test("what was sent before close() arrives, and the other side is told", () =>
  pairing(async ({ channels }) => {
    const [near, far] = channels.map(inbox);
    channels[0].send(content(3_000_000, 1));
    channels[0].close();
    channels[0].send(content(5, 2));
    is(await far.closed, "it has closed its side");
    is(far.messages.length, 1);
    ok(same(far.messages[0], content(3_000_000, 1)));
    is(near.messages.length, 0);
  }));

test("a server that is lost closes both sides, in the middle of a message", () =>
  pairing(async ({ server, channels }) => {
    const boxes = channels.map(inbox);
    for (let i = 0; i < 20; i++) channels[0].send(content(5 << 20, i));
    await came(boxes[1], 1);
    await server.stop();
    for (const { closed } of boxes) match(await closed, /^the NATS server between was lost/);
    await channels[0].flush();
  }));

test("a side that vanishes is found by its silence", () =>
  pairing(async ({ connections, channels }) => {
    const boxes = channels.map(inbox);
    await connections[1].close();
    is(await boxes[0].closed, "nothing was heard of it for 1.5 s");
    match(await boxes[1].closed, /^the NATS server between was lost/);
  }));

test("a side that does not come is not waited for", async () => {
  const server = await NatsServer.start();
  const connection = await openNats(parseNatsUrl(server.url("room")));
  const seal = await Seal.of({ secret, room: "room" });
  const wire = new NatsWire({ connection, seal, room: "room", generation: 7, own: ids[0], other: ids[1] });
  const channel = new RelayChannel(wire, { timeoutMs: 300, silentMs });
  const reason = await channel.opened.then(String, (error: Error) => error.message);
  is(reason, "it did not come within 0.3 s");
  throws(() => channel.send({ length: 2 ** 32 } as Uint8Array<ArrayBuffer>), /at most 2147483648/);
  await connection.close();
  await server.remove();
});

test("forged, replayed and misdirected packets change nothing; one that is missing closes the channel", () =>
  pairing(async ({ server, channels, connections, seal }) => {
    const stranger = await server.stranger();
    const recorded: { subject: string; data: Uint8Array }[] = [];
    const record = (_: unknown, { subject, data }: Msg) => void recorded.push({ subject, data: data.slice() });
    const recording = stranger.subscribe("shardgrad.room.relay.>", { callback: record });
    await stranger.flush();
    const boxes = channels.map(inbox);
    channels[0].send(content(500_000, 1));
    await came(boxes[1], 1);
    recording.unsubscribe();
    const other = await Seal.of({ secret: "another-secret-of-20", room: "room" });
    const subject = `shardgrad.room.relay.7.${ids[0]}.${ids[1]}`;
    ok(recorded.some((each) => each.subject === subject && each.data.length > 100_000));
    for (const each of recorded) {
      stranger.publish(each.subject, each.data);
      stranger.publish(`shardgrad.room.relay.7.${ids[1]}.${ids[0]}`, each.data);
    }
    const goodbye = new Uint8Array(24);
    new DataView(goodbye.buffer).setFloat64(0, 1e6, true);
    goodbye[8] = 5;
    for (const bytes of [
      new Uint8Array(0),
      goodbye,
      await other.close(goodbye, subject),
      await seal.close(goodbye, "x"),
    ])
      stranger.publish(subject, bytes);
    await stranger.flush();
    channels[0].send(content(500_000, 2));
    await came(boxes[1], 2);
    ok(same(boxes[1].messages[1], content(500_000, 2)));
    is(boxes[1].messages.length, 2);

    // As if the packets between had been lost.
    connections[0].publish(subject, await seal.close(goodbye, subject));
    match(await boxes[1].closed, /^\d+ packets were lost on their way$/);
    await stranger.close();
  }));

/** Members of a room that have started, by rank. */
async function started(server: NatsServer, size: number) {
  const room = await openNatsRoom({ url: server.url("room"), plan: planOf([size]), secret });
  const members: RoomClient[] = [];
  for (let i = 0; i < size; i++)
    members.push(await joinRoom({ url: server.url("room"), secret, name: `rank ${i}`, adapter: "" }));
  const starts = await Promise.all(members.map((member) => member.agree()));
  const leave = () => {
    room.close();
    for (const member of members) member.leave();
  };
  return { starts, leave };
}

/** A start whose signals to some ranks are lost, as if a firewall were between. */
function behind<T extends { signalling: { send(to: number, data: unknown): void; listen: never | object } }>(
  start: T,
  lost: readonly number[],
): T {
  const { signalling } = start;
  const send = (to: number, data: SignalData) => void (lost.includes(to) || signalling.send(to, data));
  return { ...start, signalling: { send, listen: (signalling.listen as () => void).bind(signalling) } };
}

test("ranks that WebRTC does not connect talk through the room, the others do not, and a note says so", async () => {
  const server = await NatsServer.start();
  const { starts, leave } = await started(server, 3);
  const channels: (Channel | undefined)[][] = [];
  try {
    const notes: string[] = [];
    const connecting = starts.map((start) => {
      const lost = start.rank === 0 ? [1] : start.rank === 1 ? [0] : [];
      return connectOrRelay({ start: behind(start, lost), timeoutMs: 3000, note: (text) => notes.push(text) });
    });
    channels.push(...(await Promise.all(connecting)));
    for (const [rank, own] of channels.entries())
      for (const [other, channel] of own.entries()) {
        const relayed = rank + other === 1;
        is(channel instanceof RelayChannel, rank !== other && relayed, `${rank} to ${other}`);
        is(channel instanceof RtcChannel, rank !== other && !relayed, `${rank} to ${other}`);
      }
    is(notes.length, 2);
    match(notes.sort()[0], /^rank 0 and rank 1 talk through the room, which is slower: /);
    const boxes = channels.map((own) => own.map((channel) => channel && inbox(channel)));
    for (const [rank, own] of channels.entries())
      for (const [other, channel] of own.entries()) channel?.send(content(300_000, 10 * rank + other));
    for (const [rank, own] of boxes.entries())
      for (const [other, box] of own.entries()) {
        if (box) await came(box, 1);
        if (box) ok(same(box.messages[0], content(300_000, 10 * other + rank)), `${other} to ${rank}`);
      }
  } finally {
    for (const channel of channels.flat()) channel?.close();
    leave();
    await server.remove();
  }
});

test("a rank that comes neither way is named", async () => {
  const server = await NatsServer.start();
  const { starts, leave } = await started(server, 2);
  const error = await connectOrRelay({ start: starts[1], timeoutMs: 500 }).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  ok(error instanceof CommunicationError, String(error));
  is(error.rank, 0);
  match(error.message, /rank 0.*; nor through the room: it did not come within 0.5 s/);
  leave();
  await server.remove();
});

test.run();

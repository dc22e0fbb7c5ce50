// Rooms on a real NATS server, with what strangers may do who reach it.

import { once } from "node:events";
import { connect as connectSocket, createServer, type Socket } from "node:net";
import { Kvm } from "@nats-io/kv";
import type { Msg } from "@nats-io/nats-core";
import { test } from "uvu";
import { equal, is, match, not, ok, unreachable } from "uvu/assert";
import { joinRoom } from "../../src/cluster/rendezvous/client.ts";
import { RendezvousError } from "../../src/cluster/rendezvous/connection.ts";
import { joinLink, parseLink } from "../../src/cluster/rendezvous/link.ts";
import type { JoinOptions, RoomClient, Start } from "../../src/cluster/rendezvous/membership.ts";
import { parseNatsUrl } from "../../src/cluster/rendezvous/nats-address.ts";
import { type NatsRoomOptions, openNatsRoom } from "../../src/cluster/rendezvous/nats-room.ts";
import { Seal } from "../../src/cluster/rendezvous/nats-seal.ts";
import type { Member } from "../../src/cluster/rendezvous/protocol.ts";
import type { OpenRoom } from "../../src/cluster/rendezvous/server.ts";
import { NatsServer } from "./nats-server.ts";
import { refuses } from "./refusal.ts";
import { planOf, secret } from "./rendezvous-bench.ts";

/** Long enough for a machine that is busy, short enough for a test that waits for silence to be found. */
const silentMs = 1500;

/** Who has joined or made a room: a client whose server is gone would go on trying. */
const rooms: OpenRoom[] = [];
const clients: RoomClient[] = [];
const detours: { cut(): void }[] = [];

/** Runs a test against a server of its own, after which nothing may be left of it. */
async function serving(work: (server: NatsServer) => Promise<void>): Promise<void> {
  const server = await NatsServer.start();
  try {
    await work(server);
  } finally {
    for (const client of clients.splice(0)) client.leave();
    for (const room of rooms.splice(0)) room.close();
    for (const way of detours.splice(0)) way.cut();
    await server.remove();
  }
}

async function open(server: NatsServer, { dims = [2], ...rest }: Partial<NatsRoomOptions> & { dims?: number[] } = {}) {
  const url = server.url("room");
  const limits = { silentMs, settleMs: 300, ...rest.limits };
  const room = await openNatsRoom({ url, plan: planOf(dims), secret, retryMs: 20, ...rest, limits });
  rooms.push(room);
  return room;
}

async function join(server: NatsServer, name: string, change: Partial<JoinOptions> = {}): Promise<RoomClient> {
  const client = await joinRoom({ url: server.url("room"), secret, name, adapter: "none", retryMs: 20, ...change });
  clients.push(client);
  return client;
}

async function until(what: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 1000; i++) {
    if (await what()) return;
    await pause(10);
  }
  unreachable("it did not happen within 10 s");
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function rejects(work: Promise<unknown>, pattern: RegExp): Promise<void> {
  const error = await work.then(
    () => unreachable(`nothing was refused; need ${pattern}`),
    (reason: unknown) => reason,
  );
  ok(error instanceof RendezvousError, String(error));
  match(error.message, pattern);
  is(error.message.includes(secret), false);
}

const ranksOf = (members: readonly Member[]) =>
  members.filter(({ role }) => role === "rank").map(({ name, state }) => `${name} ${state}`);

async function started(members: readonly RoomClient[]): Promise<Start[]> {
  const starts = await Promise.all(members.map((member) => member.agree()));
  return starts.sort((a, b) => a.rank - b.rank);
}

/** A port that leads to another, until it is cut. */
async function detour(port: number) {
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connectSocket(port, "127.0.0.1");
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ]) {
      sockets.add(socket);
      socket.on("error", () => {}).on("close", () => other.destroy());
      socket.pipe(other);
    }
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port: own } = server.address() as { port: number };
  const way = {
    url: `nats://127.0.0.1:${own}/room`,
    /** Nothing comes or goes any more, and nobody is told. */
    stall() {
      for (const socket of sockets) socket.unpipe().pause();
    },
    cut() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
  detours.push(way);
  return way;
}

test("four members join over TCP and WebSocket, see each other, and start with ranks in the order of their numbers; signals reach their rank", () =>
  serving(async (server) => {
    const room = await open(server, { dims: [2, 2] });
    equal(parseLink(room.joinUrl), { url: server.url("room"), secret });
    const members: RoomClient[] = [];
    for (const name of ["Ada", "Ben\u001b[2J", "Cleo", "Dan"])
      members.push(await join(server, name, members.length % 2 ? { url: server.webSocketUrl("room") } : {}));
    equal(members[3].plan, planOf([2, 2]));
    await until(() => members.every((member) => member.members.length === 5));
    for (const member of members) equal(member.members, members[0].members);
    is(new Set(members.map(({ number }) => number)).size, 4);

    const starts = await started([...members].reverse());
    equal(
      starts.map(({ rank, size, dims, members: ranks }) => ({
        rank,
        size,
        dims,
        names: ranks.map(({ name }) => name),
      })),
      [0, 1, 2, 3].map((rank) => ({ rank, size: 4, dims: [2, 2], names: ["Ada", "Ben [2J", "Cleo", "Dan"] })),
    );
    is(new Set(starts.map(({ generation }) => generation)).size, 1);
    const taken: string[] = [];
    for (const { rank, size, signalling } of starts)
      for (let to = 0; to < size; to++) if (to !== rank) signalling.send(to, { text: `from ${rank}\r\n"\u4e00` });
    await pause(100);
    for (const { rank, signalling } of starts)
      signalling.listen((from, data) => taken.push(`${from} to ${rank}: ${JSON.stringify(data)}`));
    await until(() => taken.length === 12);
    for (const from of [0, 1, 2, 3])
      for (const to of [0, 1, 2, 3])
        is(taken.includes(`${from} to ${to}: {"text":"from ${from}\\r\\n\\"\u4e00"}`), from !== to);
  }));

test("with a wrong secret nobody gets in, and what strangers overhear says nothing", () =>
  serving(async (server) => {
    await open(server);
    const stranger = await server.stranger();
    const heard: Uint8Array[] = [];
    stranger.subscribe(">", { callback: (_, { data }) => void heard.push(data.slice()) });
    await stranger.flush();
    const ada = await join(server, "Ada-of-the-room", { adapter: "a GPU of hers" });
    const before = JSON.stringify(ada.members);
    await rejects(
      joinRoom({ url: server.url("room"), secret: "x".repeat(20), name: "Eve", adapter: "" }),
      /secret is wrong/,
    );
    await rejects(joinRoom({ url: server.url("room"), secret: "", name: "Eve", adapter: "" }), /secret is wrong/);
    const [first, second] = await started([ada, await join(server, "Ben")]);
    first.signalling.send(1, "overhear-this");
    await new Promise((resolve) => second.signalling.listen(resolve));
    is(before.includes("Eve") || JSON.stringify(ada.members).includes("Eve"), false);
    const all = Buffer.concat(heard).toString("latin1");
    for (const word of ["Ada-of-the-room", "GPU", "trains", "overhear-this", secret, '"kind"'])
      is(all.includes(word), false, `a stranger reads ${word}`);
    ok(heard.length > 10, "the stranger heard something");
    await stranger.close();
  }));

test("forged messages and entries change nothing: garbage, another secret's, and the right one's for another subject", () =>
  serving(async (server) => {
    await open(server);
    const [ada, ben] = [await join(server, "Ada"), await join(server, "Ben")];
    const [first, second] = await started([ada, ben]);
    const taken: unknown[] = [];
    first.signalling.listen((_, data) => taken.push(data));
    second.signalling.listen((_, data) => taken.push(data));
    const stranger = await server.stranger();
    const subjects = new Set<string>();
    const store = await new Kvm(stranger).open("shardgrad-room");
    for await (const key of await store.keys()) subjects.add(`shardgrad.room.to.${key}`);
    is(subjects.size, 3);
    const members = () => JSON.stringify([ada.members, ben.members]);
    const before = members();

    const other = await Seal.of({ secret: "another-secret-of-20", room: "room" });
    const own = await Seal.of({ secret, room: "room" });
    const [from] = [...subjects].map((subject) => subject.split(".")[3]);
    const { generation } = first;
    const letters = [
      { kind: "bye" },
      { kind: "tell", text: JSON.stringify({ kind: "dropped", reason: "forged", final: true }) },
      { kind: "peer", text: JSON.stringify({ kind: "over", generation, reason: "forged" }) },
      ...[0, 1].map((rank) => ({
        kind: "peer",
        text: JSON.stringify({ kind: "signal", generation, from: rank, data: '"forged"' }),
      })),
    ].map((letter) => new TextEncoder().encode(JSON.stringify({ text: "", ids: [], from, sequence: 1e9, ...letter })));
    for (const subject of subjects)
      for (const bytes of letters) {
        stranger.publish(subject, bytes);
        stranger.publish(subject, await other.close(bytes, subject));
        stranger.publish(subject, await own.close(bytes, `${subject}x`));
        stranger.publish(subject, new Uint8Array(5));
        stranger.publish(subject, new Uint8Array(900_000));
      }
    for (const subject of subjects) {
      const id = subject.split(".")[3];
      const entry = { id, number: 1, sequence: 1e9, planned: true, join: "{}" };
      const bytes = new TextEncoder().encode(JSON.stringify(entry));
      await store.put(id, await other.close(bytes, `shardgrad.room.entry.${id}`));
      await store.put("AAAAAAAAAAAAAAAAAAAAAA", bytes);
      await store.put(`stranger.${id}`, "x");
      await store.delete(id);
    }
    await stranger.flush();
    await pause(300);
    first.signalling.send(1, "honest");
    await until(() => taken.length > 0);
    equal(taken, ["honest"]);
    is(members(), before);
    is(first.over.aborted || second.over.aborted, false);
    await stranger.close();
  }));

test("replayed messages and entries change nothing: a signal comes once, an ended run does not end the next, who has left stays away", () =>
  serving(async (server) => {
    await open(server);
    const stranger = await server.stranger();
    const recorded: { subject: string; data: Uint8Array }[] = [];
    const record = (_: unknown, { subject, data }: Msg) => {
      if (!subject.startsWith("_") && data.length > 0) recorded.push({ subject, data: data.slice() });
    };
    stranger.subscribe("shardgrad.>", { callback: record });
    stranger.subscribe("$KV.>", { callback: record });
    await stranger.flush();
    const [ada, ben] = [await join(server, "Ada"), await join(server, "Ben")];
    const cleo = await join(server, "Cleo");
    const [first, second] = await started([ada, ben]);
    const taken: unknown[] = [];
    second.signalling.listen((_, data) => taken.push(data));
    first.signalling.send(1, "once");
    await until(() => taken.length === 1);
    cleo.leave();
    await until(() => ranksOf(ada.members).length === 2);
    first.end("enough");
    await new Promise((resolve) => second.over.addEventListener("abort", resolve));
    const [third, fourth] = await started([ada, ben]);
    fourth.signalling.listen((_, data) => taken.push(data));

    const { length } = recorded;
    for (const { subject, data } of recorded.slice(0, length)) stranger.publish(subject, data);
    await stranger.flush();
    await pause(300);
    // A newcomer has heard nothing of what was there before.
    const dan = await join(server, "Dan");
    for (const { subject, data } of recorded.slice(0, length)) stranger.publish(subject, data);
    await stranger.flush();
    third.signalling.send(1, "fresh");
    await until(() => taken.length >= 2);
    await pause(300);
    equal(taken, ["once", "fresh"]);
    is(third.over.aborted || fourth.over.aborted, false);
    equal(ranksOf(dan.members), ["Ada running", "Ben running", "Dan here"]);
    equal(ranksOf(ada.members), ["Ada running", "Ben running", "Dan here"]);
    await stranger.close();
  }));

test("a member that is killed is told to all others within the bound, and the store forgets it", () =>
  serving(async (server) => {
    const room = await open(server);
    const way = await detour(server.port);
    const left: string[] = [];
    const ada = await join(server, "Ada", { events: { left: ({ name }, reason) => left.push(`${name} ${reason}`) } });
    const lost: Error[] = [];
    const ben = await join(server, "Ben", { url: way.url, retries: 1, events: { lost: (error) => lost.push(error) } });
    const [first] = await started([ada, ben]);
    way.cut();
    await until(() => left.length > 0);
    equal(left, ["Ben has not been heard of for 1.5 s"]);
    is(first.over.aborted, false, "a mesh knows better");
    equal(ranksOf(room.members), ["Ada running"]);
    await until(() => lost.length > 0);
    match(lost[0].message, /tried 1 times; join again/);
    await rejects(ben.agree(), /tried 1 times/);
    const stranger = await server.stranger();
    const store = await new Kvm(stranger).open("shardgrad-room");
    const entries = async () => (await store.status()).values;
    await until(async () => (await entries()) === 2);
    ada.leave();
    room.close();
    await until(async () => (await entries()) === 0);
    await stranger.close();
  }));

test("a member that stalls is dropped; when it goes on, it is there again under another number", () =>
  serving(async (server) => {
    await open(server);
    const way = await detour(server.port);
    const ada = await join(server, "Ada");
    const ben = await join(server, "Ben", { url: way.url, retries: 1 });
    const { number } = ben;
    way.stall();
    await until(() => ranksOf(ada.members).length === 1);
    way.cut();
    const again = await join(server, "Ben");
    ok(again.number > number);
    await until(() => ranksOf(ada.members).join() === "Ada here,Ben here");
  }));

test("who leads is killed, or leaves: the next does it, runs go on, and the others start again", () =>
  serving(async (server) => {
    const room = await open(server);
    const way = await detour(server.port);
    await join(server, "Ada", { url: way.url, retries: 0 });
    const [ben, cleo] = [await join(server, "Ben"), await join(server, "Cleo")];
    const [first, second] = await started([ben, cleo]);
    room.close();
    // Ada leads.
    await until(() => cleo.members.length === 3);
    const agreed = started([ben, cleo]);
    is(first.over.aborted || second.over.aborted, false);
    const [third] = await agreed;
    ok(third.generation > first.generation);
    equal(
      third.members.map(({ name }) => name),
      ["Ben", "Cleo"],
    );
    way.cut();
    await until(() => cleo.members.length === 2);
    const dan = await join(server, "Dan");
    equal(dan.plan, planOf([2]));
    equal(ranksOf(dan.members), ["Ben running", "Cleo running", "Dan here"]);
    cleo.leave();
    const [fifth] = await started([ben, dan]);
    ok(fifth.generation > third.generation);
    equal(
      fifth.members.map(({ name }) => name),
      ["Ben", "Dan"],
    );
  }));

test("a rank that ends a run ends it for all, with its reason, whoever leads by then", () =>
  serving(async (server) => {
    const room = await open(server);
    const [ada, ben] = [await join(server, "Ada"), await join(server, "Ben")];
    const [first, second] = await started([ada, ben]);
    room.close();
    await until(() => ben.members.length === 2);
    second.end("its device was lost");
    await new Promise((resolve) => first.over.addEventListener("abort", resolve));
    match(String(first.over.reason), /the run has ended: rank 1: its device was lost/);
    is(second.over.aborted, false);
    ok((await started([ada, ben]))[0].generation > first.generation);
  }));

test("a server that restarts: meshes go on, members come back, and start again", () =>
  serving(async (server) => {
    const notes: string[] = [];
    const room = await open(server);
    const ada = await join(server, "Ada", { events: { note: (text) => notes.push(text) } });
    const ben = await join(server, "Ben", { url: server.webSocketUrl("room") });
    const cleo = await join(server, "Cleo");
    const [first] = await started([ada, ben]);
    const waiting = cleo.agree();
    const { number } = ada;
    await server.stop();
    await until(() => notes.length > 0);
    await server.start();
    await until(() => notes.includes("in the room again"));
    ok(ada.number > number);
    await until(() => ranksOf(room.members).sort().join() === "Ada running,Ben running,Cleo agreed");
    is(first.over.aborted, false);
    ada.leave();
    const [again, late] = await Promise.all([ben.agree(), waiting]);
    ok(again.generation > first.generation);
    is(again.generation, late.generation);
    equal(again.members.map(({ name }) => name).sort(), ["Ben", "Cleo"]);
    again.signalling.send(late.rank, "hello");
    is(await new Promise((resolve) => late.signalling.listen((_, data) => resolve(data))), "hello");
  }));

test("a server that does not come back is given up after so many tries, and waiting ends with an error", () =>
  serving(async (server) => {
    const lost: Error[] = [];
    await open(server, { retries: 2, lost: (error) => lost.push(error) });
    const ada = await join(server, "Ada", { retries: 2, events: { lost: (error) => lost.push(error) } });
    const waiting = ada.agree();
    await server.stop();
    await rejects(waiting, /is lost: .*; tried 2 times; join again/);
    await until(() => lost.length === 2);
    await rejects(
      joinRoom({ url: server.url("room"), secret, name: "late", adapter: "" }),
      /no NATS server lets this member in/,
    );
  }));

test("rooms beside each other know nothing of each other, even with one secret", () =>
  serving(async (server) => {
    await open(server);
    await open(server, { url: server.url("other"), plan: planOf([1]) });
    const [ada, ben] = [await join(server, "Ada"), await join(server, "Ben", { url: server.url("other") })];
    is((await ben.agree()).size, 1);
    equal(ranksOf(ada.members), ["Ada here"]);
    await until(() => ranksOf(ben.members).join() === "Ben running");
    // What is said in one is for nobody in the other.
    const [one, other] = [await Seal.of({ secret, room: "room" }), await Seal.of({ secret, room: "other" })];
    const sealed = await one.close(new Uint8Array(3), "subject");
    is(await other.open(sealed, "subject"), undefined);
    equal(await one.open(sealed, "subject"), new Uint8Array(3));
    await rejects(
      joinRoom({ url: server.url("third"), secret, name: "Eve", adapter: "" }),
      /there is no room third .*; open it first/,
    );
    await rejects(openNatsRoom({ url: server.url("room"), plan: planOf([2]), secret }), /there is such a room already/);
    equal(ranksOf(ada.members), ["Ada here"]);
  }));

test("another plan has to be agreed to anew, and newcomers are told of it", () =>
  serving(async (server) => {
    const room = await open(server);
    const ada = await join(server, "Ada");
    const waiting = ada.agree();
    await until(() => ranksOf(room.members).join() === "Ada agreed");
    room.propose(planOf([1]));
    await rejects(waiting, /runs something else now/);
    equal((await join(server, "Ben")).plan, planOf([1]));
    is((await ada.agree()).size, 1);
    room.close();
    await until(() => ada.members.length === 2);
    equal((await join(server, "Cleo")).plan, planOf([1]));
  }));

test("a full room lets nobody in, and a member that is not ready is not waited for", () =>
  serving(async (server) => {
    await open(server, { limits: { members: 3, readyMs: 100, readyAttempts: 2, silentMs } });
    const ada = await join(server, "Ada");
    const ben = await join(server, "Ben", { prepare: () => new Promise(() => undefined) });
    await rejects(
      joinRoom({ url: server.url("room"), secret, name: "Cleo", adapter: "" }),
      /the room is full: it has 3 members/,
    );
    const waiting = ada.agree();
    await rejects(ben.agree(), /was not ready within 0.2 s, asked 2 times/);
    ben.leave();
    await until(() => ada.members.length === 2);
    const [start] = await Promise.all([waiting, (await join(server, "Cleo")).agree()]);
    equal(
      start.members.map(({ name }) => name),
      ["Ada", "Cleo"],
    );
  }));

test("an expired link lets nobody in, whoever leads by then; who is inside stays, and comes back", () =>
  serving(async (server) => {
    const room = await open(server, { expiresInMs: 3000 });
    const expired = pause(3000);
    const ada = await join(server, "Ada");
    await expired;
    const late = () => joinRoom({ url: server.url("room"), secret, name: "Eve", adapter: "" });
    await rejects(late(), /the link has expired; ask for a new one/);
    room.close();
    await until(() => ada.members.length === 1);
    await rejects(late(), /the link has expired; ask for a new one/);
    const { number } = ada;
    await server.stop();
    await server.start();
    await until(() => ada.number > number);
    await rejects(late(), /the link has expired; ask for a new one/);
    equal(ranksOf(ada.members), ["Ada here"]);
  }));

test("a store that strangers delete is made again", () =>
  serving(async (server) => {
    await open(server, { dims: [1] });
    const ada = await join(server, "Ada");
    const start = await ada.agree();
    const stranger = await server.stranger();
    const store = await new Kvm(stranger).open("shardgrad-room");
    await store.destroy();
    await stranger.close();
    await until(() =>
      joinRoom({ url: server.url("room"), secret, name: "Ben", adapter: "" }).then(
        (ben) => {
          clients.push(ben);
          return true;
        },
        () => false,
      ),
    );
    await until(() => ranksOf(ada.members).sort().join() === "Ada running,Ben here");
    is(start.over.aborted, false);
  }));

test("addresses of rooms on NATS: parts, logins, and a sentence for what is none", () => {
  const { server, host, room, login, overWebSocket } = parseNatsUrl("nats://me:p%40ss@example.org:4222/a-room");
  equal(
    { server, host, room, login, overWebSocket },
    {
      ...{ server: "nats://example.org:4222", host: "example.org:4222", room: "a-room", overWebSocket: false },
      login: { user: "me", pass: "p@ss" },
    },
  );
  equal(parseNatsUrl("nats://token@h/r").login, { token: "token" });
  equal(parseNatsUrl("nats+wss://h:443/r").server, "wss://h:443");
  is(parseNatsUrl("nats+ws://h:80/r").overWebSocket, true);
  equal(parseLink(joinLink({ url: "nats://h:4222/r", secret })), { url: "nats://h:4222/r", secret });
  for (const url of ["nats:", "nats://", "http://h/r", "nats+http://h/r", "x"])
    refuses(() => parseNatsUrl(url), /need nats:/);
  for (const url of [
    "nats://h",
    "nats://h/",
    "nats://h/A",
    "nats://h/a/b",
    "nats://h/a.b",
    `nats://h/${"a".repeat(41)}`,
  ])
    refuses(() => parseNatsUrl(url), /without a room's name/);
  not.match(JSON.stringify(parseNatsUrl("nats://me:pass@h/r").host), /pass/);
});

test.run();

// Rooms on a real NATS server, and what strangers may do who reach it.

import { Kvm } from "@nats-io/kv";
import type { Msg } from "@nats-io/nats-core";
import { test } from "uvu";
import { equal, is, match, ok } from "uvu/assert";
import { joinRoom } from "../../src/cluster/rendezvous/client.ts";
import { defaultLimits } from "../../src/cluster/rendezvous/limits.ts";
import { parseNatsUrl } from "../../src/cluster/rendezvous/nats-address.ts";
import { Seal } from "../../src/cluster/rendezvous/nats-seal.ts";
import { NatsSession } from "../../src/cluster/rendezvous/nats-session.ts";
import type { FromRoom } from "../../src/cluster/rendezvous/protocol.ts";
import {
  clients,
  idsIn,
  join,
  open,
  pause,
  ranksOf,
  rejects,
  serving,
  silentMs,
  started,
  until,
} from "./nats-bench.ts";
import type { NatsServer } from "./nats-server.ts";
import { secret } from "./rendezvous-bench.ts";

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
    const subjects = (await idsIn(stranger)).map((id) => `shardgrad.room.to.${id}`);
    is(subjects.length, 3);
    const members = () => JSON.stringify([ada.members, ben.members]);
    await until(() => [ada, ben].every((each) => ranksOf(each.members).join() === "Ada running,Ben running"));
    const before = members();

    const other = await Seal.of({ secret: "another-secret-of-20", room: "room" });
    const own = await Seal.of({ secret, room: "room" });
    const [from] = subjects.map((subject) => subject.split(".")[3]);
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
    const store = await new Kvm(stranger).open("shardgrad-room");
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

/** A member of the room's own making, that agrees to what it is told, and can say what no client says. */
async function misbehaving(server: NatsServer) {
  const address = parseNatsUrl(server.url("room"));
  const seal = await Seal.of({ secret, room: "room" });
  const told: FromRoom[] = [];
  const lost: string[] = [];
  const session = await NatsSession.open({
    ...{ address, seal, limits: defaultLimits, silentMs },
    memory: { plan: undefined, expiresMs: undefined, generation: 0, before: undefined, founds: false },
    listener: {
      join: () => ({ kind: "join", secret, name: "Eve", adapter: "", role: "rank", running: 0 }),
      message(message) {
        told.push(message);
        if (message.kind === "welcome") session.send({ kind: "agree", plan: message.planNumber });
        if (message.kind === "prepare") session.send({ kind: "ready", generation: message.generation });
      },
      lost: (reason) => lost.push(reason),
    },
  });
  const connection = await server.stranger();
  let sequence = 1e6;
  /** Sealed with the right secret, in its own name. */
  const letter = async (to: string, fields: object) => {
    const bytes = new TextEncoder().encode(
      JSON.stringify({ text: "", ids: [], from: session.id, sequence: ++sequence, ...fields }),
    );
    const subject = `shardgrad.room.to.${to}`;
    connection.publish(subject, await seal.close(bytes, subject));
  };
  return { session, told, lost, letter, connection };
}

test("a rank with the secret cannot be another rank, nor lead; what it says of other runs, or without sense, is nothing", () =>
  serving(async (server) => {
    const room = await open(server, { dims: [3] });
    const [ada, ben] = [await join(server, "Ada"), await join(server, "Ben")];
    const eve = await misbehaving(server);
    const [first, second] = await started([ada, ben]);
    await until(() => eve.told.some(({ kind }) => kind === "start"));
    await until(() => ranksOf(ada.members).join() === "Ada running,Ben running,Eve running");
    const { generation } = first;
    const taken: unknown[] = [];
    for (const { rank, signalling } of [first, second])
      signalling.listen((from, data) => taken.push(`${from} to ${rank}: ${data}`));
    const ids = await idsIn(eve.connection);
    const signal = (change: object) => ({
      kind: "peer",
      text: JSON.stringify({ kind: "signal", generation, from: 2, data: '"x"', ...change }),
    });
    const tell = (message: object) => ({ kind: "tell", text: JSON.stringify(message) });
    const letters = [
      ...[0, 1, 3, 63].map((from) => signal({ from })),
      ...[generation - 1, generation + 1].map((other) => signal({ generation: other })),
      signal({ data: `"${"x".repeat(20_000)}"` }),
      signal({ data: "" }),
      { kind: "peer", text: JSON.stringify({ kind: "over", generation: generation - 1, reason: "an earlier run" }) },
      { kind: "peer", text: JSON.stringify({ kind: "start", generation: generation + 1, rank: 0, ranks: [1, 2, 3] }) },
      tell({ kind: "over", generation, reason: "it does not lead" }),
      tell({ kind: "dropped", reason: "it does not lead", final: true }),
      tell({ kind: "left", number: ada.number, reason: "it does not lead" }),
      ...["", "{", "null", '{"kind":"__proto__"}', '{"__proto__":{"kind":"over"}}'].flatMap((text) =>
        ["peer", "tell", "propose"].map((kind) => ({ kind, text })),
      ),
      { kind: "constructor" },
      { kind: "bye", from: "nobody" },
      { kind: "peer", ids: "all" },
      { kind: "peer", text: 1 },
    ];
    for (const id of ids) if (id !== eve.session.id) for (const each of letters) await eve.letter(id, each);
    for (const id of ids) await eve.letter(id, signal({ data: '"its own"' }));
    await until(() => taken.length >= 2);
    await pause(200);
    equal(taken.sort(), ["2 to 0: its own", "2 to 1: its own"]);
    is(first.over.aborted || second.over.aborted, false);
    equal(ranksOf(ada.members), ["Ada running", "Ben running", "Eve running"]);
    is(ada.plan.about, ben.plan.about);

    // What the leader is asked has to make sense.
    for (const id of ids) await eve.letter(id, { kind: "ask", text: '{"kind":"agree","plan":"MARK"}' });
    await until(() => eve.lost.length > 0);
    equal(eve.lost, ["sent what is not understood: plan is no whole number from 1 to 9007199254740991"]);
    await until(() => ranksOf(room.members).length === 2);
    await eve.connection.close();
  }));

test("who asks for too much, or at too great length, is dropped, and nobody else", () =>
  serving(async (server) => {
    const limits = { silentMs, messages: { perSecond: 1, burst: 50 } };
    await open(server, { dims: [3], limits });
    const ada = await join(server, "Ada");
    for (const [says, texts] of [
      [/a message has 70000 characters, at most 65536/, ["x".repeat(70_000)]],
      [/more than 1 messages a second/, new Array<string>(60).fill('{"kind":"ready","generation":1}')],
    ] as const) {
      const eve = await misbehaving(server);
      await until(() => ranksOf(ada.members).length === 2);
      for (const id of await idsIn(eve.connection))
        for (const text of texts) await eve.letter(id, { kind: "ask", text });
      await until(() => eve.lost.length > 0);
      match(eve.lost[0], says);
      await until(() => ranksOf(ada.members).join() === "Ada here");
      await eve.connection.close();
    }
  }));

test.run();

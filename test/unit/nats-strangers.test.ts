// Rooms on a real NATS server, and what strangers may do who reach it.

import { Kvm } from "@nats-io/kv";
import type { Msg } from "@nats-io/nats-core";
import { test } from "uvu";
import { equal, is, ok } from "uvu/assert";
import { joinRoom } from "../../src/cluster/rendezvous/client.ts";
import { Seal } from "../../src/cluster/rendezvous/nats-seal.ts";
import { clients, join, open, pause, ranksOf, rejects, serving, started, until } from "./nats-bench.ts";
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

test.run();

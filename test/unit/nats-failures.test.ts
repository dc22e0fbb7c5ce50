// Rooms on a real NATS server, when members, those who lead, or the server itself are gone.

import { Kvm } from "@nats-io/kv";
import { test } from "uvu";
import { equal, is, match, ok, unreachable } from "uvu/assert";
import { joinRoom } from "../../src/cluster/rendezvous/client.ts";
import { NatsRoomConnection } from "../../src/cluster/rendezvous/nats.ts";
import { newId } from "../../src/cluster/rendezvous/nats-letters.ts";
import { entryText } from "../../src/cluster/rendezvous/nats-roster.ts";
import { Seal } from "../../src/cluster/rendezvous/nats-seal.ts";
import { detour, idsIn, join, open, ranksOf, rejects, serving, started, until } from "./nats-bench.ts";
import { planOf, secret } from "./rendezvous-bench.ts";

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

test("who leaves while nobody has answered yet waits for nobody", () =>
  serving(async (server) => {
    const stranger = await server.stranger();
    const store = await new Kvm(stranger).create("shardgrad-room", { ttl: 60_000, history: 1 });
    // A member that says nothing: it is waited for.
    const id = newId();
    const join = { kind: "join", secret: "", name: "Ada", adapter: "", role: "rank", running: 0 } as const;
    const entry = new TextEncoder().encode(entryText({ id, number: 1, sequence: 1, planned: true, join }));
    const seal = await Seal.of({ secret, room: "room" });
    await store.put(id, await seal.close(entry, `shardgrad.room.entry.${id}`));
    const never = () => unreachable("it is told of something");
    const connection = new NatsRoomConnection(
      { url: server.url("room"), secret, retries: 0, retryMs: 20 },
      { join: () => join, welcome: never, message: never, note: never, lost: never },
    );
    const opening = connection.open();
    opening.catch(() => undefined);
    await until(async () => (await idsIn(stranger)).length === 2);
    connection.close();
    await rejects(opening, /does not let this member in: it has left/);
    await stranger.close();
  }));

test.run();

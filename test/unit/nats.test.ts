// Rooms on a real NATS server: who is there, what they start, and that each room is apart.

import { test } from "uvu";
import { equal, is, match, not, ok } from "uvu/assert";
import { joinRoom } from "../../src/cluster/rendezvous/client.ts";
import { joinLink, parseLink } from "../../src/cluster/rendezvous/link.ts";
import type { RoomClient } from "../../src/cluster/rendezvous/membership.ts";
import { parseNatsUrl } from "../../src/cluster/rendezvous/nats-address.ts";
import { openNatsRoom } from "../../src/cluster/rendezvous/nats-room.ts";
import { Seal } from "../../src/cluster/rendezvous/nats-seal.ts";
import { join, open, pause, ranksOf, rejects, serving, silentMs, started, until } from "./nats-bench.ts";
import { refuses } from "./refusal.ts";
import { planOf, secret } from "./rendezvous-bench.ts";

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

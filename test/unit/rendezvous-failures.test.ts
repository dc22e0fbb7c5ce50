// Rooms behind a real server, when members or the server are gone.

import { once } from "node:events";
import { connect as connectSocket } from "node:net";
import { test } from "uvu";
import { equal, is, match, ok } from "uvu/assert";
import type { RoomClient } from "../../src/cluster/rendezvous/membership.ts";
import { startRendezvous } from "../../src/cluster/rendezvous/server.ts";
import { planOf, secret } from "./rendezvous-bench.ts";
import { hello, join, leave, quick, rejects, serving, states, stranger, until } from "./rendezvous-server.ts";

test("a member whose connection is cut is told to all others, with its rank; the mesh goes on", () =>
  serving({ dims: [2] }, async (rendezvous) => {
    const left: string[] = [];
    const ada = await join(rendezvous, "Ada", {
      events: { left: ({ name, rank }, reason) => left.push(`${name} ${rank}: ${reason}`) },
    });
    const eve = await stranger(rendezvous);
    eve.socket.on("message", (data) => {
      const message = JSON.parse(String(data));
      if (message.kind === "welcome") eve.socket.send(JSON.stringify({ kind: "agree", plan: 1 }));
      if (message.kind !== "prepare") return;
      eve.socket.send(JSON.stringify({ kind: "ready", generation: message.generation }));
    });
    eve.socket.send(JSON.stringify(hello));
    const start = await ada.agree();
    is(start.size, 2);
    await until(() => ada.members.every(({ state }) => state === "running"));
    eve.socket.terminate();
    await until(() => left.length > 0);
    equal(left, ["Eve 1: its connection broke"]);
    is(start.over.aborted, false);
    start.signalling.send(1, "to nobody");
    equal(states(rendezvous.members), ["Ada running"]);
  }));

test("a member that stops answering is dropped and told to all others", () =>
  serving({ dims: [2], limits: quick }, async (rendezvous) => {
    const left: string[] = [];
    const ada = await join(rendezvous, "Ada", {
      events: { left: ({ name }, reason) => left.push(`${name}: ${reason}`) },
    });
    const eve = await stranger(rendezvous);
    eve.socket.send(JSON.stringify(hello));
    await until(() => ada.members.length === 2);
    await until(() => left.length > 0);
    equal(left, ["Eve: has not answered for 0.2 s"]);
    await eve.closed;
    equal(states(rendezvous.members), ["Ada here"]);
  }));

test("a rendezvous that restarts: a mesh goes on, members come back, and start again", async () => {
  const options = { host: "127.0.0.1", plan: planOf([2]), secret };
  const first = await startRendezvous({ ...options, port: 0 });
  const notes: string[] = [];
  const members = await Promise.all(
    ["Ada", "Ben"].map((name) => join(first, name, { events: { note: (text) => notes.push(text) } })),
  );
  const starts = await Promise.all(members.map((each) => each.agree()));
  const waiting = await join(first, "Cleo");
  const third = waiting.agree();
  await first.close();
  await until(() => notes.length === 2);
  match(notes[0], /the room at .* is lost: the rendezvous has ended; trying again/);
  starts[0].signalling.send(1 - starts[0].rank, "lost");
  match(notes[2], /a signal to rank \d is lost: the room cannot be reached/);
  const second = await startRendezvous({ ...options, port: Number(new URL(first.url).port) });
  try {
    await until(() => second.members.length === 3);
    ok(starts.every(({ over }) => !over.aborted));
    const expected = ["Ada running", "Ben running", "Cleo agreed"];
    await until(() => states(second.members).sort().join() === expected.join());
    starts[0].end("done");
    const again = members[0].agree();
    members[1].leave();
    const restarted = await Promise.all([again, third]);
    equal(new Set(restarted.map(({ rank }) => rank)), new Set([0, 1]));
    ok(restarted[0].generation > starts[0].generation);
  } finally {
    leave();
    await second.close();
  }
});

test("a rendezvous that does not come back is given up after so many tries, and waiting ends with an error", async () => {
  const rendezvous = await startRendezvous({ host: "127.0.0.1", port: 0, plan: planOf([2]), secret });
  const lost: string[] = [];
  const ada = await join(rendezvous, "Ada", { retries: 2, events: { lost: ({ message }) => lost.push(message) } });
  const start = ada.agree();
  await rendezvous.close();
  await rejects(start, /the room at .* is lost: the rendezvous has ended; tried 2 times; join again to take part/);
  is(lost.length, 1);
  await rejects(ada.agree(), /tried 2 times/);
  await rejects(join(rendezvous, "Ben"), /no room answers at .*ECONNREFUSED.*start `shardgrad serve` there/);
});

test("closing ends every connection and frees the port, with strangers, idle sockets and half-read pages about", async () => {
  const options = { host: "127.0.0.1", plan: planOf([2]), secret };
  const rendezvous = await startRendezvous({ ...options, port: 0 });
  const port = Number(new URL(rendezvous.url).port);
  const taken = await startRendezvous({ ...options, port }).catch((error: Error) => error.message);
  match(String(taken), /port \d+ of 127.0.0.1 is taken; use another --port, or 0 for any/);
  const idle = connectSocket(port, "127.0.0.1");
  idle.on("error", () => {});
  await once(idle, "connect");
  const half = connectSocket(port, "127.0.0.1");
  half.on("error", () => {});
  half.write("GET / HTTP/1.1\r\nHost:");
  const waiting = await stranger(rendezvous);
  const deaf = await stranger(rendezvous);
  deaf.socket.pause();
  const ada: RoomClient = await join(rendezvous, "Ada", { retries: 0 });
  await rendezvous.close();
  await waiting.closed;
  await rejects(
    ada.agree().then(() => ada),
    /the rendezvous has ended|is lost/,
  );
  const again = await startRendezvous({ ...options, port });
  await again.close();
  deaf.socket.terminate();
  for (const socket of [idle, half]) socket.destroy();
});

test.run();

// Rooms behind a real server, over real sockets.

import { once } from "node:events";
import { connect as connectSocket, type Socket } from "node:net";
import { test } from "uvu";
import { equal, is, match, not, ok, unreachable } from "uvu/assert";
import { WebSocket } from "ws";
import { joinRoom } from "../../src/cluster/rendezvous/client.ts";
import { RendezvousError } from "../../src/cluster/rendezvous/connection.ts";
import { parseLink } from "../../src/cluster/rendezvous/link.ts";
import type { JoinOptions, RoomClient } from "../../src/cluster/rendezvous/membership.ts";
import type { Member } from "../../src/cluster/rendezvous/protocol.ts";
import { type Rendezvous, type RendezvousOptions, startRendezvous } from "../../src/cluster/rendezvous/server.ts";
import { planOf, secret } from "./rendezvous-bench.ts";

/** Pings often enough for a test that waits for silence to be found. */
const quick = { pingMs: 30, silentMs: 200, readyMs: 100, settleMs: 100 };

/** Runs a test against a server of its own, after which nothing may be left of it. */
async function serving(
  options: Partial<RendezvousOptions> & { dims: number[] },
  work: (rendezvous: Rendezvous) => Promise<void>,
): Promise<void> {
  const { dims, ...rest } = options;
  const rendezvous = await startRendezvous({ host: "127.0.0.1", port: 0, plan: planOf(dims), secret, ...rest });
  try {
    await work(rendezvous);
  } finally {
    leave();
    await rendezvous.close();
  }
}

/** Who has joined: a client whose room is gone would go on trying. */
const clients: RoomClient[] = [];
const leave = () => {
  for (const client of clients.splice(0)) client.leave();
};

async function join(
  { joinUrl }: { joinUrl: string },
  name: string,
  change: Partial<JoinOptions> = {},
): Promise<RoomClient> {
  const client = await joinRoom({ ...parseLink(joinUrl), name, adapter: "none", retryMs: 20, ...change });
  clients.push(client);
  return client;
}

/** A bare WebSocket that keeps what it was told. */
async function stranger({ url }: Rendezvous, options: object = {}): Promise<Stranger> {
  const socket = new WebSocket(url.replace("http", "ws"), options);
  const closed = new Promise<{ code: number }>((resolve) => socket.on("close", (code) => resolve({ code })));
  const told: Record<string, unknown>[] = [];
  socket.on("message", (data) => told.push(JSON.parse(String(data))));
  socket.on("error", () => {});
  await once(socket, "open");
  return { socket, closed, told };
}

interface Stranger {
  socket: WebSocket;
  closed: Promise<{ code: number }>;
  told: Record<string, unknown>[];
}

const hello = { kind: "join", secret, name: "Eve", adapter: "", role: "rank", running: 0 };

async function until(what: () => boolean): Promise<void> {
  for (let i = 0; i < 500; i++) {
    if (what()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  unreachable("it did not happen within 5 s");
}

async function rejects(work: Promise<unknown>, pattern: RegExp): Promise<void> {
  const error = await work.then(
    () => unreachable(`nothing was refused; need ${pattern}`),
    (reason: unknown) => reason,
  );
  ok(error instanceof RendezvousError, String(error));
  match(error.message, pattern);
  is(error.message.includes(secret), false);
}

const states = (members: readonly Member[]) => members.map(({ name, state }) => `${name} ${state}`);

test("members join, see each other, agree, and start with ranks in the order of joining", () =>
  serving({ dims: [2] }, async (rendezvous) => {
    const heard: string[][] = [];
    const ada = await join(rendezvous, "Ada", { events: { members: (members) => heard.push(states(members)) } });
    const ben = await join(rendezvous, "Ben\u001b[2J");
    equal(ada.plan, planOf([2]));
    await until(() => ada.members.length === 2);
    equal(ada.members, ben.members);
    const starts = await Promise.all([ben.agree(), ada.agree()].reverse());
    equal(
      starts.map(({ rank, size, layout, dims, program, options, members }) => {
        return { rank, size, layout, dims, program, options, names: members.map(({ name }) => name) };
      }),
      [0, 1].map((rank) => ({
        ...{ rank, size: 2, layout: "1d", dims: [2], program: "train", options: "{}", names: ["Ada", "Ben [2J"] },
      })),
    );
    is(starts[0].generation, starts[1].generation);
    await until(() => heard.at(-1)?.join() === "Ada running,Ben [2J running");
  }));

test("signals reach the rank they are for, with what JSON can say, and wait until somebody listens", () =>
  serving({ dims: [3] }, async (rendezvous) => {
    const members = await Promise.all(["a", "b", "c"].map((name) => join(rendezvous, name)));
    const starts = await Promise.all(members.map((member) => member.agree()));
    const byRank = starts.sort((a, b) => a.rank - b.rank);
    const taken: { at: number; from: number; data: unknown }[] = [];
    byRank[0].signalling.send(2, { sdp: 'v=0\r\n"\u4e00', list: [1, null] });
    byRank[0].signalling.send(2, "second");
    byRank[1].signalling.send(2, "third");
    await new Promise((resolve) => setTimeout(resolve, 50));
    for (const { rank, signalling } of byRank) signalling.listen((from, data) => taken.push({ at: rank, from, data }));
    byRank[2].signalling.send(0, "back");
    await until(() => taken.length === 4);
    equal(
      taken.filter(({ from }) => from === 0),
      [
        { at: 2, from: 0, data: { sdp: 'v=0\r\n"\u4e00', list: [1, null] } },
        { at: 2, from: 0, data: "second" },
      ],
    );
    ok(taken.some(({ at, from, data }) => at === 2 && from === 1 && data === "third"));
    ok(taken.some(({ at, from, data }) => at === 0 && from === 2 && data === "back"));
    for (const to of [-1, 0, 3, 0.5])
      is(thrown(() => byRank[0].signalling.send(to, "x"))?.name, "RangeError", `from rank 0 to ${to}`);
    match(thrown(() => byRank[0].signalling.send(1, "x".repeat(20_000)))?.message ?? "", /need 1 to 16384/);
  }));

function thrown(work: () => void): Error | undefined {
  try {
    work();
  } catch (error) {
    return error as Error;
  }
  return undefined;
}

test("without the secret, with a wrong or an expired one nobody gets in, sees who is there, or is heard", () =>
  serving({ dims: [2], expiresInMs: 60_000 }, async (rendezvous) => {
    const heard: unknown[] = [];
    const ada = await join(rendezvous, "Ada", { events: { members: (members) => heard.push(members) } });
    const events = heard.length;
    await rejects(join(rendezvous, "Eve", { secret: "" }), /does not let this member in: no secret was given/);
    await rejects(
      join(rendezvous, "Eve", { secret: "wrong-horse-battery" }),
      /the secret is wrong; use the whole link/,
    );
    for (const message of [{ ...hello, secret: undefined }, { kind: "agree", plan: 1 }, { kind: "signal" }]) {
      const { socket, closed, told } = await stranger(rendezvous);
      socket.send(JSON.stringify(message));
      is((await closed).code, 1008);
      equal(
        told.map(({ kind }) => kind),
        ["dropped"],
      );
    }
    is(heard.length, events, "a member hears nothing of strangers");
    equal(rendezvous.members, ada.members);
  }));

test("an expired link lets nobody in, and who is inside stays", () =>
  serving({ dims: [1], expiresInMs: 0 }, async (rendezvous) => {
    await rejects(join(rendezvous, "late"), /the link has expired; ask for a new one/);
    equal(rendezvous.members, []);
  }));

test("what is too long, binary, malformed, or out of turn drops its sender, and nobody else", () =>
  serving({ dims: [2] }, async (rendezvous) => {
    const ada = await join(rendezvous, "Ada");
    const bad: { send: string | Buffer; code: number; reason?: RegExp }[] = [
      { send: JSON.stringify({ kind: "pong", x: "x".repeat(65_536) }), code: 1009 },
      { send: Buffer.from(JSON.stringify({ kind: "pong" })), code: 1008, reason: /a message is no text/ },
      { send: "not JSON", code: 1008, reason: /not JSON/ },
      { send: '{"kind":"welcome"}', code: 1008, reason: /no known kind/ },
      { send: JSON.stringify(hello), code: 1008, reason: /joined again/ },
      { send: '{"kind":"signal","generation":1,"to":1}', code: 1008, reason: /sequence is no whole number/ },
    ];
    for (const { send, code, reason } of bad) {
      const { socket, closed, told } = await stranger(rendezvous);
      socket.send(JSON.stringify(hello));
      await until(() => told.length > 0);
      socket.send(send);
      is((await closed).code, code);
      if (reason) match(String(told.find(({ kind }) => kind === "dropped")?.reason), reason);
    }
    await until(() => ada.members.length === 1);
    equal(rendezvous.members, ada.members);
  }));

test("bytes that are no UTF-8, frames that break the rules of WebSockets, and a cut handshake harm nobody", () =>
  serving({ dims: [1] }, async (rendezvous) => {
    const { hostname, port } = new URL(rendezvous.url);
    const raw = async (...pieces: (string | Buffer)[]): Promise<Socket> => {
      const socket = connectSocket(Number(port), hostname);
      socket.on("error", () => {});
      await once(socket, "connect");
      for (const piece of pieces) socket.write(piece);
      return socket;
    };
    const upgrade =
      "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    const unmasked = Buffer.from([0x81, 2, 0x7b, 0x7d]);
    const noText = Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0xc3, 0x28]);
    for (const pieces of [[upgrade, unmasked], [upgrade, noText], ["GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"]]) {
      const socket = await raw(...pieces);
      socket.resume();
      await once(socket, "close");
    }
    (await raw(upgrade.slice(0, 60))).destroy();
    const open = await raw(upgrade);
    open.destroy();
    is((await (await join(rendezvous, "Ada")).agree()).rank, 0);
  }));

test("a rank cannot speak for another, nor one that was not started for any", () =>
  serving({ dims: [2] }, async (rendezvous) => {
    const starts = await Promise.all(
      (await Promise.all([join(rendezvous, "a"), join(rendezvous, "b")])).map((each) => each.agree()),
    );
    const [first, second] = starts.sort((a, b) => a.rank - b.rank);
    const taken: unknown[] = [];
    second.signalling.listen((from, data) => taken.push({ from, data }));
    const eve = await stranger(rendezvous);
    const send = (message: object) => eve.socket.send(JSON.stringify(message));
    send({ ...hello, number: 1, rank: 0 });
    await until(() => eve.told.length > 0);
    is(eve.told[0].number, 3);
    const { generation } = first;
    send({ kind: "signal", generation, to: 1, from: 0, rank: 0, number: 1, sequence: 1, data: '"evil"' });
    send({ kind: "ready", generation, rank: 0 });
    send({ kind: "over", generation, reason: "mischief", rank: 0 });
    first.signalling.send(1, "honest");
    await until(() => taken.length > 0);
    await until(() => eve.told.length > 1);
    equal(taken, [{ from: 0, data: "honest" }]);
    is(first.over.aborted || second.over.aborted, false);
  }));

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

test("a member that reads nothing does not keep the room's memory, nor its close", () =>
  serving({ dims: [2], limits: quick }, async (rendezvous) => {
    const eve = await stranger(rendezvous);
    eve.socket.send(JSON.stringify(hello));
    await until(() => rendezvous.members.length === 1);
    eve.socket.pause();
    await until(() => rendezvous.members.length === 0);
    eve.socket.terminate();
  }));

test("who sends faster than the limit is dropped, who connects faster is not let in", () =>
  serving(
    {
      ...{ dims: [2], connections: { perSecond: 0.001, burst: 3 } },
      limits: { messages: { perSecond: 1, burst: 50 } },
    },
    async (rendezvous) => {
      const ada = await join(rendezvous, "Ada");
      const eve = await stranger(rendezvous);
      eve.socket.send(JSON.stringify(hello));
      for (let i = 0; i < 50; i++) eve.socket.send('{"kind":"pong"}');
      await eve.closed;
      match(String(eve.told.find(({ kind }) => kind === "dropped")?.reason), /more than 1 messages a second/);
      (await stranger(rendezvous)).socket.close();
      await rejects(join(rendezvous, "late"), /no room answers at .*429/);
      equal(states(ada.members), ["Ada here"]);
    },
  ));

test("late joiners wait; survivors start again with them under a new generation, and old signals are lost", () =>
  serving({ dims: [2], limits: { settleMs: 100 } }, async (rendezvous) => {
    const [ada, ben] = [await join(rendezvous, "Ada"), await join(rendezvous, "Ben")];
    const [first, second] = await Promise.all([ada.agree(), ben.agree()]);
    const cleo = await join(rendezvous, "Cleo");
    let cleoStarted = false;
    const third = cleo.agree().then((start) => {
      cleoStarted = true;
      return start;
    });
    await until(() => ada.members.some(({ name, state }) => name === "Cleo" && state === "agreed"));
    is(cleoStarted, false);
    ben.leave();
    await until(() => ada.members.length === 2);
    is(cleoStarted, false, "Ada still runs");
    first.end("rank 1 is gone");
    const again = await ada.agree();
    const late = await third;
    equal([again.rank, late.rank], [0, 1]);
    ok(again.generation > first.generation);
    is(late.generation, again.generation);
    const taken: unknown[] = [];
    late.signalling.listen((_, data) => taken.push(data));
    first.signalling.send(1, "of the first run");
    again.signalling.send(1, "of the second");
    await until(() => taken.length > 0);
    equal(taken, ["of the second"]);
    is(second.generation, first.generation);
  }));

test("a rank that ends a run ends it for all, with its reason, and a smaller mesh starts with the survivors", () =>
  serving({ dims: [3] }, async (rendezvous) => {
    const plans: unknown[] = [];
    const members = await Promise.all(
      ["a", "b", "c"].map((name) => join(rendezvous, name, { events: { plan: ({ dims }) => plans.push(dims) } })),
    );
    const starts = await Promise.all(members.map((each) => each.agree()));
    members[2].leave();
    starts[0].end("a message from rank 2 did not come");
    await until(() => starts[1].over.aborted);
    match(starts[1].over.reason.message, /the run has ended: rank \d: a message from rank 2 did not come/);
    const waiting = members[0].agree();
    rendezvous.propose(planOf([2]));
    await rejects(waiting, /the room runs something else now; read what, and agree again/);
    await until(() => plans.length === 2);
    const again = await Promise.all([members[0].agree(), members[1].agree()]);
    equal(
      again.map(({ size, dims }) => ({ size, dims })),
      [1, 2].map(() => ({ size: 2, dims: [2] })),
    );
  }));

test("a member that is not ready is not waited for: it hears why, and can agree again", () =>
  serving({ dims: [2], limits: { readyMs: 50, readyAttempts: 2 } }, async (rendezvous) => {
    let loaded = () => {};
    const slow = await join(rendezvous, "slow", { prepare: () => new Promise((resolve) => (loaded = resolve)) });
    const starting = slow.agree();
    const [ben, cleo] = [await join(rendezvous, "Ben"), await join(rendezvous, "Cleo")];
    const others = [ben.agree(), cleo.agree()];
    await rejects(starting, /the others start without this member: it was not ready within 0.1 s, asked 2 times/);
    equal(
      (await Promise.all(others)).map(({ rank }) => rank),
      [0, 1],
    );
    loaded();
    is(rendezvous.members[0].state, "here");
  }));

test("a member that cannot prepare leaves with its error, and the others wait for another", () =>
  serving({ dims: [2] }, async (rendezvous) => {
    const broken = await join(rendezvous, "broken", { prepare: () => Promise.reject(new Error("no such program")) });
    const ada = await join(rendezvous, "Ada");
    const [start, error] = [ada.agree(), broken.agree().catch((reason: Error) => reason.message)];
    is(await error, "no such program");
    const ben = await join(rendezvous, "Ben");
    is((await ben.agree()).rank, 1);
    is((await start).rank, 0);
    await rejects(broken.agree(), /this member has left the room; join again/);
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

test("rooms beside each other know nothing of each other; a closed one is gone", () =>
  serving({ dims: [1], mostRooms: 2 }, async (rendezvous) => {
    const other = rendezvous.open("other", { plan: planOf([1], "another run") });
    not.equal(parseLink(other.joinUrl).secret, secret);
    const ada = await join(rendezvous, "Ada");
    const ben = await join(other, "Ben", { retries: 0 });
    equal([states(ada.members), states(ben.members)], [["Ada here"], ["Ben here"]]);
    is(ben.plan.about, "another run");
    await rejects(join(other, "Eve", { secret }), /the secret is wrong/);
    match(
      thrown(() => rendezvous.open("other", { plan: planOf([1]) }))?.message ?? "",
      /there is a room other already/,
    );
    match(thrown(() => rendezvous.open("third", { plan: planOf([1]) }))?.message ?? "", /there are 2 rooms already/);
    match(thrown(() => rendezvous.open("../x", { plan: planOf([1]) }))?.message ?? "", /a room's name needs/);
    other.close();
    await rejects(ben.agree(), /is lost|join again/);
    await rejects(join(other, "Ben"), /no room answers .*404/);
    is((await ada.agree()).size, 1);
  }));

test("pages come isolated from other origins, say nothing of members, and pages of other sites get no socket", () =>
  serving(
    {
      dims: [2],
      pages(path) {
        if (path === "/odd%") throw new URIError("malformed");
        return path === "/train" ? { type: "text/html", body: "train" } : undefined;
      },
      part: "/train",
    },
    async (rendezvous) => {
      await join(rendezvous, "Ada");
      const page = await fetch(rendezvous.url);
      const text = await page.text();
      is(page.headers.get("cross-origin-opener-policy"), "same-origin");
      is(page.headers.get("cross-origin-embedder-policy"), "require-corp");
      is(page.headers.get("referrer-policy"), "no-referrer");
      match(page.headers.get("content-security-policy") ?? "", /default-src 'none'/);
      match(text, /href="\/train\?room=\/"/);
      for (const word of ["Ada", secret, planOf([2]).about]) is(text.includes(word), false, word);
      const script = await (await fetch(new URL("/room.js", rendezvous.url))).text();
      match(script, /WebSocket/);
      const given = await fetch(new URL("/train", rendezvous.url));
      equal([given.status, await given.text()], [200, "train"]);
      is(given.headers.get("cross-origin-embedder-policy"), "require-corp");
      is((await fetch(new URL("/odd%", rendezvous.url))).status, 500);
      is((await fetch(new URL("/package.json", rendezvous.url))).status, 404);
      is((await fetch(rendezvous.url, { method: "POST", body: "x" })).status, 405);
      const { host } = new URL(rendezvous.url);
      for (const [origin, status] of [
        ["https://evil.example", 403],
        ["null", 403],
        [`http://${host}`, 101],
      ] as const) {
        const socket = new WebSocket(rendezvous.url.replace("http", "ws"), { origin });
        const answer = await new Promise((resolve) => {
          socket.on("open", () => resolve(101));
          socket.on("error", ({ message }) => resolve(Number(message.match(/\d+$/)?.[0])));
        });
        is(answer, status, origin);
        socket.close();
      }
    },
  ));

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

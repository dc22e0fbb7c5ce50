// Rooms behind a real server, and what strangers and members that misbehave may do to them.

import { once } from "node:events";
import { type AddressInfo, connect as connectSocket, type Socket } from "node:net";
import { test } from "uvu";
import { equal, is, match } from "uvu/assert";
import { WebSocket, WebSocketServer } from "ws";
import { harmless } from "../../src/cli/output.ts";
import { planOf, secret } from "./rendezvous-bench.ts";
import { hello, join, quick, rejects, serving, states, stranger, until } from "./rendezvous-server.ts";

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

test("a signal that is said again, or of an earlier run, comes once; so over a real socket", () =>
  serving({ dims: [2] }, async (rendezvous) => {
    const ada = await join(rendezvous, "Ada");
    const eve = await stranger(rendezvous);
    const send = (message: object) => eve.socket.send(JSON.stringify(message));
    eve.socket.on("message", (data) => {
      const { kind, generation, planNumber } = JSON.parse(String(data));
      if (kind === "welcome") send({ kind: "agree", plan: planNumber });
      if (kind === "prepare") send({ kind: "ready", generation });
    });
    send(hello);
    const { generation, signalling } = await ada.agree();
    const taken: unknown[] = [];
    signalling.listen((from, data) => taken.push([from, data]));
    await until(() => eve.told.some(({ kind }) => kind === "start"));
    const signal = { kind: "signal", generation, to: 0, sequence: 5, data: '"first"' };
    for (const change of [
      {},
      {},
      { data: '"again"' },
      { sequence: 4, data: '"before"' },
      { sequence: 6, generation: generation - 1, data: '"earlier run"' },
      { sequence: 7, generation: generation + 1, data: '"later run"' },
      { sequence: 8, data: '"last"' },
    ])
      send({ ...signal, ...change });
    await until(() => taken.length >= 2);
    equal(taken, [
      [1, "first"],
      [1, "last"],
    ]);
  }));

test("sockets that say nothing, or a letter now and then, are ended; so are those beyond what one address may have", () =>
  serving({ dims: [1], limits: { joinMs: 300 } }, async (rendezvous) => {
    const { hostname, port } = new URL(rendezvous.url);
    const sockets: Socket[] = [];
    const raw = (): Socket => {
      const socket = connectSocket(Number(port), hostname);
      sockets.push(socket);
      return socket.on("error", () => {}).resume();
    };
    const [mute, half, slow] = [raw(), raw(), raw()];
    half.write("GET / HTTP/1.1\r\nHost: x\r\nUpgrade:");
    slow.write("GET / HTTP/1.1\r\n");
    const dripping = setInterval(() => slow.write("X-Drip: 1\r\n"), 20);
    const outside = await stranger(rendezvous);
    try {
      await Promise.all([mute, half, slow].map((socket) => once(socket, "close")));
      is((await outside.closed).code, 1008);
    } finally {
      clearInterval(dripping);
    }
    const before = sockets.length;
    for (let i = 0; i < 300; i++) raw();
    let closed = 0;
    for (const socket of sockets.slice(before)) socket.once("close", () => closed++);
    await until(() => closed >= 44);
    await until(() => closed === 300);
    is((await (await join(rendezvous, "Ada")).agree()).rank, 0);
  }));

test("no path leads to a file, to an object's own fields, or to another host's page", () =>
  serving(
    { dims: [1], pages: (path) => new Map([["/train", { type: "text/html", body: "train" }]]).get(path) },
    async (rendezvous) => {
      const { hostname, port } = new URL(rendezvous.url);
      const ask = async (target: string) => {
        const socket = connectSocket(Number(port), hostname);
        let answer = "";
        socket.on("data", (piece) => (answer += piece));
        socket.write(`GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
        await once(socket, "close");
        return answer;
      };
      match(await ask("/train"), /^HTTP\/1.1 200/);
      for (const target of [
        ...[
          "/../package.json",
          "/train/../package.json",
          "/..%2f..%2fpackage.json",
          "/%2e%2e/package.json",
          "/.\\..\\package.json",
        ],
        ...[
          "//etc/passwd",
          "/etc/passwd",
          "/train%00",
          "/train/",
          "/__proto__",
          "/constructor",
          "/toString",
          "http://evil.example/train",
        ],
      ]) {
        const answer = await ask(target);
        match(answer, /^HTTP\/1.1 40[04]/, target);
        is(/shardgrad"|root:/.test(answer.replace("`shardgrad serve`", "")), false, target);
      }
    },
  ));

test("keys that name prototypes are fields like others, which no message has", () =>
  serving({ dims: [2] }, async (rendezvous) => {
    const eve = await stranger(rendezvous);
    const polluted = '{"polluted":true,"role":"watcher","rank":0}';
    eve.socket.send(
      `{"__proto__":${polluted},"constructor":{"prototype":${polluted}},${JSON.stringify(hello).slice(1)}`,
    );
    await until(() => eve.told.length > 0);
    is(eve.told[0].kind, "welcome");
    equal(rendezvous.members, [{ number: 1, name: "Eve", adapter: "", role: "rank", state: "here" }]);
    is("polluted" in {}, false);
    const inherits = await stranger(rendezvous);
    inherits.socket.send(`{"__proto__":${JSON.stringify(hello)}}`);
    is((await inherits.closed).code, 1008);
  }));

test("what a stranger's server says moves no terminal's cursor", async () => {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  await once(server, "listening");
  server.on("connection", (socket) => socket.close(1008, "\u001b[2J\u009b31m\u202ehello"));
  const { port } = server.address() as AddressInfo;
  await rejects(
    join({ joinUrl: `http://127.0.0.1:${port}/#${secret}` }, "Ada"),
    /^the room at \S+ does not let this member in: \[2J 31m hello$/,
  );
  server.close();
  is(harmless("a\u001b[31mb\u009bc\u202ed\ne\tf \u4e00 \u{1f600}"), "a [31mb c d\ne\tf \u4e00 \u{1f600}");
});

test.run();

// A room on NATS with a page in it, by the server's WebSocket port, and a Node process, by TCP: signals, frames through the room, and what it keeps.

import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import { test } from "uvu";
import { equal, match, ok } from "uvu/assert";
import { bundle } from "../../scripts/bundle.mjs";
import { joinRoom } from "../../src/cluster/rendezvous/client.ts";
import { openNatsRoom } from "../../src/cluster/rendezvous/nats-room.ts";
import { RelayChannel } from "../../src/comm/relay-channel.ts";
import { NatsServer } from "../unit/nats-server.ts";
import { planOf, secret } from "../unit/rendezvous-bench.ts";
import { content, inbox, same } from "../unit/webrtc-messages.ts";
import { openBrowser } from "./page.ts";

type InPage = typeof import("./nats.page.ts");

const root = process.cwd();
const timeoutMs = 60_000;
let browser: Awaited<ReturnType<typeof openBrowser>>;
let server: NatsServer;
let folder: string;

test.before(async () => {
  mkdirSync(join(root, "build"), { recursive: true });
  folder = mkdtempSync(join(root, "build/nats-"));
  await bundle({ entryPoints: ["test/browser/nats.page.ts"], platform: "browser", outfile: join(folder, "page.js") });
  browser = await openBrowser({ root });
  server = await NatsServer.start();
});

test.after(async () => {
  await browser?.close();
  await server?.remove();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

test("a page and a Node process join by their own ports, start, signal, read what the room keeps, and send frames through it", async () => {
  const kept = new Map([["text", content(300_000, 3)]]);
  const room = await openNatsRoom({ url: server.url("room"), plan: planOf([2]), secret, kept });
  const ben = await joinRoom({ url: server.url("room"), secret, name: "Ben", adapter: "" });
  const { use, close } = await browser.openPage();
  try {
    const url = `/${relative(root, join(folder, "page.js"))}`;
    const place = { url: server.webSocketUrl("room"), secret };
    const heard = ben.agree().then(async (start) => {
      start.signalling.listen((from, data) => start.signalling.send(from, { answer: data }));
      const channel = new RelayChannel(start.wire!(1), { timeoutMs, silentMs: 15_000 });
      await channel.opened;
      const box = inbox(channel);
      channel.send(content(1_000_003, 1));
      await box.count(1);
      return { rank: start.rank, message: box.messages[0], closed: box.closed };
    });
    const told = await use(
      (page) =>
        page.evaluate(async ([module, where]) => ((await import(module)) as InPage).takePart(where), [
          url,
          place,
        ] as const),
      { timeoutMs },
    );
    equal(told, { rank: 1, members: ["Ben", "a page"], answer: { answer: "from the page" }, exact: true });
    const { rank, message, closed } = await heard;
    equal(rank, 0);
    ok(same(message, content(1_000_003, 2)));
    equal(await closed, "it has closed its side");
  } finally {
    ben.leave();
    room.close();
    await close();
  }
});

test("a page with an address for TCP is told which one it needs", async () => {
  const { use, close } = await browser.openPage();
  const url = `/${relative(root, join(folder, "page.js"))}`;
  const place = { url: server.url("room"), secret };
  const refusal = await use(
    (page) =>
      page.evaluate(async ([module, where]) => ((await import(module)) as InPage).refusalOf(where), [
        url,
        place,
      ] as const),
    { timeoutMs },
  );
  match(refusal, /its WebSocket port only; use nats\+wss:/);
  await close();
});

test.run();

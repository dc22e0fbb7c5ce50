// The text of a room on a real NATS server, by the command line: `serve --rendezvous nats:// --data FILE`, and joiners that have no file.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Objm } from "@nats-io/obj";
import { test } from "uvu";
import { equal, is, match, ok } from "uvu/assert";
import { ensureBuilt } from "../../scripts/build.mjs";
import { type Command, Commands, sheepAndGoats } from "../network/command.ts";
import { NatsServer } from "./nats-server.ts";

const folder = mkdtempSync(join(tmpdir(), "shardgrad-text-"));
const data = join(folder, "text.txt");
const model = ["--width", "32", "--layers", "1", "--heads", "2", "--batch", "4", "--context", "16"];
const run = ["--mesh", "2", "--data", data, "--steps", "3", ...model, "--eval-batches", "1", "--sample", "0"];

const commands = new Commands();
const start = (...words: string[]) => commands.start(words);

test.before(async () => {
  writeFileSync(data, sheepAndGoats);
  await ensureBuilt();
});
test.after(() => {
  commands.kill();
  rmSync(folder, { recursive: true, force: true });
});

/** A room that trains, until `work` has ended. */
async function serving(work: (room: { server: NatsServer; serve: Command; link: string }) => Promise<void>) {
  const server = await NatsServer.start();
  try {
    const serve = start("serve", "--rendezvous", server.url("room"), ...run);
    const { joinUrl } = await serve.event(({ event }) => event === "room");
    await work({ server, serve, link: String(joinUrl) });
  } finally {
    commands.kill();
    await server.remove();
  }
}

const joins = (link: string, ...more: string[]) =>
  start("join", link, "--yes", "--backend", "cpu", "--threads", "1", ...more);

test("joiners fetch the text by TCP and by WebSocket, or bring it, and train to the bits of ranks in one process", () =>
  serving(async ({ server, serve, link }) => {
    const alone = start("train", ...run, "--backend", "cpu", "--threads", "1");
    is(await alone.ended, 0, alone.errors);
    const far = link.replace(server.url("room"), server.webSocketUrl("room"));
    for (const ranks of [
      [joins(link), joins(far)],
      [joins(link, "--data", data), joins(link)],
    ])
      for (const rank of ranks) {
        is(await rank.ended, 0, rank.errors);
        equal(rank.losses, alone.losses);
        ok(rank.losses.length > 0);
      }
    serve.interrupt();
    is(await serve.ended, 0, serve.errors);
    const stranger = await server.stranger();
    const stores: string[] = [];
    for await (const { bucket } of new Objm(stranger).list()) stores.push(bucket);
    equal(stores, [], "the text is gone with the room");
    await stranger.close();
  }));

test("another file, or a text that a stranger has replaced, is an error that says so on that rank", () =>
  serving(async ({ server, link }) => {
    const other = join(folder, "other.txt");
    writeFileSync(other, sheepAndGoats.replace("sheep", "Sheep"));
    const ranks = [joins(link, "--data", other), joins(link)];
    is(await ranks[0].ended, 2);
    match(
      ranks[0].errors,
      /the text is not the one that the room's plan names: got \d+ bytes with SHA-256 [0-9a-f]{64}, need/,
    );
    await ranks[1].event(() => /the run has ended: rank \d: the text is not the one/.test(ranks[1].errors));
    const stranger = await server.stranger();
    const store = await new Objm(stranger).open("shardgrad-room");
    const [{ name }] = await store.list();
    await store.put({ name }, new Blob([sheepAndGoats]).stream());
    const robbed = joins(link);
    is(await robbed.ended, 2);
    match(
      robbed.errors,
      /the room's text cannot be had: what the room room keeps is not as a member put it there: .*; join with --data FILE/,
    );
    // Who has had it does not ask again.
    const last = joins(link, "--data", data);
    for (const rank of [ranks[1], last]) is(await rank.ended, 0, rank.errors);
    equal(ranks[1].losses, last.losses);
    await stranger.close();
  }));

test.run();

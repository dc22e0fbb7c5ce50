// What a room keeps for its members in a real NATS server's object store, and what strangers may do to it.

import { jetstreamManager } from "@nats-io/jetstream";
import { Objm } from "@nats-io/obj";
import { test } from "uvu";
import { equal, is, match, ok } from "uvu/assert";
import { openNats, parseNatsUrl } from "../../src/cluster/rendezvous/nats-address.ts";
import { NatsObjects } from "../../src/cluster/rendezvous/nats-objects.ts";
import { Seal } from "../../src/cluster/rendezvous/nats-seal.ts";
import type { RoomObjects } from "../../src/cluster/rendezvous/objects.ts";
import { join, open, rejects, serving, silentMs, started, until } from "./nats-bench.ts";
import { NatsServer } from "./nats-server.ts";
import { secret } from "./rendezvous-bench.ts";
import { content, same } from "./webrtc-messages.ts";

/** Around what one segment has, and many of them. */
const sizes = [0, 1, 131_043, 131_044, 131_045, 262_088, 3_000_000];
const mostBytes = 4 << 20;
const made = { mostBytes: 32 << 20, ttlMs: 60_000 };

interface Kept {
  server: NatsServer;
  objects: NatsObjects;
  /** of who has no secret: the store itself */
  store: Awaited<ReturnType<Objm["open"]>>;
  streams: Awaited<ReturnType<typeof jetstreamManager>>["streams"];
}

/** A store of a server of its own, by TCP and without a room. */
const keeping = (work: (kept: Kept) => Promise<void>): Promise<void> =>
  serving(async (server) => {
    const connection = await openNats(parseNatsUrl(server.url("room")));
    const stranger = await server.stranger();
    try {
      const seal = await Seal.of({ secret, room: "room" });
      const objects = await NatsObjects.open(connection, { seal, room: "room", silentMs, made });
      const store = await new Objm(stranger).open("shardgrad-room");
      await work({ server, objects, store, streams: (await jetstreamManager(stranger)).streams });
    } finally {
      await Promise.all([connection.close(), stranger.close()]);
    }
  });

const blob = (bytes: Uint8Array): ReadableStream<Uint8Array> => new Blob([bytes as Uint8Array<ArrayBuffer>]).stream();

test("0 bytes to 3 MB come back as they were put, by TCP and WebSocket; what takes their place comes in their place", () =>
  keeping(async ({ server, objects }) => {
    for (const [i, size] of sizes.entries()) await objects.put(`size ${size}`, content(size, i));
    const connection = await openNats(parseNatsUrl(server.webSocketUrl("room")));
    const seal = await Seal.of({ secret, room: "room" });
    const far = await NatsObjects.open(connection, { seal, room: "room", silentMs });
    for (const [i, size] of sizes.entries())
      for (const each of [objects, far])
        ok(same(await each.get(`size ${size}`, { mostBytes: size }), content(size, i)), `${size} bytes`);
    await far.put("size 1", content(300_000, 9));
    ok(same(await objects.get("size 1", { mostBytes }), content(300_000, 9)));
    await rejects(objects.get("size 1", { mostBytes: 299_999 }), /keeps more than 299999 bytes/);
    await far.remove("size 1");
    await rejects(objects.get("size 1", { mostBytes }), /the room room does not keep it, or not any more/);
    await rejects(objects.get("never there", { mostBytes }), /does not keep it/);
    await connection.close();
  }));

test("a stranger reads nothing of it but its length", () =>
  keeping(async ({ objects, store }) => {
    const text = new TextEncoder().encode("a line that nobody else shall read\n".repeat(10_000));
    await objects.put("text", text);
    const sealed = (await store.getBlob("text"))!;
    ok(sealed.length > text.length && sealed.length < 1.001 * text.length, `${sealed.length} bytes`);
    is(Buffer.from(sealed).includes("nobody"), false);
  }));

test("what a stranger changes, cuts, mixes, prolongs or replaces is refused, and says so", () =>
  keeping(async ({ objects, store, streams }) => {
    const text = content(500_000, 1);
    await objects.put("text", text);
    await objects.put("other", content(500_000, 2));
    const sealed = (await store.getBlob("text"))!;
    const [other, segment] = [(await store.getBlob("other"))!, 128 * 1024];
    const changed = sealed.slice();
    changed[200_000] ^= 1;
    const swapped = sealed.slice();
    swapped.set(sealed.subarray(segment, 2 * segment));
    swapped.set(sealed.subarray(0, segment), segment);
    const another = await Seal.of({ secret: "another-secret-of-20", room: "room" });
    const forgeries: Record<string, Uint8Array> = {
      "a changed byte": changed,
      "segments in another order": swapped,
      "the last segment gone": sealed.subarray(0, 3 * segment),
      "cut in a segment": sealed.subarray(0, 400_000),
      "only the last segment": sealed.subarray(3 * segment),
      "another's segment": new Uint8Array(Buffer.concat([other.subarray(0, segment), sealed.subarray(segment)])),
      "another altogether": other,
      "more behind it": new Uint8Array(Buffer.concat([sealed, new Uint8Array(10)])),
      twice: new Uint8Array(Buffer.concat([sealed, sealed])),
      "another secret's": await another.close(content(1000, 1), "shardgrad.room.object.text.0.last"),
      "no seal": content(500_000, 1),
      nothing: new Uint8Array(0),
    };
    for (const [what, bytes] of Object.entries(forgeries)) {
      await store.put({ name: "text" }, blob(bytes));
      const error = await objects.get("text", { mostBytes }).then(String, (reason: Error) => reason.message);
      match(
        error,
        /is not as a member put it there: somebody without the secret has changed, cut or replaced it/,
        what,
      );
    }
    await store.delete("text");
    await store.link("text", (await store.info("other"))!);
    await rejects(objects.get("text", { mostBytes }), /is not as a member put it there/);

    const id = await objects.put("again", text);
    await streams.purge("OBJ_shardgrad-room", { filter: `$O.shardgrad-room.C.${id}` });
    await rejects(objects.get("again", { mostBytes }), /did not come for 1.5 s; it was deleted, or the server is slow/);
    await store.destroy();
    await rejects(objects.get("again", { mostBytes }), /does not come whole from the NATS server: stream not found/);
  }));

test("a room gives its members what its maker keeps; puts it there again when strangers delete it; takes it along when it closes", () =>
  serving(async (server) => {
    const text = content(400_000, 7);
    const notes: string[] = [];
    const room = await open(server, { kept: new Map([["/text/1", text]]), note: (told) => notes.push(told) });
    const [ada, ben] = [await join(server, "Ada"), await join(server, "Ben", { url: server.webSocketUrl("room") })];
    const starts = await started([ada, ben]);
    const get = async ({ objects }: { objects?: () => Promise<RoomObjects> }) =>
      (await objects!()).get("/text/1", { mostBytes });
    for (const start of starts) ok(same(await get(start), text));
    const stranger = await server.stranger();
    const { streams } = await jetstreamManager(stranger);
    const name = "OBJ_shardgrad-room";
    const [{ max_age, max_bytes }] = [(await streams.info(name)).config];
    equal(
      [max_age, (max_bytes ?? 0) < 2_000_000],
      [86_400_000_000_000, true],
      "forgotten after a day, and no more than it needs",
    );
    const whole = () =>
      get(starts[0]).then(
        (bytes) => same(bytes, text),
        () => false,
      );
    for (const harm of [
      () => streams.delete(name),
      async () => (await new Objm(stranger).open("shardgrad-room")).delete("/text/1"),
      async () => (await new Objm(stranger).open("shardgrad-room")).put({ name: "/text/1" }, blob(new Uint8Array(9))),
    ]) {
      await harm();
      is(await whole(), false);
      await until(whole);
    }
    await server.stop();
    await server.start();
    await until(() => notes.includes("in the room again"));
    await until(whole);
    room.close();
    await until(() =>
      streams.info(name).then(
        () => false,
        () => true,
      ),
    ).catch(() => undefined);
    const late = await server.stranger();
    const left = (await (await jetstreamManager(late)).streams.list().next()).map(({ config }) => config.name);
    equal(left, ["KV_shardgrad-room"]);
    await late.close();
    await stranger.close();
  }));

test("a link that expires takes what is kept along soon, should the maker be killed", () =>
  serving(async (server) => {
    await open(server, { kept: new Map([["text", content(10, 1)]]), expiresInMs: 120_000 });
    const stranger = await server.stranger();
    const { streams } = await jetstreamManager(stranger);
    is((await streams.info("OBJ_shardgrad-room")).config.max_age, 120_000_000_000);
    await stranger.close();
  }));

test("a server that has not the space refuses the room, and nothing of it is left", async () => {
  const server = await NatsServer.start({ jetStream: "max_file_store: 2097152" });
  try {
    const kept = new Map([["text", content(4 << 20, 1)]]);
    await rejects(
      open(server, { kept }),
      /the NATS server has no object store for the room room: .*insufficient storage/,
    );
    await rejects(join(server, "late"), /nobody is there; open the room first/);
  } finally {
    await server.remove();
  }
});

test.run();

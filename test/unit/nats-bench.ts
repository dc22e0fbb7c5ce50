// Members of rooms on a real NATS server, and ways to it that can be cut: what tests of such rooms share.

import { once } from "node:events";
import { connect as connectSocket, createServer, type Socket } from "node:net";
import { jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/nats-core";
import { is, match, ok, unreachable } from "uvu/assert";
import { joinRoom } from "../../src/cluster/rendezvous/client.ts";
import { RendezvousError } from "../../src/cluster/rendezvous/connection.ts";
import type { JoinOptions, RoomClient, Start } from "../../src/cluster/rendezvous/membership.ts";
import { type NatsRoomOptions, openNatsRoom } from "../../src/cluster/rendezvous/nats-room.ts";
import type { OpenRoom } from "../../src/cluster/rendezvous/open-room.ts";
import type { Member } from "../../src/cluster/rendezvous/protocol.ts";
import { NatsServer } from "./nats-server.ts";
import { planOf, secret } from "./rendezvous-bench.ts";

/** Long enough for a machine that is busy, short enough for a test that waits for silence to be found. */
export const silentMs = 1500;

/** Who has joined or made a room: a client whose server is gone would go on trying. */
export const rooms: OpenRoom[] = [];
export const clients: RoomClient[] = [];
const detours: { cut(): void }[] = [];

/** Runs a test against a server of its own, after which nothing may be left of it. */
export async function serving(work: (server: NatsServer) => Promise<void>): Promise<void> {
  const server = await NatsServer.start();
  try {
    await work(server);
  } finally {
    for (const client of clients.splice(0)) client.leave();
    for (const room of rooms.splice(0)) room.close();
    for (const way of detours.splice(0)) way.cut();
    await server.remove();
  }
}

export async function open(
  server: NatsServer,
  { dims = [2], ...rest }: Partial<NatsRoomOptions> & { dims?: number[] } = {},
) {
  const url = server.url("room");
  const limits = { silentMs, settleMs: 300, ...rest.limits };
  const room = await openNatsRoom({ url, plan: planOf(dims), secret, retryMs: 20, ...rest, limits });
  rooms.push(room);
  return room;
}

export async function join(server: NatsServer, name: string, change: Partial<JoinOptions> = {}): Promise<RoomClient> {
  const client = await joinRoom({ url: server.url("room"), secret, name, adapter: "none", retryMs: 20, ...change });
  clients.push(client);
  return client;
}

export async function until(what: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 1000; i++) {
    if (await what()) return;
    await pause(10);
  }
  unreachable("it did not happen within 10 s");
}

export const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

export async function rejects(work: Promise<unknown>, pattern: RegExp): Promise<void> {
  const error = await work.then(
    () => unreachable(`nothing was refused; need ${pattern}`),
    (reason: unknown) => reason,
  );
  ok(error instanceof RendezvousError, String(error));
  match(error.message, pattern);
  is(error.message.includes(secret), false);
}

export const ranksOf = (members: readonly Member[]) =>
  members.filter(({ role }) => role === "rank").map(({ name, state }) => `${name} ${state}`);

export async function started(members: readonly RoomClient[]): Promise<Start[]> {
  const starts = await Promise.all(members.map((member) => member.agree()));
  return starts.sort((a, b) => a.rank - b.rank);
}

/** Ids of the entries in the room's store. The client's own list of keys ends at the message that the server says is the last: where an entry
 *  is renewed just as the list begins, the server counts one too many, and the list goes on for as long as entries are renewed. */
export async function idsIn(connection: NatsConnection): Promise<string[]> {
  const prefix = "$KV.shardgrad-room.";
  const { streams } = await jetstreamManager(connection);
  const { state } = await streams.info("KV_shardgrad-room", { subjects_filter: `${prefix}>` });
  return Object.keys(state.subjects ?? {}).map((subject) => subject.slice(prefix.length));
}

/** A port that leads to another, until it is cut. */
export async function detour(port: number) {
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connectSocket(port, "127.0.0.1");
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ]) {
      sockets.add(socket);
      socket.on("error", () => {}).on("close", () => other.destroy());
      socket.pipe(other);
    }
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port: own } = server.address() as { port: number };
  const way = {
    url: `nats://127.0.0.1:${own}/room`,
    /** Nothing comes or goes any more, and nobody is told. */
    stall() {
      for (const socket of sockets) socket.unpipe().pause();
    },
    cut() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
  detours.push(way);
  return way;
}

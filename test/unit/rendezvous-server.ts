// Rooms behind a real server, members of it, and bare sockets: what tests of such rooms share.

import { once } from "node:events";
import { is, match, ok, unreachable } from "uvu/assert";
import { WebSocket } from "ws";
import { joinRoom } from "../../src/cluster/rendezvous/client.ts";
import { RendezvousError } from "../../src/cluster/rendezvous/connection.ts";
import { parseLink } from "../../src/cluster/rendezvous/link.ts";
import type { JoinOptions, RoomClient } from "../../src/cluster/rendezvous/membership.ts";
import type { Rendezvous } from "../../src/cluster/rendezvous/open-room.ts";
import type { Member } from "../../src/cluster/rendezvous/protocol.ts";
import { type RendezvousOptions, startRendezvous } from "../../src/cluster/rendezvous/server.ts";
import { planOf, secret } from "./rendezvous-bench.ts";

/** Pings often enough for a test that waits for silence to be found. */
export const quick = { pingMs: 30, silentMs: 200, readyMs: 100, settleMs: 100 };

/** Runs a test against a server of its own, after which nothing may be left of it. */
export async function serving(
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
export const leave = () => {
  for (const client of clients.splice(0)) client.leave();
};

export async function join(
  { joinUrl }: { joinUrl: string },
  name: string,
  change: Partial<JoinOptions> = {},
): Promise<RoomClient> {
  const client = await joinRoom({ ...parseLink(joinUrl), name, adapter: "none", retryMs: 20, ...change });
  clients.push(client);
  return client;
}

/** A bare WebSocket that keeps what it was told. */
export async function stranger({ url }: Rendezvous, options: object = {}): Promise<Stranger> {
  const socket = new WebSocket(url.replace("http", "ws"), options);
  const closed = new Promise<{ code: number }>((resolve) => socket.on("close", (code) => resolve({ code })));
  const told: Record<string, unknown>[] = [];
  socket.on("message", (data) => told.push(JSON.parse(String(data))));
  socket.on("error", () => {});
  await once(socket, "open");
  return { socket, closed, told };
}

export interface Stranger {
  socket: WebSocket;
  closed: Promise<{ code: number }>;
  told: Record<string, unknown>[];
}

export const hello = { kind: "join", secret, name: "Eve", adapter: "", role: "rank", running: 0 };

export async function until(what: () => boolean): Promise<void> {
  for (let i = 0; i < 500; i++) {
    if (what()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  unreachable("it did not happen within 5 s");
}

export async function rejects(work: Promise<unknown>, pattern: RegExp): Promise<void> {
  const error = await work.then(
    () => unreachable(`nothing was refused; need ${pattern}`),
    (reason: unknown) => reason,
  );
  ok(error instanceof RendezvousError, String(error));
  match(error.message, pattern);
  is(error.message.includes(secret), false);
}

export const states = (members: readonly Member[]) => members.map(({ name, state }) => `${name} ${state}`);

export function thrown(work: () => void): Error | undefined {
  try {
    work();
  } catch (error) {
    return error as Error;
  }
  return undefined;
}

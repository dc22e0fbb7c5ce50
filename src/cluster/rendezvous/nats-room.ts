// A new room on a NATS server: whoever makes it is in it as a watcher, says what it runs, keeps what its members need, and leads as long as it is
// there. The room lives as long as any member does.

import { hostname } from "node:os";
import { defaultLimits } from "./limits.ts";
import { joinLink } from "./link.ts";
import { NatsRoomConnection } from "./nats.ts";
import { Keeper } from "./nats-keeper.ts";
import type { OpenRoom, RoomSpec } from "./open-room.ts";
import { bounds, type FromRoom, type Member, printable } from "./protocol.ts";
import { checkedPlan } from "./room.ts";
import { newSecret, Secret } from "./secret.ts";

/** Of the spec, `expiresInMs` is kept by members, each by its own clock; who has the secret can read on what is said. */
export interface NatsRoomOptions extends Omit<RoomSpec, "emptyMs" | "pages"> {
  /** nats://HOST:PORT/ROOM */
  url: string;
  /** how others reach the same server, when not at `url`: its WebSocket port for pages, say */
  publicUrl?: string;
  /** what members find in the room by name, as long as whoever made it is there */
  kept?: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
  /** what happened to the connection, in words; `lost` when it is lost for good */
  note?(text: string): void;
  lost?(error: Error): void;
  retries?: number;
  retryMs?: number;
}

/** How long a server keeps what nobody has removed, at most: a day, or as long as the link lets others in, if a minute at least. */
const [leastKeptMs, mostKeptMs] = [60_000, 86_400_000];

/** Makes a room.
 *  @throws RendezvousError when the server cannot be reached, or has such a room; UserError for an address, a plan or a secret that cannot be */
export async function openNatsRoom(options: NatsRoomOptions): Promise<OpenRoom> {
  const {
    url,
    publicUrl = url,
    plan,
    secret = newSecret(),
    limits,
    expiresInMs,
    kept = new Map(),
    note,
    lost,
    retries = 10,
    retryMs = 250,
  } = options;
  // Its rules are those of every room.
  new Secret(secret);
  checkedPlan(plan);
  const expiresMs = expiresInMs === undefined ? undefined : Date.now() + expiresInMs;
  const members = new Map<number, Member>();
  const name = printable(hostname(), bounds.name) || "nameless";
  const take = (message: FromRoom) => {
    if (message.kind === "left") members.delete(message.number);
    if (message.kind === "members") for (const member of message.members) members.set(member.number, member);
  };
  const connection = new NatsRoomConnection(
    { url, secret, plan, expiresMs, limits, retries, retryMs },
    {
      join: () => ({ kind: "join", secret, name, adapter: "", role: "watcher", running: 0 }),
      welcome(message) {
        members.clear();
        for (const member of message.members) members.set(member.number, member);
      },
      message: take,
      note: (text) => note?.(text),
      lost: (error) => lost?.(error),
    },
  );
  await connection.open();
  const keeper = new Keeper({
    kept,
    ttlMs: Math.max(leastKeptMs, Math.min(mostKeptMs, expiresInMs ?? mostKeptMs)),
    open: (made) => connection.objects(made),
    failed: ({ message }) => note?.(`${message}; trying again`),
  });
  const silentMs = limits?.silentMs ?? defaultLimits.silentMs;
  try {
    await keeper.begin(silentMs);
  } catch (error) {
    connection.close();
    throw error;
  }
  return {
    url: publicUrl,
    joinUrl: joinLink({ url: publicUrl, secret }),
    get members() {
      return [...members.values()];
    },
    propose: (next) => connection.propose(checkedPlan(next)),
    close() {
      void keeper.end().finally(() => connection.close());
    },
  };
}

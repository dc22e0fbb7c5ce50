// Where a room on NATS is, and a connection there: over TCP in Node, over the server's WebSocket port in pages and wherever it is asked for.

import type { NatsConnection } from "@nats-io/nats-core";
import { UserError } from "../../backend/errors.ts";
import { inNode } from "../../backend/node.ts";
import { RendezvousError } from "./connection.ts";

export interface NatsAddress {
  /** without name and password */
  host: string;
  server: string;
  room: string;
  overWebSocket: boolean;
  login: { user?: string; pass?: string; token?: string };
}

/** for the server to answer */
const openMs = 10_000;

/** `nats://HOST:PORT/ROOM` or, over WebSocket, `nats+ws://` and `nats+wss://`: a plain ws:// is a room of `shardgrad serve`. */
export const isNatsUrl = (url: string): boolean => /^nats(\+wss?)?:/.test(url);

/** @throws UserError for what is no such address */
export function parseNatsUrl(url: string): NatsAddress {
  const form = "nats://HOST:PORT/ROOM, in a page nats+wss://HOST:PORT/ROOM";
  const address = isNatsUrl(url) && URL.canParse(url) ? new URL(url) : undefined;
  if (!address?.host) throw new UserError(`this is no address of a room on NATS; need ${form}`);
  const { protocol, host, pathname, username, password } = address;
  const room = pathname.slice(1);
  if (!/^[a-z0-9-]{1,40}$/.test(room))
    throw new UserError(`the address ends without a room's name, 1 to 40 characters of a-z, 0-9 and -; need ${form}`);
  const overWebSocket = protocol !== "nats:";
  if (!overWebSocket && !inNode())
    throw new UserError(`a page reaches NATS by its WebSocket port only; use nats+wss://HOST:PORT/${room}`);
  const [user, pass] = [username, password].map(decodeURIComponent);
  const login = pass !== "" ? { user, pass } : user !== "" ? { token: user } : {};
  return { host, server: `${protocol.replace("nats+", "")}//${host}`, room, overWebSocket, login };
}

/** A connection that is lost for good when it is lost: who has it opens another.
 *  @throws RendezvousError when nothing answers, or the server refuses */
export async function openNats({ host, server, overWebSocket, login }: NatsAddress): Promise<NatsConnection> {
  const options = { servers: server, ...login, reconnect: false, timeout: openMs, ignoreClusterUpdates: true };
  let timer: ReturnType<typeof setTimeout> | undefined;
  // A server that goes down between accepting and speaking leaves the client waiting, time-out or not.
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer for ${openMs / 1000} s`)), openMs);
  });
  try {
    const opening = overWebSocket ? openOverWebSocket(options) : (await loadNode()).connect(options);
    opening.then((opened) => late.catch(() => opened.close())).catch(() => undefined);
    return await Promise.race([opening, late]);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new RendezvousError(`no NATS server lets this member in at ${host}: ${reason}; see that one runs there`);
  } finally {
    clearTimeout(timer);
  }
}

async function openOverWebSocket(options: object): Promise<NatsConnection> {
  if (typeof globalThis.WebSocket === "function") return (await import("@nats-io/nats-core")).wsconnect(options);
  const [{ wsconnect }, { WebSocket }] = await Promise.all([loadNode(), import("ws")]);
  const wsFactory = async (url: string) => {
    // The same calls and events, of which ws has some more.
    const socket = new WebSocket(url) as unknown as globalThis.WebSocket;
    return { socket, encrypted: url.startsWith("wss:") };
  };
  return wsconnect({ ...options, wsFactory });
}

async function loadNode(): Promise<typeof import("@nats-io/transport-node")> {
  try {
    return await import("@nats-io/transport-node");
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`the package @nats-io/transport-node does not load (${reason}); npm install it`, { cause });
  }
}

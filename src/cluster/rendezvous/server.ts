// The rendezvous of one Node process: rooms over WebSockets, their pages over HTTP. Sockets, addresses and headers are here; who may do what
// is room.ts.

import { createServer, type Server as HttpServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo, isIPv6 } from "node:net";
import { networkInterfaces } from "node:os";
import type { Duplex } from "node:stream";
import { WebSocketServer } from "ws";
import { UserError } from "../../backend/errors.ts";
import { Addresses } from "./addresses.ts";
import type { Rate } from "./bucket.ts";
import { defaultLimits, type RoomLimits } from "./limits.ts";
import { joinLink } from "./link.ts";
import { isolationHeaders, ownPage, type Page } from "./pages.ts";
import { bounds, type Member, type Plan } from "./protocol.ts";
import { Room } from "./room.ts";
import { newSecret } from "./secret.ts";
import { attach } from "./wire.ts";

export interface RoomSpec {
  plan: Plan;
  /** 16 to 128 characters of a-z, A-Z, 0-9 and -._~; a random one of 128 bits when absent */
  secret?: string;
  /** from then on nobody joins any more; members stay. Never when absent. */
  expiresInMs?: number;
  limits?: Partial<RoomLimits>;
}

export interface RendezvousOptions extends RoomSpec {
  /** address to listen at; 0.0.0.0: all of this machine's */
  host: string;
  /** 0: any free one */
  port: number;
  /** further pages; what they give goes before the room's own page */
  pages?: (path: string) => Page | undefined;
  /** path of the page that takes part in a run; the room is its query's `room`, the secret its fragment */
  part?: string;
  /** how others reach this server when not at its own address: that of a proxy which speaks https, say */
  publicUrl?: string;
  /** origins of other servers whose pages may connect; those of this one may */
  origins?: readonly string[];
  /** rooms at once; 16 by default */
  mostRooms?: number;
  /** connections from one address; 100 at once and 10 a second by default: a class behind one router */
  connections?: Rate;
}

export interface OpenRoom {
  /** without the secret */
  readonly url: string;
  /** what to give to those who shall join: the secret is after its # */
  readonly joinUrl: string;
  readonly members: readonly Member[];
  /** Another plan, to which members have to agree anew; a run goes on.
   *  @throws UserError for a plan that cannot be */
  propose(plan: Plan): void;
  /** Sends everybody out. */
  close(): void;
}

export interface Rendezvous extends OpenRoom {
  /** of the first room, from this machine: also where its public address leads nowhere */
  readonly localUrl: string;
  /** A further room beside the first.
   *  @param name 1 to 40 of a-z, 0-9 and -
   *  @throws UserError for a name that is taken or no name, or too many rooms */
  open(name: string, spec: RoomSpec): OpenRoom;
  /** Ends all rooms and all connections, and frees the port. */
  close(): Promise<void>;
}

const mostConnections = 1024;

/** Starts a server with one room.
 *  @throws UserError when the address or port cannot be had, or for a plan or secret that cannot be */
export async function startRendezvous(options: RendezvousOptions): Promise<Rendezvous> {
  const server = new Server(options);
  try {
    await server.listen();
    return server.facade(server.add("/", options));
  } catch (error) {
    await server.close();
    throw error;
  }
}

class Server {
  readonly #options: RendezvousOptions;
  readonly #rooms = new Map<string, Room>();
  readonly #http: HttpServer;
  readonly #sockets = new WebSocketServer({
    noServer: true,
    clientTracking: true,
    maxPayload: bounds.messageBytes,
    perMessageDeflate: false,
  });
  readonly #addresses: Addresses;
  #ticks: ReturnType<typeof setInterval> | undefined;
  #origin = "";
  #localOrigin = "";

  constructor(options: RendezvousOptions) {
    this.#options = options;
    this.#origin = publicOrigin(options.publicUrl);
    const rate = options.connections ?? { perSecond: 10, burst: 100 };
    this.#addresses = new Addresses({ rate, nowMs: () => performance.now() });
    // Who says nothing, or a letter now and then, keeps a socket no longer than who does not join.
    const { joinMs } = { ...defaultLimits, ...options.limits };
    const times = { headersTimeout: joinMs, requestTimeout: 2 * joinMs, connectionsCheckingInterval: joinMs / 2 };
    this.#http = createServer(times, (request, response) => this.#answer(request, response));
    this.#http.maxConnections = mostConnections;
    this.#http.on("connection", (socket) => this.#addresses.connect(socket));
    this.#http.on("upgrade", (request, socket, head) => this.#upgrade(request, { socket, head }));
  }

  async listen(): Promise<void> {
    const { host, port } = this.#options;
    await new Promise<void>((resolve, reject) => {
      this.#http.once("error", (error: NodeJS.ErrnoException) => reject(notListening(error, { host, port })));
      this.#http.listen(port, host, resolve);
    });
    const address = this.#http.address() as AddressInfo;
    const origin = (name: string) => `http://${isIPv6(name) ? `[${name}]` : name}:${address.port}`;
    this.#localOrigin = origin(host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host);
    this.#origin ||= origin(reachable(host));
  }

  add(path: string, { plan, secret = newSecret(), expiresInMs, limits }: RoomSpec): OpenRoom {
    const room = new Room({
      ...{ plan, secret, limits },
      secretExpiresMs: expiresInMs === undefined ? undefined : performance.now() + expiresInMs,
      // By the clock: a room that is opened again starts later generations than the one before.
      firstGeneration: Date.now(),
      nowMs: () => performance.now(),
    });
    this.#rooms.set(path, room);
    this.#ticks ??= setInterval(() => this.#tick(), this.#tickMs());
    const url = `${this.#origin}${path}`;
    return {
      url,
      joinUrl: joinLink({ url, secret }),
      get members() {
        return room.members;
      },
      propose: (next) => room.propose(next),
      close: () => {
        this.#rooms.delete(path);
        room.close("the room is closed");
      },
    };
  }

  facade(first: OpenRoom): Rendezvous {
    return {
      url: first.url,
      localUrl: `${this.#localOrigin}/`,
      joinUrl: first.joinUrl,
      get members() {
        return first.members;
      },
      propose: (plan) => first.propose(plan),
      open: (name, spec) => this.#open(name, spec),
      close: () => this.close(),
    };
  }

  async close(): Promise<void> {
    clearInterval(this.#ticks);
    for (const room of this.#rooms.values()) room.close("the rendezvous has ended");
    this.#rooms.clear();
    const closed = new Promise((resolve) => this.#http.close(resolve));
    this.#http.closeIdleConnections();
    const all = [...this.#sockets.clients].map((socket) => new Promise((resolve) => socket.once("close", resolve)));
    await Promise.all(all);
    this.#http.closeAllConnections();
    await closed;
  }

  #open(name: string, spec: RoomSpec): OpenRoom {
    const { mostRooms = 16 } = this.#options;
    if (!/^[a-z0-9-]{1,40}$/.test(name))
      throw new UserError("a room's name needs 1 to 40 characters of a-z, 0-9 and -");
    const path = `/room/${name}`;
    if (this.#rooms.has(path)) throw new UserError(`there is a room ${name} already; use another name`);
    if (this.#rooms.size >= mostRooms)
      throw new UserError(`there are ${mostRooms} rooms already; close one, or give this rendezvous room for more`);
    return this.add(path, spec);
  }

  /** A quarter of the shortest time that a room goes by. */
  #tickMs(): number {
    const [{ limits }] = this.#rooms.values();
    const { pingMs, silentMs, joinMs, readyMs, settleMs } = limits;
    return Math.max(5, Math.min(pingMs, silentMs, joinMs, readyMs, settleMs) / 4);
  }

  #tick(): void {
    for (const room of this.#rooms.values()) room.tick();
    this.#addresses.tick();
  }

  #answer({ method, url }: IncomingMessage, response: ServerResponse): void {
    const send = (status: number, { type, body, policy }: Page & { policy?: string }) => {
      const headers = { ...isolationHeaders, "Content-Type": type, "Cache-Control": "no-store" };
      response.writeHead(status, { ...headers, ...(policy && { "Content-Security-Policy": policy }) });
      response.end(method === "HEAD" ? undefined : body);
    };
    const type = "text/plain; charset=utf-8";
    const { pages, part } = this.#options;
    const path = pathOf(url);
    let page: (Page & { policy?: string }) | undefined;
    try {
      page = pages?.(path) ?? ownPage(path, { rooms: this.#rooms, part });
    } catch {
      // Whoever asks for an odd page does not end the rooms of others.
      send(500, { type, body: "this page cannot be had\n" });
      return;
    }
    if (method !== "GET" && method !== "HEAD") send(405, { type, body: "pages are read with GET or HEAD\n" });
    else if (page) send(200, page);
    else send(404, { type, body: "there is no such page; use the whole link that `shardgrad serve` printed\n" });
  }

  #upgrade(request: IncomingMessage, { socket, head }: { socket: Duplex; head: Buffer }): void {
    socket.on("error", () => socket.destroy());
    const room = this.#rooms.get(pathOf(request.url));
    if (!this.#welcomeOrigin(request)) refuse(socket, "403 Forbidden");
    else if (!this.#addresses.welcome(request.socket)) refuse(socket, "429 Too Many Requests");
    else if (!room) refuse(socket, "404 Not Found");
    else this.#sockets.handleUpgrade(request, socket, head, (webSocket) => attach(room, webSocket));
  }

  /** A page of another site could connect with its visitor's network; terminals say no origin. */
  #welcomeOrigin({ headers: { origin, host } }: IncomingMessage): boolean {
    if (origin === undefined || origin === this.#origin || this.#options.origins?.includes(origin)) return true;
    return URL.canParse(origin) && new URL(origin).host === host;
  }
}

function refuse(socket: Duplex, status: string): void {
  const answer = `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`;
  socket.end(answer, () => socket.destroy());
}

const pathOf = (url = "/"): string => url.replace(/[?#].*$/s, "");

/** Under which name others reach a server that listens at `host`. */
function reachable(host: string): string {
  if (host !== "0.0.0.0" && host !== "::") return host;
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return all.find(({ family, internal }) => family === "IPv4" && !internal)?.address ?? "127.0.0.1";
}

/** @throws UserError for what is no address of a whole server */
function publicOrigin(url: string | undefined): string {
  if (url === undefined) return "";
  const {
    protocol = "",
    pathname,
    search,
    hash,
    origin = "",
  } = URL.canParse(url) ? new URL(url) : ({} as Partial<URL>);
  if (/^https?:$/.test(protocol) && pathname === "/" && !search && !hash) return origin;
  throw new UserError("the public address needs the form https://HOST or https://HOST:PORT, with no path behind it");
}

function notListening({ code, message }: NodeJS.ErrnoException, { host, port }: { host: string; port: number }) {
  if (code === "EADDRINUSE") return new UserError(`port ${port} of ${host} is taken; use another --port, or 0 for any`);
  if (code === "EACCES") return new UserError(`port ${port} of ${host} is not for this user; use a --port from 1024`);
  return new UserError(`cannot listen at ${host}, port ${port}: ${message}; use another --host or --port`);
}

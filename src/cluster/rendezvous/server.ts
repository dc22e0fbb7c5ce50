// The rendezvous of one Node process: rooms over WebSockets, their pages over HTTP. Sockets, addresses and headers are here; who may do what
// in a room is room.ts, who may open one opening.ts.

import { randomBytes } from "node:crypto";
import { createServer, type Server as HttpServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo, isIPv6 } from "node:net";
import type { Duplex } from "node:stream";
import { WebSocketServer } from "ws";
import { UserError } from "../../backend/errors.ts";
import { Addresses } from "./addresses.ts";
import type { Rate } from "./bucket.ts";
import { defaultLimits, type RoomLimits } from "./limits.ts";
import { joinLink } from "./link.ts";
import type { OpenRoom, Rendezvous, RoomServer, RoomSpec } from "./open-room.ts";
import { type Asker, isLoopback, type Opening, Openings } from "./opening.ts";
import { isOwnOrigin, notListening, publicOrigin, reachable } from "./own-origin.ts";
import { isolationHeaders, ownPage, type Page } from "./pages.ts";
import { bounds } from "./protocol.ts";
import { Room } from "./room.ts";
import { newSecret } from "./secret.ts";
import { attach, turnAway } from "./wire.ts";

export interface ServerOptions {
  /** address to listen at; 0.0.0.0: all of this machine's */
  host: string;
  /** 0: any free one */
  port: number;
  /** further pages; what they give goes before the rooms' own pages */
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
  /** lets pages open rooms; none do when absent */
  opening?: Opening;
  /** of rooms that have none of their own */
  limits?: Partial<RoomLimits>;
}

export interface RendezvousOptions extends ServerOptions, RoomSpec {
  pages?: (path: string) => Page | undefined;
  limits?: Partial<RoomLimits>;
}

const mostConnections = 1024;

/** Starts a server without rooms.
 *  @throws UserError when the address or port cannot be had */
export async function startServer(options: ServerOptions): Promise<RoomServer> {
  return started(options, (server) => server.facade());
}

/** Starts a server with one room, whose page is the server's first.
 *  @throws UserError when the address or port cannot be had, or for a plan or secret that cannot be */
export async function startRendezvous(options: RendezvousOptions): Promise<Rendezvous> {
  const { plan, secret, expiresInMs, emptyMs } = options;
  return started(options, (server) => {
    const room = server.add("/", { plan, secret, expiresInMs, emptyMs });
    return {
      ...server.facade(),
      url: room.url,
      joinUrl: room.joinUrl,
      get members() {
        return room.members;
      },
      propose: room.propose,
    };
  });
}

async function started<T>(options: ServerOptions, begin: (server: Server) => T): Promise<T> {
  const server = new Server(options);
  try {
    await server.listen();
    return begin(server);
  } catch (error) {
    await server.close();
    throw error;
  }
}

interface Kept {
  room: Room;
  emptyMs: number;
  /** since when it has had no rank */
  emptySinceMs: number;
  pages: RoomSpec["pages"];
}

class Server {
  readonly #options: ServerOptions;
  readonly #rooms = new Map<string, Kept>();
  readonly #openings: Openings | undefined;
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

  constructor(options: ServerOptions) {
    this.#options = options;
    this.#openings =
      options.opening && new Openings(options.opening, (spec) => this.#open(randomBytes(5).toString("hex"), spec));
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

  add(path: string, spec: RoomSpec): OpenRoom {
    const { plan, secret = newSecret(), expiresInMs, emptyMs = Number.POSITIVE_INFINITY, pages } = spec;
    const room = new Room({
      ...{ plan, secret, limits: { ...this.#options.limits, ...spec.limits } },
      secretExpiresMs: expiresInMs === undefined ? undefined : performance.now() + expiresInMs,
      // By the clock: a room that is opened again starts later generations than the one before.
      firstGeneration: Date.now(),
      nowMs: () => performance.now(),
    });
    this.#rooms.set(path, { room, emptyMs, emptySinceMs: performance.now(), pages });
    this.#ticks ??= setInterval(() => this.#tick(), this.#tickMs(emptyMs));
    const url = `${this.#origin}${path}`;
    return {
      url,
      joinUrl: joinLink({ url, secret }),
      get members() {
        return room.members;
      },
      propose: (next) => room.propose(next),
      close: () => this.#closeRoom(path),
    };
  }

  facade(): RoomServer {
    return {
      origin: this.#origin,
      localUrl: `${this.#localOrigin}/`,
      open: (name, spec) => this.#open(name, spec),
      close: () => this.close(),
    };
  }

  async close(): Promise<void> {
    clearInterval(this.#ticks);
    for (const { room } of this.#rooms.values()) room.close("the rendezvous has ended");
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

  #closeRoom(path: string): void {
    const kept = this.#rooms.get(path);
    this.#rooms.delete(path);
    kept?.room.close("the room is closed");
  }

  /** A quarter of the shortest time that a room goes by. */
  #tickMs(emptyMs: number): number {
    const { pingMs, silentMs, joinMs, readyMs, settleMs } = { ...defaultLimits, ...this.#options.limits };
    return Math.max(5, Math.min(pingMs, silentMs, joinMs, readyMs, settleMs, emptyMs) / 4);
  }

  #tick(): void {
    const nowMs = performance.now();
    for (const [path, kept] of this.#rooms) {
      kept.room.tick();
      if (kept.room.members.some(({ role }) => role === "rank")) kept.emptySinceMs = nowMs;
      else if (nowMs - kept.emptySinceMs >= kept.emptyMs) this.#closeRoom(path);
    }
    this.#addresses.tick();
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const { method, url } = request;
    const send = (status: number, { type, body, policy, location }: Page & { policy?: string }) => {
      const headers = { ...isolationHeaders, "Content-Type": type, "Cache-Control": "no-store" };
      const more = { ...(policy && { "Content-Security-Policy": policy }), ...(location && { Location: location }) };
      response.writeHead(status, { ...headers, ...more });
      response.end(method === "HEAD" ? undefined : body);
    };
    const type = "text/plain; charset=utf-8";
    const path = pathOf(url);
    if (method === "POST" && path === this.#options.opening?.path) {
      void this.#openings?.answer(request, response, this.#asker(request));
      return;
    }
    let page: (Page & { policy?: string }) | undefined;
    try {
      page = this.#page(path);
    } catch {
      // Whoever asks for an odd page does not end the rooms of others.
      send(500, { type, body: "this page cannot be had\n" });
      return;
    }
    if (method !== "GET" && method !== "HEAD") send(405, { type, body: "pages are read with GET or HEAD\n" });
    else if (page) send(page.location === undefined ? 200 : 302, page);
    else send(404, { type, body: "there is no such page; use the whole link that `shardgrad serve` printed\n" });
  }

  #page(path: string): (Page & { policy?: string }) | undefined {
    const { pages, part, opening } = this.#options;
    const given = pages?.(path);
    if (given) return given;
    for (const kept of this.#rooms.values()) {
      const page = kept.pages?.(path);
      if (page) return page;
    }
    const name = nameOf(path);
    // Also of rooms that are gone: the page says so.
    if (opening && name) return { type: "text/plain; charset=utf-8", body: "", location: opening.pageOf(name) };
    return ownPage(path, { rooms: this.#rooms, part });
  }

  #asker({ headers, socket }: IncomingMessage): Asker {
    const { origin = "", host } = headers;
    return {
      ownOrigin: origin === this.#origin || isOwnOrigin(origin, { host, listensAt: this.#options.host }),
      local: this.#options.publicUrl === undefined && isLoopback(socket.remoteAddress),
      welcome: () => this.#addresses.welcome(socket),
    };
  }

  #upgrade(request: IncomingMessage, { socket, head }: { socket: Duplex; head: Buffer }): void {
    socket.on("error", () => socket.destroy());
    const path = pathOf(request.url);
    const kept = this.#rooms.get(path);
    const told = this.#openings && nameOf(path) !== undefined;
    if (!this.#welcomeOrigin(request)) refuse(socket, "403 Forbidden");
    else if (!this.#addresses.welcome(request.socket)) refuse(socket, "429 Too Many Requests");
    else if (kept) this.#sockets.handleUpgrade(request, socket, head, (webSocket) => attach(kept.room, webSocket));
    else if (told) this.#sockets.handleUpgrade(request, socket, head, (webSocket) => turnAway(webSocket, noRoom));
    else refuse(socket, "404 Not Found");
  }

  /** A page of another site could connect with its visitor's network; terminals say no origin. */
  #welcomeOrigin({ headers: { origin, host } }: IncomingMessage): boolean {
    if (origin === undefined || origin === this.#origin || this.#options.origins?.includes(origin)) return true;
    return URL.canParse(origin) && new URL(origin).host === host;
  }
}

const noRoom = "this room is closed; ask for a link to another one";

/** "abc" of /room/abc */
const nameOf = (path: string): string | undefined => /^\/room\/([a-z0-9-]{1,40})$/.exec(path)?.[1];

function refuse(socket: Duplex, status: string): void {
  const answer = `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`;
  socket.end(answer, () => socket.destroy());
}

const pathOf = (url = "/"): string => url.replace(/[?#].*$/s, "");

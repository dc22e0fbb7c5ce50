// Rooms that pages of a rendezvous open: a POST of JSON, who may send it and how large it may be. What a room is made of is the maker's.

import type { IncomingMessage, ServerResponse } from "node:http";
import { UserError } from "../../backend/errors.ts";
import { defaultOpeningLimits, type OpeningLimits } from "./limits.ts";
import type { OpenRoom, RoomSpec } from "./open-room.ts";
import { isolationHeaders } from "./pages.ts";

export interface Opening {
  /** where pages POST to */
  path: string;
  /** Whether other machines may open rooms; this one may. Behind a proxy everybody seems to be this one: there nobody may without it. */
  shared: boolean;
  /** path and query of the page that takes part in a room: where the room's own address leads */
  pageOf: (name: string) => string;
  /** @throws UserError for what no room can be made of: its words are the answer */
  make: (value: unknown) => RoomSpec;
  limits?: Partial<OpeningLimits>;
}

/** Not opened: a status and a sentence. */
class NotOpened extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** Who asks, as the server knows it. */
export interface Asker {
  /** the request's origin is this server's own */
  ownOrigin: boolean;
  /** nobody else's machine */
  local: boolean;
  /** has not asked too often */
  welcome: () => boolean;
}

export class Openings {
  readonly #opening: Opening;
  readonly #limits: OpeningLimits;
  readonly #open: (spec: RoomSpec) => OpenRoom;
  #uploads = 0;

  constructor(opening: Opening, open: (spec: RoomSpec) => OpenRoom) {
    this.#opening = opening;
    this.#limits = { ...defaultOpeningLimits, ...opening.limits };
    this.#open = open;
  }

  /** Answers a POST: 201 and where the room is, or a status and why there is none. */
  async answer(request: IncomingMessage, response: ServerResponse, asker: Asker): Promise<void> {
    const send = (status: number, value: object) => {
      // What has not been read of a refused request is not waited for.
      const headers = { ...isolationHeaders, "Content-Type": "application/json", "Cache-Control": "no-store" };
      response.writeHead(status, { ...headers, ...(status === 201 ? {} : { Connection: "close" }) });
      response.end(JSON.stringify(value));
    };
    try {
      this.#check(request, asker);
      const { joinUrl } = this.#open({
        ...this.#opening.make(await this.#read(request)),
        emptyMs: this.#limits.emptyMs,
      });
      send(201, { joinUrl });
    } catch (error) {
      request.resume();
      if (error instanceof NotOpened) send(error.status, { error: error.message });
      else if (error instanceof UserError) send(422, { error: error.message });
      else send(500, { error: "the room could not be opened" });
    }
  }

  #check({ headers }: IncomingMessage, { ownOrigin, local, welcome }: Asker): void {
    // A page of another site could ask with its visitor's network, and would be this machine to us.
    if (!ownOrigin)
      throw new NotOpened(403, "rooms are opened by this server's own pages alone; open its Together page");
    // Other origins' pages cannot send this type without asking first.
    if (!/^application\/json(;|$)/i.test(headers["content-type"] ?? ""))
      throw new NotOpened(415, "a room is asked for in application/json");
    if (!local && !this.#opening.shared)
      throw new NotOpened(
        403,
        "rooms are opened on the machine that runs the server; start it with --share to let others open some, or join one by its link",
      );
    if (!welcome()) throw new NotOpened(429, "too many requests from this address; wait some seconds");
    const { bodyBytes, uploads } = this.#limits;
    if (Number(headers["content-length"] ?? 0) > bodyBytes) throw tooLarge(bodyBytes);
    if (this.#uploads >= uploads)
      throw new NotOpened(503, `${uploads} rooms are being opened already; try again in some seconds`);
  }

  async #read(request: IncomingMessage): Promise<unknown> {
    const { bodyBytes } = this.#limits;
    const pieces: Buffer[] = [];
    let bytes = 0;
    this.#uploads++;
    try {
      await new Promise<void>((resolve, reject) => {
        request.on("data", (piece: Buffer) => {
          bytes += piece.length;
          // The rest is read and dropped: a page hears no answer before it has sent all.
          if (bytes > bodyBytes) reject(tooLarge(bodyBytes));
          else pieces.push(piece);
        });
        request.on("end", resolve);
        request.on("close", () => reject(new NotOpened(400, "the request was cut off")));
      });
    } finally {
      this.#uploads--;
    }
    try {
      return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(pieces)));
    } catch {
      throw new NotOpened(400, "what was sent is not JSON");
    }
  }
}

const tooLarge = (bodyBytes: number) =>
  new NotOpened(413, `a room's request has more than ${bodyBytes / 2 ** 20} MiB; use a shorter text`);

/** @param address as a socket has it */
export const isLoopback = (address = ""): boolean => /^(::ffff:)?127\.|^::1$/.test(address);

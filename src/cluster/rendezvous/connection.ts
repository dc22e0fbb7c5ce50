// A member's connection to its room: opened, joined, watched, and opened again when it is lost. What the messages mean is client.ts.

import { UserError } from "../../backend/errors.ts";
import type { RelayWire } from "../../comm/relay-channel.ts";
import type { RoomObjects } from "./objects.ts";
import { bounds, type FromRoom, ProtocolError, parseFromRoom, type ToRoom } from "./protocol.ts";
import { closeReason, openWebSocket } from "./socket.ts";

/** A room that cannot be joined, or no longer be reached, or a start that does not come. */
export class RendezvousError extends Error {
  override name = "RendezvousError";
}

type Welcome = Extract<FromRoom, { kind: "welcome" }>;

export interface ConnectionListener {
  /** the first message of each connection */
  join(): ToRoom;
  welcome(message: Welcome): void;
  message(message: Exclude<FromRoom, { kind: "welcome" | "dropped" }>): void;
  /** what happened, in words */
  note(text: string): void;
  /** there will be no connection any more */
  lost(error: RendezvousError): void;
}

/** A member's way to its room, lost and opened again behind it. */
export interface RoomConnecting {
  /** @throws RendezvousError when the room cannot be reached, or refuses */
  open(): Promise<void>;
  /** @returns whether there is a connection */
  send(message: ToRoom): boolean;
  close(): void;
  /** Where frames can go through the room: a way to a rank of the run of that generation.
   *  @throws RendezvousError when there is no connection, or no such run */
  wire?(generation: number, to: number): RelayWire;
  /** What the room keeps, where it keeps anything.
   *  @throws RendezvousError when there is no connection, or nothing is kept */
  objects?(): Promise<RoomObjects>;
}

/** Not let in; `final`: coming again will not help. */
class Refused extends RendezvousError {
  constructor(
    message: string,
    readonly final: boolean,
  ) {
    super(message);
  }
}

/** for a connection to open and the room to answer */
const welcomeMs = 10_000;
const longestPauseMs = 5_000;

export class RoomConnection implements RoomConnecting {
  readonly #listener: ConnectionListener;
  readonly #address: string;
  readonly #host: string;
  readonly #retries: number;
  readonly #retryMs: number;
  #socket: WebSocket | undefined;
  #watch: ReturnType<typeof setInterval> | undefined;
  #heardMs = 0;
  #closed = false;

  /** @throws UserError for an address that is none */
  constructor(
    { url, retries, retryMs }: { url: string; retries: number; retryMs: number },
    listener: ConnectionListener,
  ) {
    if (!URL.canParse(url) || !/^(http|ws)s?:/.test(url))
      throw new UserError(
        "a room's address begins with http, https, ws or wss; use the link that `shardgrad serve` printed",
      );
    const address = new URL(url);
    address.protocol = address.protocol.replace("http", "ws");
    // What follows the # is the secret: it goes in the first message and nowhere else.
    address.hash = "";
    this.#address = address.href;
    this.#host = address.host;
    this.#retries = retries;
    this.#retryMs = retryMs;
    this.#listener = listener;
  }

  async open(): Promise<void> {
    const socket = await openWebSocket(this.#address);
    let timer: ReturnType<typeof setTimeout> | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        const refuse = (reason: string, final = false) => reject(new Refused(reason, final));
        timer = setTimeout(() => refuse(`${this.#host} has not answered for ${welcomeMs / 1000} s`), welcomeMs);
        this.#converse(socket, { resolve, refuse });
      });
    } catch (error) {
      socket.close();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  send(message: ToRoom): boolean {
    if (this.#socket?.readyState !== 1) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  close(): void {
    this.#closed = true;
    this.#disconnect();
  }

  #converse(socket: WebSocket, first: { resolve(): void; refuse(reason: string, final?: boolean): void }): void {
    let welcomed = false;
    let opened = false;
    let dropped: { reason: string; final: boolean } | undefined;
    let fault = "";
    socket.onopen = () => {
      opened = true;
      socket.send(JSON.stringify(this.#listener.join()));
    };
    // Pages are not told what it was; that it closes follows.
    socket.onerror = (event) => {
      fault = (event as Partial<ErrorEvent>).message ?? "";
    };
    socket.onmessage = ({ data }) => {
      this.#heardMs = performance.now();
      const message = understood(data);
      if (message?.kind === "dropped") dropped = message;
      else if (message?.kind === "welcome" && !welcomed && !this.#closed) {
        welcomed = true;
        this.#enter(socket, message);
        first.resolve();
      } else if (message && message.kind !== "welcome" && welcomed) this.#listener.message(message);
      else {
        dropped = { reason: "it sent what no room sends", final: true };
        socket.close();
      }
    };
    socket.onclose = (event) => {
      const reason = dropped?.reason ?? closeReason(event);
      const final = dropped?.final ?? event.code === 1009;
      if (welcomed) this.#lost(reason, final);
      else if (opened) first.refuse(`the room at ${this.#host} does not let this member in: ${reason}`, final);
      else
        first.refuse(
          `no room answers at ${this.#host}${fault && ` (${fault})`}; start \`shardgrad serve\` there, or use its link`,
        );
    };
  }

  #enter(socket: WebSocket, welcome: Welcome): void {
    this.#socket = socket;
    const { pingMs } = welcome;
    let lookedMs = performance.now();
    this.#watch = setInterval(() => {
      const nowMs = performance.now();
      // A thread that was at work for long looks before it takes what has come meanwhile.
      const late = nowMs - lookedMs > 2 * pingMs;
      lookedMs = nowMs;
      if (!late && nowMs - this.#heardMs > 3 * pingMs) this.#lost("it is silent", false);
    }, pingMs);
    this.#listener.welcome(welcome);
  }

  #disconnect(): void {
    clearInterval(this.#watch);
    const socket = this.#socket;
    this.#socket = undefined;
    if (!socket) return;
    socket.onclose = null;
    socket.onmessage = null;
    socket.close();
  }

  #lost(reason: string, final: boolean): void {
    if (this.#closed || !this.#socket) return;
    this.#disconnect();
    if (final) this.#giveUp(new RendezvousError(`the room at ${this.#host} dropped this member: ${reason}`));
    else void this.#retry(reason);
  }

  async #retry(reason: string): Promise<void> {
    this.#listener.note(`the room at ${this.#host} is lost: ${reason}; trying again`);
    for (let attempt = 0; attempt < this.#retries; attempt++) {
      const pauseMs = Math.min(longestPauseMs, this.#retryMs * 2 ** attempt);
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
      if (this.#closed) return;
      try {
        await this.open();
        this.#listener.note("in the room again");
        return;
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        if (!error.final) continue;
        this.#giveUp(error);
        return;
      }
    }
    const tried = `tried ${this.#retries} times`;
    this.#giveUp(
      new RendezvousError(`the room at ${this.#host} is lost: ${reason}; ${tried}; join again to take part`),
    );
  }

  #giveUp(error: RendezvousError): void {
    if (this.#closed) return;
    this.close();
    this.#listener.lost(error);
  }
}

/** @returns undefined for what no room sends */
function understood(data: unknown): FromRoom | undefined {
  if (typeof data !== "string" || data.length > bounds.answerBytes) return undefined;
  try {
    return parseFromRoom(data);
  } catch (error) {
    if (error instanceof ProtocolError) return undefined;
    throw error;
  }
}

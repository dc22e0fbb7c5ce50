// A room on a NATS server, whose members do themselves what a server of ours would: `joinRoom` with a nats:// address, and whoever makes one.
// Connections that are lost are opened again here; what is said over one is nats-session.ts.

import type { RelayWire } from "../../comm/relay-channel.ts";
import { type ConnectionListener, RendezvousError, type RoomConnecting } from "./connection.ts";
import { defaultLimits, type RoomLimits } from "./limits.ts";
import { type NatsAddress, parseNatsUrl } from "./nats-address.ts";
import type { NatsObjects } from "./nats-objects.ts";
import type { Memory } from "./nats-roster.ts";
import { Seal } from "./nats-seal.ts";
import { NatsSession } from "./nats-session.ts";
import type { FromRoom, Plan, ToRoom } from "./protocol.ts";

/** for the members to answer */
const welcomeMs = 10_000;
const longestPauseMs = 5_000;

interface Options {
  url: string;
  secret: string;
  retries: number;
  retryMs: number;
}

export class NatsRoomConnection implements RoomConnecting {
  readonly #address: NatsAddress;
  readonly #options: Options;
  readonly #listener: ConnectionListener;
  readonly #memory: Memory;
  readonly #limits: RoomLimits;
  #seal: Seal | undefined;
  #session: NatsSession | undefined;
  #opening: { resolve(): void; refuse(reason: string, final: boolean): void } | undefined;
  #closed = false;

  /** @throws UserError for an address that is none */
  constructor(
    options: Options & { plan?: Plan; expiresMs?: number; limits?: Partial<RoomLimits> },
    listener: ConnectionListener,
  ) {
    this.#address = parseNatsUrl(options.url);
    this.#options = options;
    this.#listener = listener;
    this.#limits = { ...defaultLimits, ...options.limits };
    const { plan, expiresMs } = options;
    this.#memory = { plan, expiresMs, generation: 0, before: undefined, founds: plan !== undefined };
  }

  async open(): Promise<void> {
    const { room, host } = this.#address;
    this.#seal ??= await Seal.of({ secret: this.#options.secret, room });
    const welcomed = new Promise<void>((resolve, reject) => {
      const refuse = (reason: string, final: boolean) =>
        reject(new Refused(`the room ${room} at ${host} does not let this member in: ${reason}`, final));
      this.#opening = { resolve, refuse };
    });
    welcomed.catch(() => undefined);
    const session = await NatsSession.open({
      ...{ address: this.#address, seal: this.#seal, memory: this.#memory, limits: this.#limits },
      silentMs: this.#limits.silentMs,
      listener: {
        join: () => this.#join(),
        message: (message) => this.#take(message),
        lost: (reason, final) => this.#lost(reason, final),
      },
    });
    this.#session = session;
    const timer = setTimeout(
      () => this.#opening?.refuse(`no member has answered for ${welcomeMs / 1000} s`, false),
      welcomeMs,
    );
    try {
      await welcomed;
    } catch (error) {
      this.#session = undefined;
      await session.leave();
      throw error;
    } finally {
      clearTimeout(timer);
    }
    if (this.#closed) await session.leave();
  }

  send(message: ToRoom): boolean {
    if (!this.#session || this.#opening) return false;
    this.#session.send(message);
    return true;
  }

  wire(generation: number, to: number): RelayWire {
    const wire = this.#session?.wire(generation, to);
    if (wire) return wire;
    throw new RendezvousError(`nothing goes to rank ${to} through the room: it is out of reach, or the run has ended`);
  }

  /** @param made of the store that is made if there is none; undefined: there must be one */
  objects(made?: { mostBytes: number; ttlMs: number }): Promise<NatsObjects> {
    if (this.#session) return this.#session.objects(made);
    return Promise.reject(new RendezvousError("nothing that the room keeps can be had: it is out of reach"));
  }

  propose(plan: Plan): void {
    this.#memory.plan = plan;
    this.#session?.propose(plan);
  }

  close(): void {
    this.#closed = true;
    // Nobody waits for a welcome any more: it would keep a process for as long as members may take to answer.
    this.#opening?.refuse("it has left", true);
    void this.#session?.leave();
    this.#session = undefined;
  }

  #join() {
    const join = this.#listener.join();
    if (join.kind !== "join") throw new TypeError("who joins says so");
    return join;
  }

  #take(message: FromRoom): void {
    if (this.#closed) return;
    if (message.kind === "welcome") {
      const opening = this.#opening;
      this.#opening = undefined;
      this.#listener.welcome(message);
      opening?.resolve();
    } else if (message.kind !== "dropped" && !this.#opening) this.#listener.message(message);
  }

  #lost(reason: string, final: boolean): void {
    if (this.#opening) {
      this.#opening.refuse(reason, final);
      return;
    }
    this.#session = undefined;
    if (this.#closed) return;
    const { room, host } = this.#address;
    if (final) this.#giveUp(new RendezvousError(`the room ${room} at ${host} dropped this member: ${reason}`));
    else void this.#retry(reason);
  }

  async #retry(reason: string): Promise<void> {
    const { retries, retryMs } = this.#options;
    const { room, host } = this.#address;
    this.#listener.note(`the room ${room} at ${host} is lost: ${reason}; trying again`);
    for (let attempt = 0; attempt < retries; attempt++) {
      const pauseMs = Math.min(longestPauseMs, retryMs * 2 ** attempt);
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
      if (this.#closed) return;
      try {
        await this.open();
        if (!this.#closed) this.#listener.note("in the room again");
        return;
      } catch (error) {
        if (!(error instanceof RendezvousError)) throw error;
        if (!(error instanceof Refused && error.final)) continue;
        this.#giveUp(error);
        return;
      }
    }
    const tried = `tried ${retries} times`;
    this.#giveUp(
      new RendezvousError(`the room ${room} at ${host} is lost: ${reason}; ${tried}; join again to take part`),
    );
  }

  #giveUp(error: RendezvousError): void {
    if (this.#closed) return;
    this.close();
    this.#listener.lost(error);
  }
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

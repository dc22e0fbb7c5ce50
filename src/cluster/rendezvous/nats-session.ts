// One connection to a room on NATS: an entry in the room's key-value store that says this member is there, messages to and from the others, and
// the desk while this member leads. Rooms need no server of ours: the member with the smallest number does what one would.
//
//   KV bucket shardgrad-ROOM   a key for each member, renewed three times within the store's expiry; for who comes later, and for silence
//   shardgrad.ROOM.to.ID       messages to the member of that id, from each other member
//
// All of it is sealed with a key from the secret (nats-seal.ts), for the subject it goes to, with sender and number inside. Who reaches the NATS
// server without the secret can still see that there is a room, how many are in it and how much they say, and can flood it, or delete its store:
// members put their entries there again. To forbid that is what NATS's own accounts and permissions are for. Members trust each other as far as
// the secret goes: with it one could speak for another.

import type { NatsConnection } from "@nats-io/nats-core";
import { RendezvousError } from "./connection.ts";
import type { RoomLimits } from "./limits.ts";
import { type NatsAddress, openNats } from "./nats-address.ts";
import { Desk } from "./nats-desk.ts";
import { type Letter, Letters, newId } from "./nats-letters.ts";
import { NatsObjects } from "./nats-objects.ts";
import { type Entry, type Memory, Roster } from "./nats-roster.ts";
import { type Outgoing, RunOnNats } from "./nats-run.ts";
import type { Seal } from "./nats-seal.ts";
import { Announcer, Store, type Watch } from "./nats-store.ts";
import { NatsWire } from "./nats-wire.ts";
import { type FromRoom, type Plan, ProtocolError, parseFromRoom, parsePlan, type ToRoom } from "./protocol.ts";

type Join = Extract<ToRoom, { kind: "join" }>;

export interface SessionListener {
  /** as it is now */
  join(): Join;
  message(message: FromRoom): void;
  /** It has ended; `final`: another will not help. */
  lost(reason: string, final: boolean): void;
}

export interface SessionOptions {
  address: NatsAddress;
  seal: Seal;
  memory: Memory;
  limits: RoomLimits;
  /** of a store that is not there yet: how long a member may be silent */
  silentMs: number;
  listener: SessionListener;
}

/** for the server to take what is said at the end */
const leaveMs = 1000;

const nowMs = () => performance.now();

export class NatsSession {
  readonly id = newId();
  readonly #options: SessionOptions;
  readonly #connection: NatsConnection;
  readonly #store: Store;
  readonly #pingMs: number;
  readonly #roster: Roster;
  readonly #letters: Letters;
  readonly #announcer: Announcer;
  #number = 0;
  #timer: ReturnType<typeof setInterval> | undefined;
  #watch: Watch | undefined;
  #tickedMs = nowMs();
  #viewed = false;
  #unreadable = false;
  #leader: string | undefined;
  #welcomed = false;
  #desk: Desk | undefined;
  #run: RunOnNats | undefined;
  #ended = false;

  private constructor(options: SessionOptions, { connection, store }: { connection: NatsConnection; store: Store }) {
    const { id } = this;
    const { seal, address } = options;
    this.#options = options;
    this.#connection = connection;
    this.#store = store;
    this.#pingMs = store.silentMs / 3;
    this.#roster = new Roster({ silentMs: store.silentMs, nowMs });
    const lost = (reason: string) => this.#lose(reason);
    const take = ({ from, sequence, ...letter }: Letter & { from: string; sequence: number }) => {
      if (from === id || this.#roster.heard(from, sequence)) this.#take(from, letter);
    };
    this.#announcer = new Announcer(store, { own: (sequence) => ({ ...this.#own, sequence }), lost });
    this.#letters = new Letters({ connection, seal, room: address.room, id, take, lost });
  }

  /** Resolves once it has a number; that it is welcome, or is not, the listener is told then.
   *  @throws RendezvousError when there is no such server or room, or the server keeps no store */
  static async open(options: SessionOptions): Promise<NatsSession> {
    const { address, seal, memory } = options;
    const connection = await openNats(address);
    try {
      const silentMs = memory.plan && options.silentMs;
      const store = await Store.open(connection, { address, seal, silentMs });
      const session = new NatsSession(options, { connection, store });
      await session.#begin();
      return session;
    } catch (error) {
      void connection.close();
      if (error instanceof RendezvousError) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      throw new RendezvousError(`the NATS server at ${address.host} does not take this member's entry: ${reason}`);
    }
  }

  /** Nothing happens once it has ended. */
  send(message: ToRoom): void {
    const run = this.#run;
    if (message.kind === "signal" && run) this.#sendAll(run.signal(message));
    if (message.kind === "over" && run?.generation === message.generation) {
      this.#sendAll(run.over(message));
      this.#run = undefined;
    }
    if (message.kind !== "agree" && message.kind !== "ready" && message.kind !== "over") return;
    if (this.#leader) this.#post(this.#leader, { kind: "ask", text: JSON.stringify(message) });
    void this.#announcer.announce();
  }

  /** To a rank of the run; undefined: there is none. */
  wire(generation: number, to: number): NatsWire | undefined {
    const { seal, address } = this.#options;
    const other = this.#run?.generation === generation ? this.#run.idOf(to) : undefined;
    if (other === undefined || other === this.id || this.#ended) return undefined;
    return new NatsWire({ connection: this.#connection, seal, room: address.room, generation, own: this.id, other });
  }

  /** @param made of the store that is made if there is none; undefined: there must be one */
  objects(made?: { mostBytes: number; ttlMs: number }): Promise<NatsObjects> {
    const { seal, address } = this.#options;
    const { silentMs } = this.#store;
    return NatsObjects.open(this.#connection, { seal, room: address.room, silentMs, made });
  }

  /** Another plan for the room, by who made it. */
  propose(plan: Plan): void {
    if (this.#leader) this.#post(this.#leader, { kind: "propose", text: JSON.stringify(plan) });
  }

  /** Leaves: the others are told, and the store keeps nothing of this member. */
  async leave(): Promise<void> {
    if (this.#ended) return;
    for (const { id } of this.#roster.living) this.#post(id, { kind: "bye" });
    const told = this.#letters.sent;
    this.#stop();
    const timer = setTimeout(() => void this.#connection.close(), leaveMs);
    await told.then(() => this.#store.forget(this.id)).catch(() => undefined);
    clearTimeout(timer);
    await this.#connection.close();
  }

  async #begin(): Promise<void> {
    void this.#connection.closed().then((error) => this.#lose(error?.message || "the connection broke"));
    const watch = await this.#store.watch((entry) => this.#see(entry));
    this.#watch = watch;
    if (this.#ended) watch.stop();
    void watch.ended.then((reason) => this.#lose(reason));
    this.#number = await this.#announcer.enter();
    await this.#announcer.announce();
    // It may have been lost meanwhile.
    if (!this.#ended) this.#timer = setInterval(() => this.#tick(), this.#pingMs / 4);
  }

  get #own(): Entry {
    const { memory, listener } = this.#options;
    const { id } = this;
    const join = { ...listener.join(), secret: "" };
    const entry = { id, number: this.#number, sequence: 0, planned: memory.plan !== undefined, join };
    return memory.before ? { ...entry, before: memory.before } : entry;
  }

  #see(entry: Entry | undefined): void {
    if (!entry) this.#unreadable = true;
    // What was there before its own entries has been seen when the second is, be it renewed meanwhile.
    else if (entry.id === this.id) this.#viewed ||= entry.sequence > 1;
    else if (this.#roster.put(entry)) this.#post(entry.id, { kind: "hello" });
    this.#tick();
  }

  #post(to: string, letter: Parameters<Letters["send"]>[1]): void {
    if (!this.#ended) this.#letters.send(to, letter);
  }

  #sendAll(all: readonly Outgoing[]): void {
    for (const { to, message } of all) this.#post(to, { kind: "peer", text: JSON.stringify(message) });
  }

  #take(from: string, { kind, text, ids, expiresMs }: Letter): void {
    if (this.#ended) return;
    if (kind === "bye") this.#roster.drop(from, "has left");
    this.#consider();
    if (kind === "attend") this.#desk?.attend(from, { running: text !== "" });
    if (kind === "ask") this.#desk?.receive(from, text);
    try {
      if (kind === "propose") this.#desk?.propose(parsePlan(JSON.parse(text)));
      if (kind === "tell" && from === this.#leader) this.#told(parseFromRoom(text), { ids, expiresMs });
      if (kind === "peer") this.#takeOfPeer(from, parseFromRoom(text));
    } catch (error) {
      // Who has the secret and sends this is broken: what it says is nothing.
      if (!(error instanceof ProtocolError || error instanceof SyntaxError)) throw error;
    }
  }

  #told(message: FromRoom, { ids, expiresMs }: Pick<Letter, "ids" | "expiresMs">): void {
    const { memory, listener, limits } = this.#options;
    if (message.kind === "welcome" || message.kind === "plan") {
      const known = memory.plan !== undefined;
      memory.plan = message.plan;
      memory.expiresMs = expiresMs;
      memory.founds = false;
      if (!known) void this.#announcer.announce();
    }
    if (message.kind === "welcome") this.#welcomed = true;
    if (message.kind === "start" || message.kind === "prepare")
      memory.generation = Math.max(memory.generation, message.generation);
    if (message.kind === "start") {
      const { generation, rank, ranks } = message;
      if (ids.length !== ranks.length || ids[rank] !== this.id) return;
      this.#run = new RunOnNats({ generation, rank, ids, limits, nowMs });
    }
    if (message.kind === "over" && this.#run?.generation === message.generation) this.#run = undefined;
    if (message.kind === "dropped") this.#lose(message.reason, message.final);
    else listener.message(message);
    if (message.kind === "start" || message.kind === "over") void this.#announcer.announce();
  }

  #takeOfPeer(from: string, message: FromRoom): void {
    if (!this.#run?.takes(from, message)) return;
    if (message.kind === "over") this.#run = undefined;
    this.#options.listener.message(message);
    if (message.kind === "over") void this.#announcer.announce();
  }

  /** By a timer and by messages: timers of a hidden page come late. */
  #tick(): void {
    if (this.#ended) return;
    const now = nowMs();
    // Whoever slept has heard nobody.
    if (now - this.#tickedMs > this.#store.silentMs / 2) this.#roster.excuse();
    this.#tickedMs = now;
    if (this.#announcer.renew() && !this.#welcomed) this.#attend();
    this.#roster.expire();
    this.#consider();
    this.#desk?.tick();
  }

  #consider(): void {
    if (this.#ended || !this.#viewed) return;
    const { memory } = this.#options;
    const { living } = this.#roster;
    const refusal = this.#roster.refusal(memory, this.#unreadable);
    if (refusal) this.#lose(refusal.reason, refusal.final);
    if (this.#ended) return;
    for (const { join } of living) memory.generation = Math.max(memory.generation, join.running);
    const leader = this.#roster.leader(this.#own);
    if (leader !== undefined && leader !== this.#leader) this.#follow(leader);
    this.#desk?.sync([this.#own, ...living], (id) => this.#roster.reasonOf(id));
  }

  #follow(leader: string): void {
    const { memory, limits } = this.#options;
    const { expiresMs } = memory;
    this.#leader = leader;
    this.#welcomed = false;
    this.#desk = undefined;
    this.#attend();
    if (leader !== this.id) return;
    this.#desk = new Desk({
      ...{ plan: memory.plan!, expiresMs, limits, pingMs: Math.ceil(this.#pingMs), nowMs },
      // Milliseconds since 1970: later than what this member may not have heard of.
      firstGeneration: Math.max(memory.generation + 1, Date.now()),
      send: (id, message, ids) => this.#post(id, { kind: "tell", text: JSON.stringify(message), ids, expiresMs }),
    });
  }

  #attend(): void {
    const running = this.#options.listener.join().running > 0 ? "running" : "";
    if (this.#leader && this.#leader !== this.id) this.#post(this.#leader, { kind: "attend", text: running });
  }

  #stop(): void {
    this.#ended = true;
    clearInterval(this.#timer);
    this.#watch?.stop();
    this.#announcer.end();
    this.#options.memory.before = this.id;
  }

  #lose(reason: string, final = false): void {
    if (this.#ended) return;
    this.#stop();
    void this.#connection.close();
    this.#options.listener.lost(reason, final);
  }
}

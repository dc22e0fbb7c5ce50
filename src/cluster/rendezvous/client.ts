// A member's side of a room: joins with the secret, tells who else is there, agrees to what the room runs, and is started with the others.
// A lost connection is opened again (connection.ts); a mesh that has started does not need it and goes on.

import { deferred } from "../../backend/deferred.ts";
import { type ConnectionListener, RendezvousError, type RoomConnecting, RoomConnection } from "./connection.ts";
import type { JoinOptions, RoomClient, Start } from "./membership.ts";
import { isNatsUrl } from "./nats-address.ts";
import {
  bounds,
  type FromRoom,
  type Member,
  type Plan,
  printable,
  samePlan,
  sizeOfPlan,
  type ToRoom,
} from "./protocol.ts";
import { RoomSignalling } from "./signalling.ts";

/** Joins a room.
 *  @throws RendezvousError when it cannot be reached, or refuses; UserError for an address that is none */
export async function joinRoom(options: JoinOptions): Promise<RoomClient> {
  const client = new Client(options, await wayTo(options));
  await client.connect();
  return client;
}

type Way = (listener: ConnectionListener) => RoomConnecting;

async function wayTo({ url, secret, retries = 10, retryMs = 250 }: JoinOptions): Promise<Way> {
  if (!isNatsUrl(url)) return (listener) => new RoomConnection({ url, retries, retryMs }, listener);
  const { NatsRoomConnection } = await import("./nats.ts");
  return (listener) => new NatsRoomConnection({ url, secret, retries, retryMs }, listener);
}

interface Pending {
  plan: Plan;
  promise: Promise<Start>;
  resolve(start: Start): void;
  reject(error: Error): void;
  /** of the last barrier it was in */
  generation: number;
}

interface Run {
  generation: number;
  controller: AbortController;
  signalling: RoomSignalling;
}

type Said<K extends FromRoom["kind"]> = Extract<FromRoom, { kind: K }>;

class Client implements RoomClient, ConnectionListener {
  readonly #options: JoinOptions;
  readonly #connection: RoomConnecting;
  #members = new Map<number, Member>();
  #numbered!: { plan: Plan; planNumber: number };
  #pending: Pending | undefined;
  #prepared: Promise<void> | undefined;
  #run: Run | undefined;
  #sequence = 0;
  /** why there will be no connection any more */
  #ended: RendezvousError | undefined;
  number = 0;

  constructor(options: JoinOptions, way: Way) {
    this.#options = options;
    this.#connection = way(this);
  }

  get plan(): Plan {
    return this.#numbered.plan;
  }

  get members(): readonly Member[] {
    return [...this.#members.values()];
  }

  connect(): Promise<void> {
    return this.#connection.open();
  }

  agree(): Promise<Start> {
    if (this.#ended) return Promise.reject(this.#ended);
    if (this.#options.role === "watcher")
      return Promise.reject(new RendezvousError("a watcher takes no part; join as a rank"));
    if (this.#pending) return this.#pending.promise;
    this.#endRun("has ended the run");
    const { promise, ...settle } = deferred<Start>();
    this.#pending = { plan: this.plan, promise, ...settle, generation: 0 };
    this.#prepared = undefined;
    this.#connection.send({ kind: "agree", plan: this.#numbered.planNumber });
    return promise;
  }

  leave(): void {
    this.#connection.send({ kind: "leave" });
    this.#connection.close();
    this.#end(new RendezvousError("this member has left the room; join again to take part"));
  }

  join(): ToRoom {
    const { secret, name, adapter, role = "rank" } = this.#options;
    return {
      kind: "join",
      secret: secret.slice(0, bounds.secret),
      name: printable(name, bounds.name) || "nameless",
      adapter: printable(adapter, bounds.adapter),
      role,
      running: this.#run?.generation ?? 0,
    };
  }

  welcome({ number, members, ...numbered }: Said<"welcome">): void {
    this.number = number;
    this.#sequence = 0;
    this.#members = new Map(members.map((member) => [member.number, member]));
    this.#setPlan(numbered);
    if (this.#pending) this.#connection.send({ kind: "agree", plan: numbered.planNumber });
    this.#options.events?.members?.(this.members);
  }

  note(text: string): void {
    this.#options.events?.note?.(text);
  }

  lost(error: RendezvousError): void {
    this.#end(error);
    this.#options.events?.lost?.(error);
  }

  message(message: Parameters<ConnectionListener["message"]>[0]): void {
    const { events } = this.#options;
    switch (message.kind) {
      case "ping":
        this.#connection.send({ kind: "pong" });
        break;
      case "members":
        for (const member of message.members) this.#members.set(member.number, member);
        events?.members?.(this.members);
        break;
      case "left":
        this.#left(message);
        break;
      case "plan":
        this.#setPlan(message);
        events?.plan?.(message.plan);
        break;
      case "prepare":
        void this.#prepare(message.generation);
        break;
      case "start":
        this.#start(message);
        break;
      case "over":
        this.#over(message);
        break;
      case "signal":
        this.#signal(message);
    }
  }

  #left({ number, reason }: Said<"left">): void {
    const { events } = this.#options;
    const member = this.#members.get(number);
    if (!member) return;
    this.#members.delete(number);
    events?.left?.(member, reason);
    events?.members?.(this.members);
  }

  #over({ generation, reason }: Said<"over">): void {
    if (this.#run?.generation === generation) {
      this.#run.controller.abort(new RendezvousError(`the run has ended: ${reason}`));
      this.#run = undefined;
    } else if (this.#pending?.generation === generation)
      this.#reject(new RendezvousError(`the others start without this member: it ${reason}`));
  }

  #setPlan(numbered: { plan: Plan; planNumber: number }): void {
    const { plan, planNumber } = numbered;
    this.#numbered = { plan, planNumber };
    if (this.#pending && !samePlan(this.#pending.plan, plan))
      this.#reject(new RendezvousError("the room runs something else now; read what, and agree again"));
  }

  async #prepare(generation: number): Promise<void> {
    const pending = this.#pending;
    if (!pending) return;
    pending.generation = generation;
    try {
      await (this.#prepared ??= this.#options.prepare?.(pending.plan) ?? Promise.resolve());
    } catch (error) {
      if (this.#pending !== pending) return;
      pending.reject(error instanceof Error ? error : new Error(String(error)));
      this.#pending = undefined;
      this.leave();
      return;
    }
    if (this.#pending === pending && pending.generation === generation)
      this.#connection.send({ kind: "ready", generation });
  }

  #start({ generation, rank, ranks }: Extract<FromRoom, { kind: "start" }>): void {
    const pending = this.#pending;
    const size = ranks.length;
    const members = ranks.map((number) => this.#members.get(number)).filter((member) => member !== undefined);
    if (!pending || size !== sizeOfPlan(pending.plan) || rank >= size || members.length < size) {
      this.#connection.send({ kind: "over", generation, reason: "knows of no such start" });
      return;
    }
    this.#pending = undefined;
    const controller = new AbortController();
    const relay = (to: number, data: string) => {
      if (this.#run !== run) return;
      if (!this.#connection.send({ kind: "signal", generation, to, sequence: ++this.#sequence, data }))
        this.note(`a signal to rank ${to} is lost: the room cannot be reached`);
    };
    const signalling = new RoomSignalling({ rank, size, relay });
    const run = { generation, controller, signalling };
    this.#run = run;
    const wire = this.#connection.wire?.bind(this.#connection, generation);
    const objects = this.#connection.objects?.bind(this.#connection);
    pending.resolve({
      ...pending.plan,
      ...{ rank, size, generation, members, signalling },
      ...(wire && { wire }),
      ...(objects && { objects }),
      over: controller.signal,
      end: (reason) => {
        if (this.#run === run) this.#endRun(reason);
      },
    });
  }

  #signal({ generation, from, data }: Said<"signal">): void {
    if (this.#run?.generation !== generation) return;
    try {
      this.#run.signalling.arrive(from, data);
    } catch (error) {
      this.note(`a signal of rank ${from} is dropped: ${(error as Error).message}`);
    }
  }

  #endRun(reason: string): void {
    if (this.#run)
      this.#connection.send({
        kind: "over",
        generation: this.#run.generation,
        reason: printable(reason, bounds.reason),
      });
    this.#run = undefined;
  }

  #reject(error: RendezvousError): void {
    const pending = this.#pending;
    this.#pending = undefined;
    pending?.reject(error);
  }

  #end(error: RendezvousError): void {
    this.#ended ??= error;
    this.#reject(error);
  }
}

// A room without sockets: wires that remember what they were sent, a clock that is set.

import { equal, ok } from "uvu/assert";
import type { FromRoom, Member, Plan, ToRoom } from "../../src/cluster/rendezvous/protocol.ts";
import { type Connection, Room, type RoomOptions } from "../../src/cluster/rendezvous/room.ts";

export const secret = "correct-horse-battery";

export const planOf = (dims: number[], about = "trains a small GPT for a minute"): Plan => ({
  ...{ layout: `${dims.length === 1 ? "1d" : "2d"}`, dims, program: "train", options: "{}", about },
});

type Message<K extends FromRoom["kind"]> = Extract<FromRoom, { kind: K }>;

/** One end of a connection, as a member would keep it. */
export class End {
  readonly connection: Connection;
  readonly received: FromRoom[] = [];
  closed: string | undefined;
  /** who is there, as this end was told */
  view = new Map<number, Member>();
  /** the last signal's */
  sequence = 0;
  readonly #room: Room;

  constructor(room: Room) {
    this.#room = room;
    this.connection = room.connect({
      send: (message) => {
        ok(this.closed === undefined, "nothing is sent to a closed wire");
        this.#take(structuredClone(message));
      },
      close: (reason) => {
        this.closed = reason;
      },
    });
  }

  get member(): Member | undefined {
    const number = this.of("welcome").at(-1)?.number;
    return this.closed === undefined ? this.#room.members.find((each) => each.number === number) : undefined;
  }

  of<K extends FromRoom["kind"]>(kind: K): Message<K>[] {
    return this.received.filter((message): message is Message<K> => message.kind === kind);
  }

  say(message: ToRoom | object): void {
    this.connection.receive(JSON.stringify(message));
  }

  join(change: Partial<Extract<ToRoom, { kind: "join" }>> = {}): this {
    this.say({ kind: "join", secret, name: "Ada", adapter: "a GPU", role: "rank", running: 0, ...change });
    return this;
  }

  /** to the plan it was told last */
  agree(): this {
    const last = [...this.of("welcome"), ...this.of("plan")].sort((a, b) => a.planNumber - b.planNumber).at(-1);
    this.say({ kind: "agree", plan: last?.planNumber });
    return this;
  }

  ready(): this {
    this.say({ kind: "ready", generation: this.of("prepare").at(-1)?.generation });
    return this;
  }

  signal(to: number, data: string, change: object = {}): void {
    const generation = this.of("start").at(-1)?.generation ?? 1;
    this.say({ kind: "signal", generation, to, sequence: ++this.sequence, data, ...change });
  }

  /** The connection breaks. */
  cut(): void {
    this.closed = "cut";
    this.connection.closed();
  }

  #take(message: FromRoom): void {
    this.received.push(message);
    if (message.kind === "welcome") this.view = new Map(message.members.map((member) => [member.number, member]));
    if (message.kind === "members") for (const member of message.members) this.view.set(member.number, member);
    if (message.kind === "left") ok(this.view.delete(message.number), "who has left was there");
  }
}

export class Bench {
  nowMs = 0;
  readonly ends: End[] = [];
  readonly room: Room;

  constructor(options: Partial<RoomOptions> & { dims: number[] }) {
    const { dims, ...rest } = options;
    this.room = new Room({ plan: planOf(dims), secret, firstGeneration: 1, nowMs: () => this.nowMs, ...rest });
  }

  end(): End {
    const end = new End(this.room);
    this.ends.push(end);
    return end;
  }

  joined(count: number): End[] {
    return Array.from({ length: count }, () => this.end().join());
  }

  /** Members that agree, and are started. */
  started(count: number): End[] {
    const ends = this.joined(count);
    for (const end of ends) end.agree();
    for (const end of ends) end.ready();
    equal(
      ends.map((end) => end.of("start").length),
      ends.map(() => 1),
    );
    return ends;
  }

  /** Time passes in steps of a second, in which everybody answers pings. */
  pass(ms: number): void {
    for (const until = this.nowMs + ms; this.nowMs < until; ) {
      this.nowMs = Math.min(until, this.nowMs + 1000);
      for (const end of this.ends) if (end.member) end.say({ kind: "pong" });
      this.room.tick();
    }
  }
}

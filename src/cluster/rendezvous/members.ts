// The members of a room, who is told of whom, and what they start (rounds.ts): behind a server or on NATS. How they come in and are heard is
// room.ts's and nats-desk.ts's.

import type { FromRoom, Member, Plan, ToRoom } from "./protocol.ts";
import { type Participant, Rounds, type RoundTimes } from "./rounds.ts";

export class Members {
  /** by number, in the order of joining */
  readonly #all = new Map<number, Participant>();
  readonly #changed = new Set<Participant>();
  readonly #rounds: Rounds;
  readonly #pingMs: number;
  readonly #nowMs: () => number;

  constructor(options: {
    plan: Plan;
    firstGeneration: number;
    times: RoundTimes;
    pingMs: number;
    nowMs: () => number;
  }) {
    const { pingMs, nowMs, ...rest } = options;
    this.#pingMs = pingMs;
    this.#nowMs = nowMs;
    this.#rounds = new Rounds({
      ...rest,
      members: this.#all,
      changed: (member) => this.#changed.add(member),
    });
  }

  get size(): number {
    return this.#all.size;
  }

  get droppedSignals(): number {
    return this.#rounds.droppedSignals;
  }

  /** as each is told of them */
  get views(): Member[] {
    return [...this.#all.values()].map(viewOf);
  }

  has(number: number): boolean {
    return this.#all.has(number);
  }

  propose(plan: Plan): void {
    this.#rounds.propose(plan);
    this.tellChanges();
  }

  tick(): void {
    this.#rounds.tick(this.#nowMs());
    this.tellChanges();
  }

  /** Lets somebody in, and welcomes it. */
  add(
    { name, adapter, role, running }: Extract<ToRoom, { kind: "join" }>,
    { number, send }: { number: number; send: (message: FromRoom) => void },
  ): Participant {
    const state = running > 0 && role === "rank" ? "running" : "here";
    const member: Participant = { number, name, adapter, role, state, sequence: 0, send };
    const inOrder = [...this.#all.values(), member].sort((a, b) => a.number - b.number);
    this.#all.clear();
    for (const each of inOrder) this.#all.set(each.number, each);
    this.#changed.add(member);
    this.welcome(member);
    return member;
  }

  welcome({ number, send }: Participant): void {
    send({ kind: "welcome", number, members: this.views, ...this.#rounds.plan, pingMs: this.#pingMs });
  }

  set(member: Participant, state: Member["state"]): void {
    member.state = state;
    this.#changed.add(member);
  }

  /** What a member says of rounds.
   *  @throws ProtocolError for what it cannot say */
  take(member: Participant, message: ToRoom): void {
    const nowMs = this.#nowMs();
    if (message.kind === "agree") this.#rounds.agree(member, message, nowMs);
    else if (message.kind === "ready") this.#rounds.ready(member, message);
    else if (message.kind === "over") this.#rounds.over(member, message, nowMs);
    else if (message.kind === "signal") this.#rounds.signal(member, message);
  }

  remove(member: Participant, reason: string): void {
    this.#all.delete(member.number);
    this.#changed.delete(member);
    for (const other of this.#all.values()) other.send({ kind: "left", number: member.number, reason });
    this.#rounds.left(member, this.#nowMs());
  }

  clear(): void {
    this.#all.clear();
    this.#changed.clear();
  }

  /** To be called after everything that may have changed somebody's state. */
  tellChanges(): void {
    if (this.#changed.size === 0) return;
    const members = [...this.#changed].map(viewOf);
    this.#changed.clear();
    for (const member of this.#all.values()) member.send({ kind: "members", members });
  }
}

const viewOf = ({ number, name, adapter, role, state, rank }: Participant): Member => ({
  ...{ number, name, adapter, role, state },
  ...(rank !== undefined && { rank }),
});

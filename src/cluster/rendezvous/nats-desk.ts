// What the leading member of a room on NATS does for all: tells who is there, starts rounds, and drops who goes beyond its limits. The rounds are
// those of a room behind a server; here members come from the roster, in the order of their numbers.

import { Allowance, type RoomLimits } from "./limits.ts";
import type { Entry } from "./nats-roster.ts";
import { bounds, type FromRoom, type Member, type Plan, ProtocolError, parseToRoom, printable } from "./protocol.ts";
import { type Participant, Rounds } from "./rounds.ts";

export type DeskLimits = Pick<
  RoomLimits,
  "members" | "messages" | "characters" | "readyMs" | "readyAttempts" | "settleMs"
>;

interface Attendant {
  member: Participant;
  allowance: Allowance;
}

export class Desk {
  readonly #limits: DeskLimits;
  readonly #expiresMs: number;
  readonly #pingMs: number;
  readonly #nowMs: () => number;
  readonly #send: (id: string, message: FromRoom, ids: readonly string[]) => void;
  readonly #attendants = new Map<string, Attendant>();
  /** by number, in the order of joining */
  readonly #members = new Map<number, Participant>();
  readonly #changed = new Set<Participant>();
  readonly #rounds: Rounds;
  /** why, by id: they went beyond the limits, or came when the room was full or its link had expired */
  readonly #refused = new Map<string, string>();

  constructor(options: {
    plan: Plan;
    firstGeneration: number;
    /** by the clock since 1970 */
    expiresMs: number | undefined;
    limits: DeskLimits;
    pingMs: number;
    nowMs: () => number;
    /** must not call back before it returns; `ids`: of a start, connections by rank */
    send: (id: string, message: FromRoom, ids: readonly string[]) => void;
  }) {
    const { plan, firstGeneration, expiresMs = Number.POSITIVE_INFINITY, limits, pingMs, nowMs, send } = options;
    this.#limits = limits;
    this.#expiresMs = expiresMs;
    this.#pingMs = pingMs;
    this.#nowMs = nowMs;
    this.#send = send;
    this.#rounds = new Rounds({
      ...{ plan, firstGeneration, members: this.#members, times: limits },
      changed: (member) => this.#changed.add(member),
    });
  }

  get members(): readonly Member[] {
    return [...this.#members.values()].map(viewOf);
  }

  propose(plan: Plan): void {
    this.#rounds.propose(plan);
    this.#tellChanges();
  }

  tick(): void {
    this.#rounds.tick(this.#nowMs());
    this.#tellChanges();
  }

  /** Makes those who are there the members; `reasonOf` says why one is not any more. */
  sync(there: readonly Entry[], reasonOf: (id: string) => string): void {
    const ids = new Set(there.map(({ id }) => id));
    for (const id of [...this.#attendants.keys()]) if (!ids.has(id)) this.#remove(id, reasonOf(id));
    for (const entry of there) if (!this.#attendants.has(entry.id) && !this.#refused.has(entry.id)) this.#admit(entry);
    this.#tellChanges();
  }

  /** A member follows this one from now on, and is told what it may have been told before it did; whether it runs, it knows better than its
   *  entry. */
  attend(id: string, { running }: { running: boolean }): void {
    const member = this.#attendants.get(id)?.member;
    const reason = this.#refused.get(id);
    if (reason !== undefined) this.#drop(id, reason);
    if (!member) return;
    if (running && member.state === "here" && member.role === "rank") this.#set(member, "running");
    if (!running && member.state === "running" && member.rank === undefined) this.#set(member, "here");
    this.#welcome(member);
    this.#tellChanges();
  }

  receive(id: string, text: string): void {
    const attendant = this.#attendants.get(id);
    if (!attendant) return;
    try {
      this.#take(attendant, text);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#refuse(id, `sent what is not understood: ${error.message}`);
    }
    this.#tellChanges();
  }

  #take({ member, allowance }: Attendant, text: string): void {
    const nowMs = this.#nowMs();
    if (!allowance.take(text.length, nowMs))
      throw new ProtocolError(`more than ${this.#limits.messages.perSecond} messages a second`);
    if (text.length > bounds.messageBytes)
      throw new ProtocolError(`a message has ${text.length} characters, at most ${bounds.messageBytes}`);
    const message = parseToRoom(text);
    if (message.kind === "agree") this.#rounds.agree(member, message, nowMs);
    else if (message.kind === "ready") this.#rounds.ready(member, message);
    else if (message.kind === "over") this.#rounds.over(member, message, nowMs);
    else throw new ProtocolError(`${message.kind} is not for who leads`);
  }

  #admit({ id, number, planned, join: { name, adapter, role, running } }: Entry): void {
    const { members } = this.#limits;
    // Who knows the plan was let in before, and comes again.
    if (!planned && Date.now() >= this.#expiresMs) {
      this.#refuse(id, "the link has expired; ask for a new one");
      return;
    }
    if (this.#members.size >= members)
      this.#refuse(id, `the room is full: it has ${members} members; wait until one leaves`);
    // Two of one number: where the store was made anew, until the older one knows.
    if (this.#members.size >= members || this.#members.has(number)) return;
    const member: Participant = {
      ...{ number, name, adapter, role, state: running > 0 && role === "rank" ? "running" : "here" },
      sequence: 0,
      send: (message) => this.#send(id, message, message.kind === "start" ? this.#idsOf(message.ranks) : []),
    };
    this.#attendants.set(id, { member, allowance: new Allowance(this.#limits, this.#nowMs()) });
    const inOrder = [...this.#members.values(), member].sort((a, b) => a.number - b.number);
    this.#members.clear();
    for (const each of inOrder) this.#members.set(each.number, each);
    this.#changed.add(member);
    this.#welcome(member);
  }

  #welcome(member: Participant): void {
    const [members, pingMs] = [[...this.members], this.#pingMs];
    member.send({ kind: "welcome", number: member.number, members, ...this.#rounds.plan, pingMs });
  }

  #set(member: Participant, state: Member["state"]): void {
    member.state = state;
    this.#changed.add(member);
  }

  #idsOf(numbers: readonly number[]): string[] {
    const ids = new Map([...this.#attendants].map(([id, { member }]) => [member.number, id]));
    return numbers.map((number) => ids.get(number)!);
  }

  #refuse(id: string, message: string): void {
    const reason = printable(message, bounds.reason);
    this.#refused.set(id, reason);
    this.#drop(id, reason);
    this.#remove(id, reason);
  }

  #drop(id: string, reason: string): void {
    this.#send(id, { kind: "dropped", reason, final: true }, []);
  }

  #remove(id: string, reason: string): void {
    const attendant = this.#attendants.get(id);
    if (!attendant) return;
    const { member } = attendant;
    this.#attendants.delete(id);
    this.#members.delete(member.number);
    this.#changed.delete(member);
    for (const other of this.#members.values()) other.send({ kind: "left", number: member.number, reason });
    this.#rounds.left(member, this.#nowMs());
  }

  #tellChanges(): void {
    if (this.#changed.size === 0) return;
    const members = [...this.#changed].map(viewOf);
    this.#changed.clear();
    for (const member of this.#members.values()) member.send({ kind: "members", members });
  }
}

const viewOf = ({ number, name, adapter, role, state, rank }: Participant): Member => ({
  ...{ number, name, adapter, role, state },
  ...(rank !== undefined && { rank }),
});

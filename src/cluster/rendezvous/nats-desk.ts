// What the leading member of a room on NATS does for all: tells who is there, starts rounds, and drops who goes beyond its limits. The rounds are
// those of a room behind a server; here members come from the roster, in the order of their numbers.

import { Allowance, type RoomLimits } from "./limits.ts";
import { Members } from "./members.ts";
import type { Entry } from "./nats-roster.ts";
import { bounds, type FromRoom, type Plan, ProtocolError, parseToRoom, printable } from "./protocol.ts";
import type { Participant } from "./rounds.ts";

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
  readonly #nowMs: () => number;
  readonly #send: (id: string, message: FromRoom, ids: readonly string[]) => void;
  readonly #attendants = new Map<string, Attendant>();
  readonly #members: Members;
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
    this.#nowMs = nowMs;
    this.#send = send;
    this.#members = new Members({ plan, firstGeneration, times: limits, pingMs, nowMs });
  }

  propose(plan: Plan): void {
    this.#members.propose(plan);
  }

  tick(): void {
    this.#members.tick();
  }

  /** Makes those who are there the members; `reasonOf` says why one is not any more. */
  sync(there: readonly Entry[], reasonOf: (id: string) => string): void {
    const ids = new Set(there.map(({ id }) => id));
    for (const id of [...this.#attendants.keys()]) if (!ids.has(id)) this.#remove(id, reasonOf(id));
    for (const id of [...this.#refused.keys()]) if (!ids.has(id)) this.#refused.delete(id);
    for (const entry of there) if (!this.#attendants.has(entry.id) && !this.#refused.has(entry.id)) this.#admit(entry);
    this.#members.tellChanges();
  }

  /** A member follows this one from now on, and is told what it may have been told before it did; whether it runs, it knows better than its
   *  entry. */
  attend(id: string, { running }: { running: boolean }): void {
    const member = this.#attendants.get(id)?.member;
    const reason = this.#refused.get(id);
    if (reason !== undefined) this.#drop(id, reason);
    if (!member) return;
    if (running && member.state === "here" && member.role === "rank") this.#members.set(member, "running");
    if (!running && member.state === "running" && member.rank === undefined) this.#members.set(member, "here");
    this.#members.welcome(member);
    this.#members.tellChanges();
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
    this.#members.tellChanges();
  }

  #take({ member, allowance }: Attendant, text: string): void {
    const excess = allowance.excess(text.length, this.#nowMs());
    if (excess) throw new ProtocolError(excess);
    const message = parseToRoom(text);
    if (message.kind !== "agree" && message.kind !== "ready" && message.kind !== "over")
      throw new ProtocolError(`${message.kind} is not for who leads`);
    this.#members.take(member, message);
  }

  #admit({ id, number, planned, join }: Entry): void {
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
    const send = (message: FromRoom) =>
      this.#send(id, message, message.kind === "start" ? this.#idsOf(message.ranks) : []);
    const member = this.#members.add(join, { number, send });
    this.#attendants.set(id, { member, allowance: new Allowance(this.#limits, this.#nowMs()) });
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
    this.#attendants.delete(id);
    this.#members.remove(attendant.member, reason);
  }
}

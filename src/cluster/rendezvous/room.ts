// One room: who may come in, who is there, and for how long. Pure: connections are handed in as wires, the clock as a function, and time
// passes with `tick`. What members start together is rounds.ts.

import { UserError } from "../../backend/errors.ts";
import { Bucket } from "./bucket.ts";
import { defaultLimits, type RoomLimits } from "./limits.ts";
import {
  bounds,
  type FromRoom,
  type Member,
  type Plan,
  ProtocolError,
  parsePlan,
  parseToRoom,
  printable,
  type ToRoom,
} from "./protocol.ts";
import { type Participant, Rounds } from "./rounds.ts";
import { Secret } from "./secret.ts";

/** A connection as a room sees it. Neither call may call the room back before it returns. */
export interface Wire {
  send(message: FromRoom): void;
  close(reason: string): void;
}

export interface RoomOptions {
  plan: Plan;
  /** who has it may join, and no one else */
  secret: string;
  /** by `nowMs`: from then on nobody joins any more; members stay */
  secretExpiresMs?: number;
  /** later than that of any room before under the same name, so that what was sent there is known as late here */
  firstGeneration: number;
  /** does not run backwards */
  nowMs: () => number;
  limits?: Partial<RoomLimits>;
}

interface Seat {
  readonly wire: Wire;
  readonly sinceMs: number;
  readonly messages: Bucket;
  readonly characters: Bucket;
  heardMs: number;
  pingedMs: number;
  member: Participant | undefined;
}

/** What a connection tells its room. Nothing happens once it was dropped. */
export interface Connection {
  receive(message: string): void;
  /** What came was no text, too long, or the like. */
  refuse(reason: string): void;
  closed(): void;
}

/** Why a connection is dropped; `final`: coming again will not help. */
class Refusal extends Error {
  constructor(
    message: string,
    readonly final: boolean,
  ) {
    super(message);
  }
}

export class Room {
  readonly limits: RoomLimits;
  readonly #secret: Secret;
  readonly #nowMs: () => number;
  readonly #seats = new Set<Seat>();
  /** in the order of joining */
  readonly #members = new Map<number, Participant>();
  readonly #changed = new Set<Participant>();
  readonly #rounds: Rounds;
  #lastNumber = 0;

  /** @throws UserError for a plan or a secret that cannot be */
  constructor({ plan, secret, secretExpiresMs, firstGeneration, nowMs, limits }: RoomOptions) {
    this.#secret = new Secret(secret, secretExpiresMs);
    this.limits = { ...defaultLimits, ...limits };
    this.#nowMs = nowMs;
    this.#rounds = new Rounds({
      plan: checkedPlan(plan),
      firstGeneration,
      members: this.#members,
      times: this.limits,
      changed: (member) => this.#changed.add(member),
    });
  }

  /** connections, joined or not */
  get size(): number {
    return this.#seats.size;
  }

  get members(): readonly Member[] {
    return [...this.#members.values()].map(viewOf);
  }

  get droppedSignals(): number {
    return this.#rounds.droppedSignals;
  }

  /** Another plan, to which members have to agree anew; a run goes on.
   *  @throws UserError for a plan that cannot be */
  propose(plan: Plan): void {
    this.#rounds.propose(checkedPlan(plan));
    this.#tellChanges();
  }

  connect(wire: Wire): Connection {
    const nowMs = this.#nowMs();
    const { messages, characters, waiting } = this.limits;
    const seat: Seat = {
      wire,
      sinceMs: nowMs,
      messages: new Bucket(messages, nowMs),
      characters: new Bucket(characters, nowMs),
      heardMs: nowMs,
      pingedMs: nowMs,
      member: undefined,
    };
    this.#seats.add(seat);
    const outside = [...this.#seats].filter(({ member }) => !member);
    // The new one may be honest, those before it had their time.
    if (outside.length > waiting)
      this.#drop(outside[0], new Refusal("too many connections are waiting to join", false));
    return {
      receive: (message) => this.#act(seat, () => this.#receive(seat, message)),
      refuse: (reason) =>
        this.#act(seat, () => {
          throw new ProtocolError(reason);
        }),
      closed: () => this.#act(seat, () => this.#remove(seat, "its connection broke")),
    };
  }

  /** To be called several times within the shortest of the limits' times. */
  tick(): void {
    const nowMs = this.#nowMs();
    const { joinMs, pingMs, silentMs } = this.limits;
    for (const seat of [...this.#seats]) {
      if (!seat.member && nowMs - seat.sinceMs >= joinMs)
        this.#drop(seat, new Refusal(`did not join within ${joinMs / 1000} s`, false));
      else if (seat.member && nowMs - seat.heardMs >= silentMs)
        this.#drop(seat, new Refusal(`has not answered for ${silentMs / 1000} s`, false));
      else if (seat.member && nowMs - seat.pingedMs >= pingMs) {
        seat.pingedMs = nowMs;
        seat.member.send({ kind: "ping" });
      }
    }
    this.#rounds.tick(nowMs);
    this.#tellChanges();
  }

  /** Ends every connection; members may come again, to another room under the same name. */
  close(reason: string): void {
    for (const { wire } of this.#seats) {
      wire.send({ kind: "dropped", reason, final: false });
      wire.close(reason);
    }
    this.#seats.clear();
    this.#members.clear();
    this.#changed.clear();
  }

  /** Does what a connection asks for; one that asks for what cannot be is dropped. */
  #act(seat: Seat, work: () => void): void {
    if (!this.#seats.has(seat)) return;
    try {
      work();
    } catch (error) {
      if (error instanceof ProtocolError)
        this.#drop(seat, new Refusal(`sent what is not understood: ${error.message}`, true));
      else if (error instanceof Refusal) this.#drop(seat, error);
      else throw error;
    }
    this.#tellChanges();
  }

  #receive(seat: Seat, text: string): void {
    const nowMs = this.#nowMs();
    const { messages, characters } = this.limits;
    if (!seat.messages.take(1, nowMs))
      throw new Refusal(`sent more than ${messages.perSecond} messages a second`, true);
    if (!seat.characters.take(text.length, nowMs))
      throw new Refusal(`sent more than ${characters.perSecond} characters a second`, true);
    if (text.length > bounds.messageBytes)
      throw new ProtocolError(`a message has ${text.length} characters, at most ${bounds.messageBytes}`);
    const message = parseToRoom(text);
    seat.heardMs = nowMs;
    const { member } = seat;
    if (message.kind === "join") this.#join(seat, message);
    else if (!member) throw new ProtocolError("the first message does not join");
    else if (message.kind === "agree") this.#rounds.agree(member, message, nowMs);
    else if (message.kind === "ready") this.#rounds.ready(member, message);
    else if (message.kind === "over") this.#rounds.over(member, message, nowMs);
    else if (message.kind === "signal") this.#rounds.signal(member, message);
    else if (message.kind === "leave") {
      seat.wire.close("left");
      this.#remove(seat, "has left");
    }
  }

  #join(seat: Seat, message: Extract<ToRoom, { kind: "join" }>): void {
    if (seat.member) throw new ProtocolError("a member joined again");
    const { secret, name, adapter, role, running } = message;
    const refusal = this.#secret.refusal(secret, this.#nowMs());
    if (refusal !== undefined) throw new Refusal(refusal, true);
    const { members, pingMs } = this.limits;
    if (this.#members.size >= members)
      throw new Refusal(`the room is full: it has ${members} members; wait until one leaves`, true);
    const member: Participant = {
      number: ++this.#lastNumber,
      ...{ name, adapter, role, state: running > 0 && role === "rank" ? "running" : "here" },
      sequence: 0,
      send: (each) => seat.wire.send(each),
    };
    seat.member = member;
    this.#members.set(member.number, member);
    member.send({ kind: "welcome", number: member.number, members: [...this.members], ...this.#rounds.plan, pingMs });
    this.#changed.add(member);
  }

  #drop(seat: Seat, { message, final }: Refusal): void {
    const reason = printable(message, bounds.reason);
    seat.wire.send({ kind: "dropped", reason, final });
    seat.wire.close(reason);
    this.#remove(seat, reason);
  }

  #remove(seat: Seat, reason: string): void {
    const { member } = seat;
    this.#seats.delete(seat);
    if (!member) return;
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

/** @throws UserError */
export function checkedPlan(plan: Plan): Plan {
  try {
    return parsePlan(plan);
  } catch (error) {
    throw error instanceof ProtocolError ? new UserError(`the plan cannot be: ${error.message}`) : error;
  }
}

const viewOf = ({ number, name, adapter, role, state, rank }: Participant): Member => ({
  ...{ number, name, adapter, role, state },
  ...(rank !== undefined && { rank }),
});

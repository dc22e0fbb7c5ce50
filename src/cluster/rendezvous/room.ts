// One room: who may come in, who is there, and for how long. Pure: connections are handed in as wires, the clock as a function, and time
// passes with `tick`. What members hear of each other is members.ts, what they start together rounds.ts.

import { UserError } from "../../backend/errors.ts";
import { Allowance, defaultLimits, type RoomLimits } from "./limits.ts";
import { Members } from "./members.ts";
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
import type { Participant } from "./rounds.ts";
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
  readonly allowance: Allowance;
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
  readonly #members: Members;
  #lastNumber = 0;

  /** @throws UserError for a plan or a secret that cannot be */
  constructor({ plan, secret, secretExpiresMs, firstGeneration, nowMs, limits }: RoomOptions) {
    this.#secret = new Secret(secret, secretExpiresMs);
    this.limits = { ...defaultLimits, ...limits };
    this.#nowMs = nowMs;
    const { pingMs } = this.limits;
    this.#members = new Members({ plan: checkedPlan(plan), firstGeneration, times: this.limits, pingMs, nowMs });
  }

  /** connections, joined or not */
  get size(): number {
    return this.#seats.size;
  }

  get members(): readonly Member[] {
    return this.#members.views;
  }

  get droppedSignals(): number {
    return this.#members.droppedSignals;
  }

  /** Another plan, to which members have to agree anew; a run goes on.
   *  @throws UserError for a plan that cannot be */
  propose(plan: Plan): void {
    this.#members.propose(checkedPlan(plan));
  }

  connect(wire: Wire): Connection {
    const nowMs = this.#nowMs();
    const { waiting } = this.limits;
    const seat: Seat = {
      wire,
      sinceMs: nowMs,
      allowance: new Allowance(this.limits, nowMs),
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
    this.#members.tick();
  }

  /** Ends every connection; members may come again, to another room under the same name. */
  close(reason: string): void {
    for (const { wire } of this.#seats) {
      wire.send({ kind: "dropped", reason, final: false });
      wire.close(reason);
    }
    this.#seats.clear();
    this.#members.clear();
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
    this.#members.tellChanges();
  }

  #receive(seat: Seat, text: string): void {
    const nowMs = this.#nowMs();
    const excess = seat.allowance.excess(text.length, nowMs);
    if (excess) throw new Refusal(`sent ${excess}`, true);
    const message = parseToRoom(text);
    seat.heardMs = nowMs;
    const { member } = seat;
    if (message.kind === "join") this.#join(seat, message);
    else if (!member) throw new ProtocolError("the first message does not join");
    else if (message.kind === "leave") {
      seat.wire.close("left");
      this.#remove(seat, "has left");
    } else this.#members.take(member, message);
  }

  #join(seat: Seat, message: Extract<ToRoom, { kind: "join" }>): void {
    if (seat.member) throw new ProtocolError("a member joined again");
    const refusal = this.#secret.refusal(message.secret, this.#nowMs());
    if (refusal !== undefined) throw new Refusal(refusal, true);
    const { members } = this.limits;
    if (this.#members.size >= members)
      throw new Refusal(`the room is full: it has ${members} members; wait until one leaves`, true);
    seat.member = this.#members.add(message, { number: ++this.#lastNumber, send: (each) => seat.wire.send(each) });
  }

  #drop(seat: Seat, { message, final }: Refusal): void {
    const reason = printable(message, bounds.reason);
    seat.wire.send({ kind: "dropped", reason, final });
    seat.wire.close(reason);
    this.#remove(seat, reason);
  }

  #remove(seat: Seat, reason: string): void {
    this.#seats.delete(seat);
    if (seat.member) this.#members.remove(seat.member, reason);
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

// What a room lets its members do, and how long it waits for them, behind a server or on NATS.

import { Bucket, type Rate } from "./bucket.ts";
import { bounds } from "./protocol.ts";
import type { RoundTimes } from "./rounds.ts";

export interface RoomLimits extends RoundTimes {
  members: number;
  /** connections that have not joined yet; the one that waits longest goes when there are more */
  waiting: number;
  /** how long a connection may take to join */
  joinMs: number;
  pingMs: number;
  /** a member that says nothing for so long is dropped */
  silentMs: number;
  /** of one member */
  messages: Rate;
  /** of one member, UTF-16 units */
  characters: Rate;
}

/** A mesh of 64 ranks starts with some 16 signals of 2 KB from each to each other, and says them again while no answer comes. */
export const defaultLimits: RoomLimits = {
  members: bounds.members,
  waiting: 64,
  joinMs: 10_000,
  pingMs: 5_000,
  silentMs: 15_000,
  messages: { perSecond: 500, burst: 4_000 },
  characters: { perSecond: 1_048_576, burst: 8_388_608 },
  readyMs: 10_000,
  readyAttempts: 3,
  settleMs: 5_000,
};

/** Of rooms that pages open. */
export interface OpeningLimits {
  /** of what a page sends: the room's text is in it */
  bodyBytes: number;
  /** being read at once */
  uploads: number;
  /** after so long without a rank, a room is closed */
  emptyMs: number;
}

/** A text of 4 MiB has room, with whatever JSON escapes. Five minutes are enough to reload a page or fetch a cable. */
export const defaultOpeningLimits: OpeningLimits = { bodyBytes: 8 * 2 ** 20, uploads: 4, emptyMs: 300_000 };

/** What one member may still say at once. */
export class Allowance {
  readonly #limits: Pick<RoomLimits, "messages" | "characters">;
  readonly #messages: Bucket;
  readonly #characters: Bucket;

  constructor(limits: Pick<RoomLimits, "messages" | "characters">, nowMs: number) {
    this.#limits = limits;
    this.#messages = new Bucket(limits.messages, nowMs);
    this.#characters = new Bucket(limits.characters, nowMs);
  }

  /** What a message of that length is too much of, in words; undefined: it is within the limits, and used up. */
  excess(length: number, nowMs: number): string | undefined {
    const { messages, characters } = this.#limits;
    if (!this.#messages.take(1, nowMs)) return `more than ${messages.perSecond} messages a second`;
    if (!this.#characters.take(length, nowMs)) return `more than ${characters.perSecond} characters a second`;
    return undefined;
  }
}

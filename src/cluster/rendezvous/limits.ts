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

/** What one member may still say at once. */
export class Allowance {
  readonly #messages: Bucket;
  readonly #characters: Bucket;

  constructor({ messages, characters }: Pick<RoomLimits, "messages" | "characters">, nowMs: number) {
    this.#messages = new Bucket(messages, nowMs);
    this.#characters = new Bucket(characters, nowMs);
  }

  /** Whether a message of that length is within it, which then is used up. */
  take(length: number, nowMs: number): boolean {
    return this.#messages.take(1, nowMs) && this.#characters.take(length, nowMs);
  }
}

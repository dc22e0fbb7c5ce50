// How tensors get from one rank to another: the interface that process groups talk through. Loopback is one link, workers and
// WebRTC are others; none of them knows what a collective is.

import type { Tensor } from "../tensor/tensor.ts";

/** What a rank is about to do with the others of a group. All of them must do the same. */
export interface Call {
  /** the group and the number of the call in it: the same on every rank that takes part */
  readonly key: string;
  /** ranks in the group */
  readonly members: number;
  /** operation, sizes, root, algorithm: equal on every rank, or the ranks disagree */
  readonly text: string;
}

export interface Link {
  readonly rank: number;
  /** number of ranks */
  readonly size: number;

  /** This rank enters a call. A link that knows what others entered under the same key compares at once.
   *  @throws CommunicationError when ranks disagree */
  enter(call: Call): void;
  /** Hands a tensor to rank `to`; nothing when a message only says that a rank has come so far. The caller may dispose its
   *  handle at once, but nobody may write to the memory any more. Messages of one pair arrive in order. */
  send(to: number, message: { call: Call; part: number; tensor?: Tensor }): void;
  /** The message with that part of that call. The caller owns the tensor and must not write to it.
   *  @throws CommunicationError when the other rank fails, ends, disagrees about the call, or says nothing for too long */
  receive(from: number, expected: { call: Call; part: number }): Promise<Tensor | undefined>;
  /** Ends every rank's waits, now and later, with an error whose cause is this. */
  fail(cause: unknown): void;
}

/** Ranks that cannot go on together: one failed, fell silent, or does something else than the others. */
export class CommunicationError extends Error {
  override name = "CommunicationError";
  /** the rank whose doing, or silence, ended the run */
  readonly rank: number;
  constructor(message: string, { rank, cause }: { rank: number; cause?: unknown }) {
    super(message, { cause });
    this.rank = rank;
  }
}

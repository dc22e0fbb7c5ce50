// How tensors get from one rank to another: the interface that process groups talk through. Loopback is one link, workers and
// WebRTC are others; none of them knows what a collective is.

import type { DType } from "../backend/buffer.ts";
import type { Shape, Tensor } from "../tensor/tensor.ts";

/** What a rank is about to do with the others of a group. All of them must do the same. */
export interface Call {
  /** the group's name: the same on every rank that takes part, and no other group's */
  readonly group: string;
  /** which of the group's calls: its number, or the tag of a message between two ranks */
  readonly which: number | string;
  /** ranks in the group */
  readonly members: number;
  // What it is: equal on every rank, or the ranks disagree.
  readonly op: string;
  /** of each rank's part in order, or one for all of them; none where nothing but the call itself is sent */
  readonly shapes: readonly Shape[];
  readonly combine?: string;
  /** a rank of the link */
  readonly root?: number;
  readonly algorithm?: string;
  readonly purpose?: string;
}

/** Calls are compared for every one of them, and put into words only when a run fails. */
export function sameCall(a: Call, b: Call): boolean {
  return (
    a.op === b.op &&
    a.combine === b.combine &&
    a.root === b.root &&
    a.algorithm === b.algorithm &&
    a.purpose === b.purpose &&
    sameShapes(a.shapes, b.shapes)
  );
}

function sameShapes(a: readonly Shape[], b: readonly Shape[]): boolean {
  if (a.length === 0 || b.length === 0) return a.length === b.length;
  for (let i = 0; i < a.length || i < b.length; i++)
    if (!sameShape(a.length === 1 ? a[0] : a[i], b.length === 1 ? b[0] : b[i])) return false;
  return true;
}

export function sameShape(a: Shape | undefined, b: Shape | undefined): boolean {
  if (a === b || !a || !b || a.length !== b.length) return a === b;
  for (let dim = 0; dim < a.length; dim++) if (a[dim] !== b[dim]) return false;
  return true;
}

/** "row 0 call 3", the same on every rank that takes part. */
export const keyOf = ({ group, which }: Call): string =>
  `${group} ${typeof which === "number" ? "call" : "tag"} ${which}`;

/** "allReduce sum [2,3] by ring for loss". */
export function textOf({ op, combine, shapes, root, algorithm, purpose }: Call): string {
  const words = [op, combine, op in manyParts && "of", shapesText(shapes)];
  if (root !== undefined) words.push(`${op === "broadcast" ? "from" : "to"} rank ${root}`);
  words.push(algorithm && `by ${algorithm}`, purpose && `for ${purpose}`);
  return words.filter(Boolean).join(" ");
}

/** Operations whose shapes are of parts. */
const manyParts = { allGather: true, reduceScatter: true, allToAll: true };

/** Equal shapes once. */
export function shapesText(shapes: readonly Shape[]): string {
  const texts = shapes.map((shape) => `[${shape}]`);
  return texts.every((text) => text === texts[0]) ? (texts.at(0) ?? "") : texts.join(" ");
}

/** What a message brings. */
export interface Payload {
  readonly shape: Shape;
  readonly dtype: DType;
}

export interface Link {
  readonly rank: number;
  /** number of ranks */
  readonly size: number;

  /** This rank enters a call. A link that knows what others entered under the same key compares at once.
   *  @throws CommunicationError when ranks disagree */
  enter(call: Call): void;
  /** This rank's program goes on with what calls brought: what it does from here on comes after their messages. For links that write down
   *  what waits for what. */
  leave?(calls: readonly Call[]): void;
  /** Hands a tensor to rank `to`; nothing when a message only says that a rank has come so far. The caller may dispose its
   *  handle at once, but nobody may write to the memory any more. Messages of one pair arrive in order. */
  send(to: number, message: { call: Call; part: number; tensor?: Tensor }): void;
  /** The message with that part of that call. The caller owns the tensor and must not write to it. payload: what it brings, if anything;
   *  a link that moves tensors takes the sender's word.
   *  @throws CommunicationError when the other rank fails, ends, disagrees about the call, or says nothing for too long */
  receive(from: number, expected: { call: Call; part: number; payload?: Payload }): Promise<Tensor | undefined>;
  /** Ends every rank's waits, now and later, with an error whose cause is this. */
  fail(cause: unknown): void;
  /** What this rank has sent; absent where a message is a reference. */
  readonly traffic?: LinkTraffic;
  /** Told when a message has come, whether or not anybody asks for it yet; where a message is a reference it is there when sent. */
  onArrival?: (from: number, message: { call: Call; part: number }) => void;
}

/** What has crossed a rank's channels. */
export interface LinkTraffic {
  /** of tensors */
  elementBytes: number;
  /** heads, words of calls, and what channels add */
  overheadBytes: number;
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

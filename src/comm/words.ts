// Calls in words, as JSON: each is told once to each other rank and has a number from then on; and the other texts that ranks send, checked
// field by field. They come from other machines: all of it is bounded, and nothing is taken over that was not asked for.

import type { DType } from "../backend/buffer.ts";
import { type Shape, sizeOf, type Tensor } from "../tensor/tensor.ts";
import { FrameError } from "./frame.ts";
import { type Call, sameCall, sameShape } from "./link.ts";
import type { Edge, News } from "./patience.ts";

/** What a call is, but for its number, and the tensor that a message of it has. */
export interface Words extends Omit<Call, "which"> {
  readonly shape: Shape | undefined;
  readonly dtype: DType | undefined;
}

/** Words that a rank may define before it begins anew, and bytes of them: a training step has some dozens, of 300 bytes each. */
const [maxWords, maxBytes] = [4096, 1 << 20];
/** Elements of a tensor: no device has larger ones. */
const maxElements = 2 ** 32;
const maxDims = 8;
/** Waits that a rank tells of: more would say nothing new. */
const maxWaits = 32;
/** Characters of a failure's message. */
const maxMessage = 4000;

/** What one other rank was told. */
export class Told {
  /** by group and purpose: a few each */
  readonly #known = new Map<string, Map<string | undefined, (Words & { which: number })[]>>();
  #count = 0;
  #bytes = 0;

  /** The number of these words, and their text when they are new. */
  number(call: Call, tensor: Tensor | undefined): { number: number; text: string | undefined } {
    const own = this.#of(call);
    const [shape, dtype] = [tensor?.shape, tensor?.dtype];
    for (const known of own)
      if (
        known.dtype === dtype &&
        sameShape(known.shape, shape) &&
        sameCall(known, call) &&
        known.members === call.members
      )
        return { number: known.which, text: undefined };
    const { group, members, op, shapes, combine, root, algorithm, purpose } = call;
    const words: Words = { group, members, op, shapes, combine, root, algorithm, purpose, shape, dtype };
    const text = JSON.stringify(words);
    if (this.#count === maxWords || this.#bytes + text.length > maxBytes) {
      this.#known.clear();
      this.#count = 0;
      this.#bytes = 0;
    }
    const number = this.#count++;
    this.#bytes += text.length;
    this.#of(call).push({ ...words, which: number });
    return { number, text };
  }

  #of({ group, purpose }: Call): (Words & { which: number })[] {
    let purposes = this.#known.get(group);
    if (!purposes) this.#known.set(group, (purposes = new Map()));
    let own = purposes.get(purpose);
    if (!own) purposes.set(purpose, (own = []));
    return own;
  }
}

/** What one other rank has told. */
export class Heard {
  #words: Words[] = [];
  #bytes = 0;

  /** @throws FrameError for words that are no call's, or too many */
  define(number: number, text: string): void {
    if (number === 0) {
      this.#words = [];
      this.#bytes = 0;
    }
    if (number !== this.#words.length) throw new FrameError(`words ${number} came in place of ${this.#words.length}`);
    this.#bytes += text.length;
    if (number >= maxWords || this.#bytes > maxBytes)
      throw new FrameError(`it put more than ${maxWords} calls, or ${maxBytes} bytes of them, into words`);
    const words = record(parsed(text));
    const shape = words.shape === undefined ? undefined : shapeOf(words.shape);
    if ((shape === undefined) !== (words.dtype === undefined)) throw new FrameError("a tensor has a shape and a type");
    this.#words.push({ ...callOf(words), shape, dtype: words.dtype === undefined ? undefined : dtypeOf(words.dtype) });
  }

  get(number: number): Words {
    const words = this.#words.at(number);
    if (!words) throw new FrameError("it speaks of a call that it has not put into words");
    return words;
  }
}

export const failureText = ({ message, rank }: { message: string; rank: number }): string =>
  JSON.stringify({ message: message.slice(0, maxMessage), rank });

/** @throws FrameError */
export function parseFailure(text: string, size: number): { message: string; rank: number } {
  const { message, rank } = record(parsed(text));
  return { message: word(message).slice(0, maxMessage), rank: count(rank, size - 1) };
}

export const newsText = ({ idleMs, waits, ended }: News): string =>
  JSON.stringify({
    idleMs: Math.round(idleMs),
    waits: waits.slice(0, maxWaits).map(({ from, part, call }) => {
      const { group, which, members, op, shapes, combine, root, algorithm, purpose } = call;
      // Of many shapes the first say enough.
      const some = shapes.slice(0, maxDims);
      return { from, part, which, group, members, op, shapes: some, combine, root, algorithm, purpose };
    }),
    ended,
  });

/** @throws FrameError */
export function parseNews(text: string, { from: to, size }: { from: number; size: number }): News {
  const { idleMs, waits, ended } = record(parsed(text));
  if (!Array.isArray(waits) || waits.length > maxWaits || typeof ended !== "boolean")
    throw new FrameError("a rank's news are not such");
  const edges = waits.map((wait): Edge => {
    const { from, part, which, ...call } = record(wait);
    const key = typeof which === "string" ? which : count(which);
    return { from: count(from, size - 1), to, part: count(part), call: { ...callOf(call), which: key } };
  });
  return { idleMs: count(idleMs), waits: edges, ended };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new FrameError("a frame's text is not JSON");
  }
}

function record(value: unknown): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new FrameError("a frame's text is not what it should be: no object");
}

function callOf(words: Record<string, unknown>): Omit<Call, "which"> {
  const { group, members, op, shapes, combine, root, algorithm, purpose } = words;
  if (!Array.isArray(shapes)) throw new FrameError("a call without shapes");
  return {
    group: word(group),
    members: count(members),
    op: word(op),
    shapes: shapes.map(shapeOf),
    combine: optional(combine, word),
    root: optional(root, count),
    algorithm: optional(algorithm, word),
    purpose: optional(purpose, word),
  };
}

const optional = <T>(value: unknown, of: (value: unknown) => T): T | undefined =>
  value === undefined ? undefined : of(value);

function word(value: unknown): string {
  if (typeof value === "string") return value;
  throw new FrameError("a frame has something else where a word should be");
}

function count(value: unknown, most = Number.MAX_SAFE_INTEGER): number {
  if (Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= most) return value as number;
  throw new FrameError("a frame has something else where a number should be");
}

function shapeOf(value: unknown): Shape {
  if (!Array.isArray(value) || value.length > maxDims) throw new FrameError("a shape is not such");
  const shape = value.map((extent) => count(extent));
  if (sizeOf(shape) > maxElements) throw new FrameError(`a tensor [${shape}] is larger than any`);
  return shape;
}

function dtypeOf(value: unknown): DType {
  if (value === "f32" || value === "f16" || value === "i32") return value;
  throw new FrameError("a tensor has a type that there is not");
}

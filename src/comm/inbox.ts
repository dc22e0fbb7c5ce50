// What comes from one other rank: frames, checked, as what they say. Whatever they are made of, nothing but a FrameError comes of it.

import { bytesOf, type DType } from "../backend/buffer.ts";
import { fromF16 } from "../backend/f16.ts";
import { type Shape, sizeOf } from "../tensor/tensor.ts";
import { decode, type Elements, FrameError } from "./frame.ts";
import type { Call } from "./link.ts";
import type { News } from "./patience.ts";
import { Heard, parseFailure, parseNews, type Words } from "./words.ts";

/** A tensor that has come, in host memory. */
export class Arrival {
  readonly shape: Shape;
  readonly dtype: DType;
  readonly #bytes: Uint8Array<ArrayBuffer>;

  constructor(shape: Shape, { dtype, bytes }: Elements) {
    this.shape = shape;
    this.dtype = dtype;
    this.#bytes = bytes;
  }

  get byteLength(): number {
    return this.#bytes.length;
  }

  /** what it lies in, with the frame's head */
  get memory(): ArrayBuffer {
    return this.#bytes.buffer;
  }

  get values(): Float32Array | Int32Array {
    const { buffer, byteOffset, length } = this.#bytes;
    if (this.dtype === "f16") return fromF16(new Uint16Array(buffer, byteOffset, length / 2));
    if (this.dtype === "i32") return new Int32Array(buffer, byteOffset, length / 4);
    return new Float32Array(buffer, byteOffset, length / 4);
  }

  [Symbol.dispose](): void {}
}

export type Said =
  | { readonly kind: "message"; readonly call: Call; readonly part: number; readonly parcel: Arrival | undefined }
  | { readonly kind: "failed"; readonly message: string; readonly rank: number }
  | { readonly kind: "news"; readonly news: News }
  | { readonly kind: "ended" };

export class Inbox {
  readonly #from: number;
  readonly #size: number;
  readonly #heard = new Heard();
  #taken = 0;
  #ended = false;

  /** size: of the link */
  constructor({ from, size }: { from: number; size: number }) {
    this.#from = from;
    this.#size = size;
  }

  /** What the next frame says; undefined when it is of use to later ones only.
   *  @throws FrameError for what no rank sends */
  take(bytes: Uint8Array<ArrayBuffer>): Said | undefined {
    // Elements are read in place.
    const frame = decode(bytes.byteOffset % 4 === 0 ? bytes : bytes.slice(), this.#taken);
    this.#taken++;
    switch (frame.kind) {
      case "words":
        this.#heard.define(frame.number, frame.text);
        return undefined;
      case "message": {
        if (this.#ended) throw new FrameError("it sends a message of a call after its end");
        const words = this.#heard.get(frame.words);
        return { kind: "message", call: called(words, frame.which), part: frame.part, parcel: arrival(words, frame) };
      }
      case "failed":
        return { kind: "failed", ...parseFailure(frame.text, this.#size) };
      case "news":
        return { kind: "news", news: parseNews(frame.text, { from: this.#from, size: this.#size }) };
      case "ended":
        if (this.#ended) throw new FrameError("it ends twice");
        this.#ended = true;
        return { kind: "ended" };
    }
  }
}

/** Written out: a message's cost is made of such lines. */
const called = (words: Words, which: number | string): Call => ({
  group: words.group,
  which,
  members: words.members,
  op: words.op,
  shapes: words.shapes,
  combine: words.combine,
  root: words.root,
  algorithm: words.algorithm,
  purpose: words.purpose,
});

function arrival({ shape, dtype }: Words, { elements }: { elements: Elements | undefined }): Arrival | undefined {
  if (elements?.dtype !== dtype)
    throw new FrameError(`a message has ${elements?.dtype ?? "no elements"} in place of ${dtype ?? "none"}`);
  if (!elements || !shape) return undefined;
  const { length } = elements.bytes;
  if (length !== bytesOf({ dtype: elements.dtype, length: sizeOf(shape) }))
    throw new FrameError(`a tensor [${shape}] of ${dtype} came with ${length} bytes`);
  return new Arrival(shape, elements);
}

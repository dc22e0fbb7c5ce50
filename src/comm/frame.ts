// What ranks say to each other, as bytes: 16 of head, then what the kind has. Most frames are tensors of calls. What a call is, is put into
// words once and known by a number from then on, so that 16 bytes are all that a tensor costs beside its elements.
//
// Head, little-endian as every machine with WebGPU: kind u8, element type u8, number of the words u16, which u32, part u16, sequence u16,
// length u32. Frames of a channel are numbered from 0, modulo 65,536: channels lose and swap nothing, and a peer that does is found out.

import { bytesOf, type DType } from "../backend/buffer.ts";
import { invariant } from "../backend/errors.ts";
import { spare } from "./spare.ts";

export const headBytes = 16;

/** Elements as they travel, after the head: 4-byte ones aligned. */
export interface Elements {
  readonly dtype: DType;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export type Frame =
  /** JSON of a call and a shape, from here on known as `number`; number 0 begins anew */
  | { readonly kind: "words"; readonly number: number; readonly text: string }
  /** a message of a call: `which` is the call's number in its group, or the tag of a message between two ranks */
  | {
      readonly kind: "message";
      readonly words: number;
      readonly which: number | string;
      readonly part: number;
      readonly elements: Elements | undefined;
    }
  /** the sender's program is over */
  | { readonly kind: "ended" }
  /** the run is over: why, JSON */
  | { readonly kind: "failed"; readonly text: string }
  /** how the sender is, when somebody has waited for long, JSON */
  | { readonly kind: "news"; readonly text: string };

const kinds = ["words", "message", "tagged", "ended", "failed", "news"] as const;
/** 0: the message has none */
const elementTypes = [undefined, "f32", "i32", "f16"] as const;

/** Longest text of a frame, in bytes: far more than any call has. */
export const maxText = 65_536;
/** Numbers there are for words of calls, and for parts and frames. */
const numbers = 65_536;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** What a peer sends that is no frame. */
export class FrameError extends Error {
  override name = "FrameError";
}

/** Room for a message's elements behind its head, with anything in it: written once, and sent as it is. */
export const messageBytes = (elementBytes: number): Uint8Array<ArrayBuffer> => spare.take(headBytes + elementBytes);

/** Writes the head of a message whose elements, of that type, are behind it already. */
export function finishMessage(
  bytes: Uint8Array<ArrayBuffer>,
  head: { words: number; which: number | string; part: number; dtype: DType | undefined },
): Uint8Array<ArrayBuffer> {
  const { words, which, part, dtype } = head;
  if (part >= numbers) invariant(false, `part ${part} of a call`);
  const type = elementTypes.indexOf(dtype);
  const length = bytes.length - headBytes;
  if (typeof which === "number") {
    writeHead(bytes, { kind: "message", type, words, which, part, length });
    return bytes;
  }
  const tag = encoder.encode(which);
  if (tag.length > maxText) throw new RangeError(`a tag of ${tag.length} bytes, at most ${maxText} go in a message`);
  const tagged = spare.take(bytes.length + tag.length);
  tagged.set(bytes);
  spare.give(bytes.buffer);
  tagged.set(tag, bytes.length);
  writeHead(tagged, { kind: "tagged", type, words, which: tag.length, part, length });
  return tagged;
}

/** @throws RangeError when the text is longer than a frame takes */
export function encodeText(
  kind: "words" | "failed" | "news" | "ended",
  { number = 0, text = "" }: { number?: number; text?: string } = {},
): Uint8Array<ArrayBuffer> {
  const content = encoder.encode(text);
  if (content.length > maxText)
    throw new RangeError(
      `a text of ${content.length} bytes, at most ${maxText} go in a frame: ${text.slice(0, 80)}...`,
    );
  const bytes = new Uint8Array(headBytes + content.length);
  bytes.set(content, headBytes);
  writeHead(bytes, { kind, type: 0, words: number, which: 0, part: 0, length: content.length });
  return bytes;
}

/** Frames are numbered as they leave. */
export function numberFrame(bytes: Uint8Array<ArrayBuffer>, sequence: number): void {
  new DataView(bytes.buffer, bytes.byteOffset, headBytes).setUint16(10, sequence % numbers, true);
}

function writeHead(
  bytes: Uint8Array<ArrayBuffer>,
  head: { kind: (typeof kinds)[number]; type: number; words: number; which: number; part: number; length: number },
): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, headBytes);
  view.setUint8(0, kinds.indexOf(head.kind));
  view.setUint8(1, head.type);
  view.setUint16(2, head.words, true);
  view.setUint32(4, head.which, true);
  view.setUint16(8, head.part, true);
  view.setUint32(12, head.length, true);
}

/** The frame that must have this number.
 *  @throws FrameError for anything that no rank sends */
export function decode(bytes: Uint8Array<ArrayBuffer>, sequence: number): Frame {
  if (bytes.length < headBytes)
    throw new FrameError(`${bytes.length} bytes are no frame, which has ${headBytes} of head`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, headBytes);
  const kind = kinds[view.getUint8(0)];
  const type = view.getUint8(1);
  const [number, which] = [view.getUint16(2, true), view.getUint32(4, true)];
  const [part, got, length] = [view.getUint16(8, true), view.getUint16(10, true), view.getUint32(12, true)];
  if (kind === undefined || type >= elementTypes.length) throw new FrameError("no frame begins with these bytes");
  const tagLength = kind === "tagged" ? which : 0;
  if (bytes.length !== headBytes + length + tagLength)
    throw new FrameError(`a frame of ${bytes.length} bytes says that it has ${headBytes + length + tagLength}`);
  if (got !== sequence % numbers)
    throw new FrameError(
      `frame ${got} came in place of frame ${sequence % numbers}: frames were lost, doubled or swapped`,
    );
  const content = bytes.subarray(headBytes, headBytes + length);
  if (kind === "message" || kind === "tagged") {
    const dtype = elementTypes[type];
    if (dtype ? length % bytesOf({ dtype, length: 1 }) : length)
      throw new FrameError(`a frame has ${length} bytes of ${dtype ?? "no type"}`);
    const name = kind === "tagged" ? textOf(bytes.subarray(headBytes + length)) : which;
    return { kind: "message", words: number, which: name, part, elements: dtype && { dtype, bytes: content } };
  }
  if (type + which + part > 0 || (kind !== "words" && number > 0) || (kind === "ended" && length > 0))
    throw new FrameError("a text's head has something of a message's");
  const text = textOf(content);
  if (kind === "words") return { kind, number, text };
  return kind === "ended" ? { kind } : { kind, text };
}

function textOf(bytes: Uint8Array<ArrayBuffer>): string {
  if (bytes.length > maxText) throw new FrameError(`a frame has a text of ${bytes.length} bytes, at most ${maxText}`);
  try {
    return decoder.decode(bytes);
  } catch {
    throw new FrameError("a frame's text is not UTF-8");
  }
}

// What goes to one other rank, in the order in which it was asked for, whenever the device has given what was to be read of it.

import type { Tensor } from "../tensor/tensor.ts";
import type { Channel } from "./channel.ts";
import { encodeText, finishMessage, headBytes, messageBytes, numberFrame } from "./frame.ts";
import type { Call } from "./link.ts";
import { spare } from "./spare.ts";
import { Told } from "./words.ts";

/** A frame that waits for its turn. */
interface Waiting {
  frame: Uint8Array<ArrayBuffer> | undefined;
  elementBytes: number;
}

/** A tensor's elements behind room for a head, for several receivers: the last gets the bytes themselves. */
export class Reading {
  readonly #bytes: Promise<Uint8Array<ArrayBuffer>>;
  #takers = 0;

  constructor(bytes: Promise<Uint8Array<ArrayBuffer>>) {
    this.#bytes = bytes;
  }

  /** All ask for it in the turn in which it was begun. */
  async take(): Promise<Uint8Array<ArrayBuffer>> {
    this.#takers++;
    const bytes = await this.#bytes;
    if (--this.#takers === 0) return bytes;
    const copy = spare.take(bytes.length);
    copy.set(bytes);
    return copy;
  }
}

export class Outbox {
  /** of tensors, so far */
  elementBytes = 0;
  /** of heads and texts */
  overheadBytes = 0;
  readonly #channel: Channel;
  readonly #fail: (error: unknown) => void;
  readonly #told = new Told();
  #queue: Waiting[] = [];
  #sent = 0;
  #emptied: (() => void)[] = [];

  constructor(channel: Channel, fail: (error: unknown) => void) {
    this.#channel = channel;
    this.#fail = fail;
  }

  /** @throws RangeError when the call's words are longer than a frame takes */
  message(call: Call, options: { part: number; tensor: Tensor | undefined; reading: Reading | undefined }): void {
    const { part, tensor, reading } = options;
    const { number, text } = this.#told.number(call, tensor);
    if (text !== undefined) this.#push(encodeText("words", { number, text }));
    const head = { words: number, which: call.which, part, dtype: tensor?.dtype };
    if (!reading) {
      this.#push(finishMessage(messageBytes(0), head));
      return;
    }
    const waiting: Waiting = { frame: undefined, elementBytes: 0 };
    this.#queue.push(waiting);
    reading
      .take()
      .then((bytes) => {
        waiting.elementBytes = bytes.length - headBytes;
        waiting.frame = finishMessage(bytes, head);
        this.#pump();
      })
      .catch(this.#fail);
  }

  /** At once, before what waits for the device. */
  say(kind: "failed" | "news" | "ended", text?: string): void {
    this.#post(encodeText(kind, { text }), 0);
  }

  /** Resolves when nothing waits any more. */
  empty(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#queue.length === 0) resolve();
      else this.#emptied.push(resolve);
    });
  }

  /** Nothing that waits will be sent. */
  clear(): void {
    this.#queue = [];
    for (const resolve of this.#emptied.splice(0)) resolve();
  }

  #push(frame: Uint8Array<ArrayBuffer>): void {
    if (this.#queue.length === 0) this.#post(frame, 0);
    else this.#queue.push({ frame, elementBytes: 0 });
  }

  #pump(): void {
    while (this.#queue.length > 0) {
      const { frame, elementBytes } = this.#queue[0];
      if (!frame) return;
      this.#queue.shift();
      this.#post(frame, elementBytes);
    }
    for (const resolve of this.#emptied.splice(0)) resolve();
  }

  #post(frame: Uint8Array<ArrayBuffer>, elementBytes: number): void {
    const { length } = frame;
    numberFrame(frame, this.#sent);
    this.#channel.send(frame);
    this.#sent++;
    this.elementBytes += elementBytes;
    this.overheadBytes += length - elementBytes;
  }
}

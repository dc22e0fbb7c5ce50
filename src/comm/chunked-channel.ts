// What channels share that send a message as numbered chunks: a queue that waits where the way is full, messages put together again, and
// how a channel opens, closes and ends. How a chunk travels, and when another may, is for each of them to say.

import { deferred } from "../backend/deferred.ts";
import type { Channel, ChannelListener } from "./channel.ts";
import { spare } from "./spare.ts";

/** What a chunk's head says: numbers of the message and of the chunk in it, and bytes of the whole message. All u32. */
export interface ChunkHead {
  readonly message: number;
  readonly chunk: number;
  readonly length: number;
}

/** Longest message: more is no tensor, but a peer that wants our memory. */
const maxMessageBytes = 2 ** 31;
/** What was sent before close() may take this long to go. */
const lingerMs = 2000;
const closedHere = "it was closed on this side";

export abstract class ChunkedChannel implements Channel {
  overheadBytes = 0;
  readonly #opening = deferred<void>();
  readonly #ended = deferred<void>();
  /** Resolves when messages can go; rejects when it closes before. */
  readonly opened = this.#opening.promise;
  /** Resolves when nothing goes either way any more. */
  readonly ended = this.#ended.promise;
  #state: "opening" | "open" | "closing" | "closed" = "opening";
  /** why it is closed */
  #reason = "";
  #timer: ReturnType<typeof setTimeout> | undefined;
  #listener: ChannelListener | undefined;
  /** come before there was a listener */
  #held: Uint8Array<ArrayBuffer>[] = [];

  #queue: Uint8Array<ArrayBuffer>[] = [];
  /** of the queue's first message: bytes and chunks that have gone */
  #sent = 0;
  #chunksSent = 0;
  #messagesSent = 0;
  #saidGoodbye = false;
  #emptied: (() => void)[] = [];

  #arriving: Uint8Array<ArrayBuffer> | undefined;
  /** of the message that arrives: bytes and chunks that have come */
  #come = 0;
  #chunksTaken = 0;
  #messagesTaken = 0;

  constructor() {
    this.opened.catch(() => undefined);
  }

  /** of a message, in a chunk */
  protected abstract readonly contentBytes: number;
  /** Whether what comes of a chunk lies in memory that nothing else has a part of, and is given away with it. */
  protected abstract readonly chunksOwnMemory: boolean;
  /** Whether a chunk may go; if not, `pump` is to be called when one may. */
  protected abstract mayPost(): boolean;
  /** Sends a copy. @throws when nothing can go any more */
  protected abstract post(head: ChunkHead, content: Uint8Array<ArrayBuffer>): void;
  /** All that was sent before is on its way. */
  protected abstract sayGoodbye(): void;
  /** Resolves when all that was posted has left this side; not asked for after the end. */
  protected abstract left(): Promise<void>;
  /** Has ended: gives back what it is made of. */
  protected abstract release(): void;
  /** Somebody listens from now on. */
  protected heeded(): void {}

  /** @throws RangeError above 2^31 bytes */
  send(bytes: Uint8Array<ArrayBuffer>): void {
    if (bytes.length > maxMessageBytes)
      throw new RangeError(
        `a message of ${bytes.length} bytes, at most ${maxMessageBytes} go over a channel; send it in parts`,
      );
    if (this.#state === "closing" || this.#state === "closed") return;
    this.#queue.push(bytes);
    this.pump();
  }

  listen(listener: ChannelListener): void {
    this.#listener = listener;
    for (const bytes of this.#held.splice(0)) listener.message(bytes);
    if (this.#state === "closed") listener.closed(this.#reason);
    else this.heeded();
  }

  async flush(): Promise<void> {
    if (this.#state !== "closed")
      await new Promise<void>((resolve) => {
        this.#emptied.push(resolve);
        this.pump();
      });
    if (this.#state !== "closed") await Promise.race([this.left(), this.#ended.promise]);
  }

  /** What was sent before still goes, for two seconds at most. */
  close(): void {
    if (this.#state === "opening") this.end(closedHere);
    if (this.#state !== "open") return;
    this.#state = "closing";
    this.endAfter(lingerMs, closedHere);
    this.pump();
  }

  protected get state(): "opening" | "open" | "closing" | "closed" {
    return this.#state;
  }

  protected get hasListener(): boolean {
    return this.#listener !== undefined;
  }

  /** Messages may go. */
  protected open(): void {
    if (this.#state !== "opening") return;
    this.#state = "open";
    this.#opening.resolve();
    this.pump();
  }

  /** Nothing that waits will go. */
  protected forget(): void {
    this.#queue = [];
  }

  /** Sends what may go. */
  protected pump(): void {
    if (this.#state !== "open" && this.#state !== "closing") return;
    try {
      while (this.#queue.length > 0) {
        if (!this.mayPost()) return;
        this.#postChunk(this.#queue[0]);
      }
      if (this.#state === "closing" && !this.#saidGoodbye) {
        this.#saidGoodbye = true;
        this.sayGoodbye();
      }
      for (const resolve of this.#emptied.splice(0)) resolve();
    } catch (error) {
      // It has closed, and its event, perhaps a goodbye before it, is still to come.
      this.endAfter(lingerMs, `it takes no more: ${error instanceof Error ? error.message : error}`);
    }
  }

  #postChunk(message: Uint8Array<ArrayBuffer>): void {
    const end = Math.min(this.#sent + this.contentBytes, message.length);
    const head = { message: this.#messagesSent, chunk: this.#chunksSent, length: message.length };
    this.post(head, message.subarray(this.#sent, end));
    this.#sent = end;
    this.#chunksSent++;
    if (end < message.length) return;
    this.#queue.shift();
    spare.give(message.buffer);
    this.#sent = 0;
    this.#chunksSent = 0;
    this.#messagesSent = (this.#messagesSent + 1) >>> 0;
  }

  /** Data channels and relays lose nothing, and their chunks are numbered to find out a peer that is not ours.
   *  @returns what is wrong with it */
  protected takeChunk({ message, chunk, length }: ChunkHead, content: Uint8Array<ArrayBuffer>): string | undefined {
    if (message !== this.#messagesTaken || chunk !== this.#chunksTaken)
      return `it sent chunk ${chunk} of message ${message} instead of ${this.#chunksTaken} of ${this.#messagesTaken}`;
    if (length > maxMessageBytes)
      return `it announced a message of ${length} bytes, at most ${maxMessageBytes} are taken`;
    const begin = this.#come;
    const end = begin + content.length;
    if (end > length || (end < length && content.length === 0))
      return `it sent a chunk of ${content.length} bytes at ${begin} of a message of ${length}`;
    if (chunk === 0 && end === length && this.chunksOwnMemory) {
      this.#deliver(content);
      return;
    }
    try {
      this.#arriving ??= spare.take(length);
    } catch {
      return `it announced a message of ${length} bytes, for which there is no memory`;
    }
    const arriving = this.#arriving;
    if (arriving.length !== length) return `it announced ${arriving.length} bytes, then ${length} for the same message`;
    arriving.set(content, begin);
    this.#come = end;
    this.#chunksTaken++;
    if (end < length) return;
    this.#arriving = undefined;
    this.#come = 0;
    this.#chunksTaken = 0;
    this.#deliver(arriving);
  }

  #deliver(message: Uint8Array<ArrayBuffer>): void {
    this.#messagesTaken = (this.#messagesTaken + 1) >>> 0;
    if (this.#listener) this.#listener.message(message);
    else this.#held.push(message);
  }

  /** Ends it in so many milliseconds, unless something else does or `stay` is called before. */
  protected endAfter(ms: number, reason: string): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.end(reason), ms);
  }

  protected stay(): void {
    clearTimeout(this.#timer);
  }

  protected end(reason: string): void {
    const before = this.#state;
    if (before === "closed") return;
    this.#state = "closed";
    this.#reason = reason;
    clearTimeout(this.#timer);
    this.#queue = [];
    this.#arriving = undefined;
    this.release();
    this.#opening.reject(new Error(reason));
    this.#ended.resolve();
    for (const resolve of this.#emptied.splice(0)) resolve();
    if (before !== "closing") this.#listener?.closed(reason);
  }
}

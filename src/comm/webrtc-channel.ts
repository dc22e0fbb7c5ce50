// A channel over one ordered, reliable RTCDataChannel, a page's or node-datachannel's. Messages are cut into chunks,
// because browsers take no more than 256 KB at a time, and handed over no faster than they leave, because Chromium
// refuses what is beyond 16 MB.
//
// A chunk begins with 12 bytes, little-endian: number of the message u32, number of the chunk in it u32, bytes of the
// whole message u32. Data channels lose nothing; the numbers find out a peer that is not ours. The one text ever sent
// is the goodbye.

import type { Channel, ChannelListener } from "./channel.ts";

/** Bytes of a chunk, head included: what every peer takes whatever its description says (RFC 8841: 64 KB), and as
 *  fast as larger ones. */
export const chunkBytes = 65_536;
const headBytes = 12;
const contentBytes = chunkBytes - headBytes;

/** Longest message: more is no tensor, but a peer that wants our memory. */
const maxMessageBytes = 2 ** 31;

/** Buffered bytes above which chunks wait, and at which they go on: a tenth of a second's at what these channels
 *  reach. */
const [pauseBytes, resumeBytes] = [4 << 20, 1 << 20];

const goodbye = "closed";
/** Both look alike from here. */
const lost = "it ended without a goodbye, or the network between failed";
/** What was sent before close() may take this long to arrive. */
const lingerMs = 2000;
/** How long a connection may be interrupted: changes of network take seconds, and ICE goes on trying meanwhile. */
const interruptedMs = 10_000;

export class RtcChannel implements Channel {
  overheadBytes = 0;
  /** Resolves when messages can go; rejects when it closes before. */
  readonly opened: Promise<void>;
  readonly #connection: RTCPeerConnection;
  readonly #channel: RTCDataChannel;
  readonly #events = new AbortController();
  #state: "opening" | "open" | "closing" | "closed" = "opening";
  #opening!: { resolve(): void; reject(error: Error): void };
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** why it is closed */
  #reason = "";
  #listener: ChannelListener | undefined;
  /** come before there was a listener */
  #held: Uint8Array<ArrayBuffer>[] = [];

  #queue: Uint8Array<ArrayBuffer>[] = [];
  /** of the queue's first message: chunks that have gone */
  #chunksSent = 0;
  #messagesSent = 0;
  #saidGoodbye = false;
  #flushes: (() => void)[] = [];
  /** data channels copy what they are given */
  readonly #chunk = new Uint8Array(chunkBytes);
  readonly #head = new DataView(this.#chunk.buffer, 0, headBytes);

  #arriving: Uint8Array<ArrayBuffer> | undefined;
  #chunksTaken = 0;
  #messagesTaken = 0;

  /** Takes over both: the connection ends with the channel. */
  constructor(connection: RTCPeerConnection, channel: RTCDataChannel) {
    this.#connection = connection;
    this.#channel = channel;
    this.opened = new Promise((resolve, reject) => {
      this.#opening = { resolve, reject };
    });
    this.opened.catch(() => undefined);
    channel.binaryType = "arraybuffer";
    const { signal } = this.#events;
    channel.addEventListener("open", () => this.#open(), { signal });
    channel.addEventListener("message", ({ data }) => this.#take(data), { signal });
    channel.addEventListener("bufferedamountlow", () => this.#pump(), { signal });
    channel.addEventListener("close", () => this.#end(lost), { signal });
    connection.addEventListener("connectionstatechange", () => this.#look(), { signal });
    // A page that is left has no time for what is still to be sent. Node has no such event: what ends there ends
    // without a word.
    globalThis.addEventListener?.("pagehide", () => this.#leave(), { signal });
    if (channel.readyState === "open") this.#open();
  }

  /** @throws RangeError above 2^31 bytes */
  send(bytes: Uint8Array<ArrayBuffer>): void {
    if (bytes.length > maxMessageBytes)
      throw new RangeError(
        `a message of ${bytes.length} bytes, at most ${maxMessageBytes} go over a channel; send it in parts`,
      );
    if (this.#state === "closing" || this.#state === "closed") return;
    this.#queue.push(bytes);
    this.#pump();
  }

  listen(listener: ChannelListener): void {
    this.#listener = listener;
    for (const bytes of this.#held.splice(0)) listener.message(bytes);
    if (this.#state === "closed") listener.closed(this.#reason);
  }

  flush(): Promise<void> {
    if (this.#state === "closed") return Promise.resolve();
    return new Promise((resolve) => {
      this.#flushes.push(resolve);
      this.#pump();
    });
  }

  /** What was sent before still goes, for two seconds at most. */
  close(): void {
    if (this.#state === "opening") this.#end("it was closed on this side");
    if (this.#state !== "open") return;
    this.#state = "closing";
    this.#endAfter(lingerMs, "it was closed on this side");
    this.#pump();
  }

  #leave(): void {
    this.#queue = [];
    this.close();
    this.#end("its page was left");
  }

  #open(): void {
    if (this.#state !== "opening") return;
    this.#state = "open";
    this.#opening.resolve();
    this.#pump();
  }

  #pump(): void {
    if (this.#channel.readyState !== "open") return;
    try {
      while (this.#queue.length > 0) {
        if (this.#channel.bufferedAmount > pauseBytes && this.#mustWait(resumeBytes)) return;
        this.#sendChunk(this.#queue[0]);
      }
      if (this.#state === "closing" && !this.#saidGoodbye) {
        this.#saidGoodbye = true;
        this.overheadBytes += goodbye.length;
        this.#channel.send(goodbye);
      }
      if (this.#flushes.length > 0 && !this.#mustWait(0)) for (const resolve of this.#flushes.splice(0)) resolve();
    } catch (error) {
      // It has closed, and its event, perhaps a goodbye before it, is still to come.
      this.#endAfter(lingerMs, `it takes no more: ${error instanceof Error ? error.message : error}`);
    }
  }

  /** Asks for an event when so few bytes are left. False if there are no more by now: then none may come. */
  #mustWait(bytes: number): boolean {
    this.#channel.bufferedAmountLowThreshold = bytes;
    return this.#channel.bufferedAmount > bytes;
  }

  #sendChunk(message: Uint8Array<ArrayBuffer>): void {
    const begin = this.#chunksSent * contentBytes;
    const end = Math.min(begin + contentBytes, message.length);
    this.#head.setUint32(0, this.#messagesSent, true);
    this.#head.setUint32(4, this.#chunksSent, true);
    this.#head.setUint32(8, message.length, true);
    this.#chunk.set(message.subarray(begin, end), headBytes);
    this.#channel.send(this.#chunk.subarray(0, headBytes + end - begin));
    this.overheadBytes += headBytes;
    this.#chunksSent++;
    if (end < message.length) return;
    this.#queue.shift();
    this.#chunksSent = 0;
    this.#messagesSent = (this.#messagesSent + 1) >>> 0;
  }

  #take(data: unknown): void {
    if (data === goodbye) this.#end("it has closed its side");
    if (this.#state === "closing" || this.#state === "closed") return;
    // A peer's first message may be here before our own channel's event.
    this.#open();
    const wrong = data instanceof ArrayBuffer ? this.#takeChunk(data) : "it sent a text";
    if (wrong) this.#end(wrong);
  }

  /** @returns what is wrong with it */
  #takeChunk(data: ArrayBuffer): string | undefined {
    if (data.byteLength < headBytes) return `it sent a chunk of ${data.byteLength} bytes, which has no head`;
    const head = new DataView(data, 0, headBytes);
    const [message, chunk, length] = [head.getUint32(0, true), head.getUint32(4, true), head.getUint32(8, true)];
    if (message !== this.#messagesTaken || chunk !== this.#chunksTaken)
      return `it sent chunk ${chunk} of message ${message} instead of ${this.#chunksTaken} of ${this.#messagesTaken}`;
    if (length > maxMessageBytes)
      return `it announced a message of ${length} bytes, at most ${maxMessageBytes} are taken`;
    const begin = chunk * contentBytes;
    const content = data.byteLength - headBytes;
    if (content !== Math.min(contentBytes, length - begin))
      return `it sent a chunk of ${content} bytes at ${begin} of a message of ${length}`;
    try {
      this.#arriving ??= new Uint8Array(length);
    } catch {
      return `it announced a message of ${length} bytes, for which there is no memory`;
    }
    const arriving = this.#arriving;
    if (arriving.length !== length) return `it announced ${arriving.length} bytes, then ${length} for the same message`;
    arriving.set(new Uint8Array(data, headBytes), begin);
    this.#chunksTaken++;
    if (begin + content < length) return;
    this.#arriving = undefined;
    this.#chunksTaken = 0;
    this.#messagesTaken = (this.#messagesTaken + 1) >>> 0;
    if (this.#listener) this.#listener.message(arriving);
    else this.#held.push(arriving);
  }

  #look(): void {
    const { connectionState } = this.#connection;
    if (connectionState === "failed" || connectionState === "closed") this.#end(lost);
    if (this.#state !== "open") return;
    if (connectionState === "connected") clearTimeout(this.#timer);
    if (connectionState === "disconnected")
      this.#endAfter(interruptedMs, `the connection was interrupted for ${interruptedMs / 1000} s`);
  }

  #endAfter(ms: number, reason: string): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#end(reason), ms);
  }

  #end(reason: string): void {
    const before = this.#state;
    if (before === "closed") return;
    this.#state = "closed";
    this.#reason = reason;
    clearTimeout(this.#timer);
    this.#events.abort();
    this.#queue = [];
    this.#arriving = undefined;
    this.#channel.close();
    this.#connection.close();
    this.#opening.reject(new Error(reason));
    for (const resolve of this.#flushes.splice(0)) resolve();
    if (before !== "closing") this.#listener?.closed(reason);
  }
}

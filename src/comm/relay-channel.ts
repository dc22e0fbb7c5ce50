// A channel through a server that hands messages on (NATS), for two ranks that WebRTC cannot connect: slower, since every byte goes there and back.
// What is a message on the server's side, and who may write one, is the wire's business.
//
// A packet begins with 16 bytes, little-endian: kind u32; of data: number of the message u32, number of the chunk in it u32, bytes of the whole
// message u32; of an acknowledgement: chunks taken so far u32.

import type { Channel, ChannelListener } from "./channel.ts";

/** A two-way way through a server. In order; what is lost on it is noticed, and told as its end. */
export interface RelayWire {
  /** that it takes at a time */
  readonly mostBytes: number;
  /** that it adds to each packet */
  readonly overheadBytes: number;
  send(packet: Uint8Array<ArrayBuffer>): void;
  /** To be called once. */
  listen(listener: { packet(bytes: Uint8Array<ArrayBuffer>): void; lost(reason: string): void }): void;
  /** Resolves when all has been handed to the connection. */
  flush(): Promise<void>;
  close(): void;
}

const headBytes = 16;
const kinds = { hello: 0, here: 1, data: 2, taken: 3, alive: 4, goodbye: 5 } as const;

/** Of a packet: an acknowledgement for each costs little. */
const mostContentBytes = 131_072;
/** Chunks that may be under way, 1 MB: 63 channels stay below the 64 MB at which a NATS server cuts off who reads too slowly. */
const windowChunks = 8;
/** Longest message: more is no tensor, but a peer that wants our memory. */
const maxMessageBytes = 2 ** 31;
/** The other side may come to its place much later. */
const helloMs = 200;
/** Looks for silence within the time after which it is one; each says that this side is there. */
const looksPerSilence = 4;
/** What was sent before close() may take this long to go. */
const lingerMs = 2000;

export class RelayChannel implements Channel {
  overheadBytes = 0;
  /** Resolves when the other side is there. @throws Error when it does not come in time, or the wire is lost */
  readonly opened: Promise<void>;
  readonly #wire: RelayWire;
  readonly #contentBytes: number;
  readonly #silentMs: number;
  #state: "opening" | "open" | "closing" | "closed" = "opening";
  #opening!: { resolve(): void; reject(error: Error): void };
  #timers: ReturnType<typeof setTimeout>[] = [];
  /** looks since something was heard: a process that was busy itself has looked no more often */
  #quiet = 0;
  #reason = "";
  #listener: ChannelListener | undefined;
  /** come before there was a listener */
  #held: Uint8Array<ArrayBuffer>[] = [];

  #queue: Uint8Array<ArrayBuffer>[] = [];
  /** of the queue's first message: chunks that have gone */
  #chunksSent = 0;
  #messagesSent = 0;
  #underWay = 0;
  /** acknowledged chunks, modulo 2^32 */
  #acknowledged = 0;
  #flushes: (() => void)[] = [];

  #arriving: Uint8Array<ArrayBuffer> | undefined;
  #chunksTaken = 0;
  #messagesTaken = 0;
  #taken = 0;

  /** Takes over the wire.
   *  @param options.timeoutMs for the other side to come
   *  @param options.silentMs after which a side that says nothing is lost */
  constructor(wire: RelayWire, { timeoutMs, silentMs }: { timeoutMs: number; silentMs: number }) {
    this.#wire = wire;
    this.#silentMs = silentMs;
    this.#contentBytes = Math.min(mostContentBytes, wire.mostBytes - headBytes);
    this.opened = new Promise((resolve, reject) => {
      this.#opening = { resolve, reject };
    });
    this.opened.catch(() => undefined);
    wire.listen({ packet: (bytes) => this.#take(bytes), lost: (reason) => this.#end(reason) });
    this.#say(kinds.hello);
    this.#timers.push(setInterval(() => this.#say(kinds.hello), helloMs));
    this.#timers.push(setTimeout(() => this.#end(`it did not come within ${timeoutMs / 1000} s`), timeoutMs));
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
    else if (this.#taken > 0) this.#say(kinds.taken, [this.#taken]);
  }

  flush(): Promise<void> {
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
    this.#timers.push(setTimeout(() => this.#end("it was closed on this side"), lingerMs));
    this.#pump();
  }

  #open(): void {
    if (this.#state !== "opening") return;
    this.#state = "open";
    this.#clear();
    this.#timers.push(setInterval(() => this.#look(), this.#silentMs / looksPerSilence));
    this.#opening.resolve();
    this.#pump();
  }

  #look(): void {
    if (++this.#quiet > looksPerSilence) this.#end(`nothing was heard of it for ${this.#silentMs / 1000} s`);
    else this.#say(kinds.alive);
  }

  #pump(): void {
    if (this.#state === "open" || this.#state === "closing") {
      while (this.#queue.length > 0 && this.#underWay < windowChunks) this.#sendChunk(this.#queue[0]);
      if (this.#queue.length === 0 && this.#state === "closing") {
        this.#say(kinds.goodbye);
        this.#end("it was closed on this side");
      }
    }
    if (this.#queue.length > 0) return;
    const flushes = this.#flushes.splice(0);
    if (flushes.length > 0)
      void this.#wire.flush().then(() => {
        for (const resolve of flushes) resolve();
      });
  }

  #say(kind: number, words: readonly number[] = [], content?: Uint8Array<ArrayBuffer>): void {
    const packet = new Uint8Array(headBytes + (content?.length ?? 0));
    const head = new DataView(packet.buffer);
    for (const [i, word] of [kind, ...words].entries()) head.setUint32(4 * i, word, true);
    if (content) packet.set(content, headBytes);
    this.overheadBytes += headBytes + this.#wire.overheadBytes;
    this.#wire.send(packet);
  }

  #sendChunk(message: Uint8Array<ArrayBuffer>): void {
    const begin = this.#chunksSent * this.#contentBytes;
    const end = Math.min(begin + this.#contentBytes, message.length);
    this.#underWay++;
    this.#say(kinds.data, [this.#messagesSent, this.#chunksSent, message.length], message.subarray(begin, end));
    this.#chunksSent++;
    if (end < message.length) return;
    this.#queue.shift();
    this.#chunksSent = 0;
    this.#messagesSent = (this.#messagesSent + 1) >>> 0;
  }

  #take(packet: Uint8Array<ArrayBuffer>): void {
    if (this.#state === "closed") return;
    this.#quiet = 0;
    const wrong = this.#understand(packet);
    if (wrong) this.#end(wrong);
  }

  /** @returns what is wrong with it, or why this is the end */
  #understand(packet: Uint8Array<ArrayBuffer>): string | undefined {
    if (packet.length < headBytes) return `it sent a packet of ${packet.length} bytes, which has no head`;
    const head = new DataView(packet.buffer, packet.byteOffset, headBytes);
    const [kind, a, b, c] = [0, 4, 8, 12].map((at) => head.getUint32(at, true));
    if (kind === kinds.goodbye) return "it has closed its side";
    if (kind === kinds.hello) this.#say(kinds.here);
    // Whatever it says, it is there.
    this.#open();
    if (kind === kinds.taken) return this.#acknowledge(a);
    if (kind === kinds.data) return this.#takeChunk({ message: a, chunk: b, length: c }, packet.subarray(headBytes));
    return kind > kinds.goodbye ? `it sent a packet of kind ${kind}, which there is not` : undefined;
  }

  #acknowledge(taken: number): string | undefined {
    const fresh = (taken - this.#acknowledged) >>> 0;
    if (fresh > this.#underWay) return `it says it took ${fresh} chunks when ${this.#underWay} were under way`;
    this.#acknowledged = taken;
    this.#underWay -= fresh;
    this.#pump();
    return undefined;
  }

  #takeChunk(
    { message, chunk, length }: { message: number; chunk: number; length: number },
    content: Uint8Array<ArrayBuffer>,
  ): string | undefined {
    if (message !== this.#messagesTaken || chunk !== this.#chunksTaken)
      return `it sent chunk ${chunk} of message ${message} instead of ${this.#chunksTaken} of ${this.#messagesTaken}`;
    if (length > maxMessageBytes)
      return `it announced a message of ${length} bytes, at most ${maxMessageBytes} are taken`;
    try {
      this.#arriving ??= new Uint8Array(length);
    } catch {
      return `it announced a message of ${length} bytes, for which there is no memory`;
    }
    const arriving = this.#arriving;
    const begin = chunk * this.#contentBytes;
    if (arriving.length !== length || content.length !== Math.min(this.#contentBytes, length - begin))
      return `it sent a chunk of ${content.length} bytes at ${begin} of a message of ${length}`;
    arriving.set(content, begin);
    this.#chunksTaken++;
    this.#taken = (this.#taken + 1) >>> 0;
    if (begin + content.length === length) {
      this.#arriving = undefined;
      this.#chunksTaken = 0;
      this.#messagesTaken = (this.#messagesTaken + 1) >>> 0;
      if (this.#listener) this.#listener.message(arriving);
      else this.#held.push(arriving);
    }
    // Without a listener nothing more than the window comes.
    if (this.#listener) this.#say(kinds.taken, [this.#taken]);
    return undefined;
  }

  #clear(): void {
    for (const timer of this.#timers.splice(0)) clearTimeout(timer);
  }

  #end(reason: string): void {
    const before = this.#state;
    if (before === "closed") return;
    this.#state = "closed";
    this.#reason = reason;
    this.#clear();
    this.#queue = [];
    this.#arriving = undefined;
    this.#wire.close();
    this.#opening.reject(new Error(reason));
    for (const resolve of this.#flushes.splice(0)) resolve();
    if (before !== "closing") this.#listener?.closed(reason);
  }
}

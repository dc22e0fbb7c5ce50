// A channel through a server that hands messages on (NATS), for two ranks that WebRTC cannot connect: slower, since every byte goes there and back.
// What is a message on the server's side, and who may write one, is the wire's business.
//
// A packet begins with 16 bytes, little-endian: kind u32; of data: number of the message u32, number of the chunk in it u32, bytes of the whole
// message u32; of an acknowledgement: chunks taken so far u32.

import { ChunkedChannel, type ChunkHead } from "./chunked-channel.ts";
import { headBytes as frameHeadBytes } from "./frame.ts";

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

/** Of a packet: an acknowledgement for each costs little. A tensor of 128 KB in its frame takes one. */
const mostContentBytes = 131_072 + frameHeadBytes;
/** Chunks that may be under way, 1 MB: 63 channels stay below the 64 MB at which a NATS server cuts off who reads too slowly. */
const windowChunks = 8;
/** The other side may come to its place much later. */
const helloMs = 200;
/** Looks for silence within the time after which it is one; each says that this side is there. */
const looksPerSilence = 4;

export class RelayChannel extends ChunkedChannel {
  protected readonly contentBytes: number;
  /** Packets may be parts of what a connection has read at once. */
  protected readonly chunksOwnMemory = false;
  readonly #wire: RelayWire;
  readonly #silentMs: number;
  #interval: ReturnType<typeof setInterval>;
  /** looks since something was heard: a process that was busy itself has looked no more often */
  #quiet = 0;
  #underWay = 0;
  /** acknowledged chunks, modulo 2^32 */
  #acknowledged = 0;
  #taken = 0;

  /** Takes over the wire.
   *  @param options.timeoutMs for the other side to come
   *  @param options.silentMs after which a side that says nothing is lost */
  constructor(wire: RelayWire, { timeoutMs, silentMs }: { timeoutMs: number; silentMs: number }) {
    super();
    this.#wire = wire;
    this.#silentMs = silentMs;
    this.contentBytes = Math.min(mostContentBytes, wire.mostBytes - headBytes);
    this.#interval = setInterval(() => this.#say(kinds.hello), helloMs);
    this.endAfter(timeoutMs, `it did not come within ${timeoutMs / 1000} s`);
    wire.listen({ packet: (bytes) => this.#take(bytes), lost: (reason) => this.end(reason) });
    this.#say(kinds.hello);
  }

  protected mayPost(): boolean {
    return this.#underWay < windowChunks;
  }

  protected post({ message, chunk, length }: ChunkHead, content: Uint8Array<ArrayBuffer>): void {
    this.#underWay++;
    this.#say(kinds.data, [message, chunk, length], content);
  }

  protected sayGoodbye(): void {
    this.#say(kinds.goodbye);
    this.end("it was closed on this side");
  }

  /** A wire that fails is told as its end. */
  protected left(): Promise<void> {
    return this.#wire.flush().catch(() => undefined);
  }

  protected release(): void {
    clearInterval(this.#interval);
    this.#wire.close();
  }

  protected override heeded(): void {
    if (this.#taken > 0) this.#say(kinds.taken, [this.#taken]);
  }

  protected override open(): void {
    if (this.state !== "opening") return;
    this.stay();
    clearInterval(this.#interval);
    this.#interval = setInterval(() => this.#look(), this.#silentMs / looksPerSilence);
    super.open();
  }

  #look(): void {
    if (++this.#quiet > looksPerSilence) this.end(`nothing was heard of it for ${this.#silentMs / 1000} s`);
    else this.#say(kinds.alive);
  }

  #say(kind: number, words: readonly number[] = [], content?: Uint8Array<ArrayBuffer>): void {
    const packet = new Uint8Array(headBytes + (content?.length ?? 0));
    const head = new DataView(packet.buffer);
    for (const [i, word] of [kind, ...words].entries()) head.setUint32(4 * i, word, true);
    if (content) packet.set(content, headBytes);
    this.overheadBytes += headBytes + this.#wire.overheadBytes;
    this.#wire.send(packet);
  }

  #take(packet: Uint8Array<ArrayBuffer>): void {
    if (this.state === "closed") return;
    this.#quiet = 0;
    const wrong = this.#understand(packet);
    if (wrong) this.end(wrong);
  }

  /** @returns what is wrong with it, or why this is the end */
  #understand(packet: Uint8Array<ArrayBuffer>): string | undefined {
    if (packet.length < headBytes) return `it sent a packet of ${packet.length} bytes, which has no head`;
    const head = new DataView(packet.buffer, packet.byteOffset, headBytes);
    const [kind, a, b, c] = [0, 4, 8, 12].map((at) => head.getUint32(at, true));
    if (kind === kinds.goodbye) return "it has closed its side";
    if (kind === kinds.hello) this.#say(kinds.here);
    // Whatever it says, it is there.
    this.open();
    if (kind === kinds.taken) return this.#acknowledge(a);
    if (kind === kinds.data) return this.#takeData({ message: a, chunk: b, length: c }, packet.subarray(headBytes));
    return kind > kinds.goodbye ? `it sent a packet of kind ${kind}, which there is not` : undefined;
  }

  #acknowledge(taken: number): string | undefined {
    const fresh = (taken - this.#acknowledged) >>> 0;
    if (fresh > this.#underWay) return `it says it took ${fresh} chunks when ${this.#underWay} were under way`;
    this.#acknowledged = taken;
    this.#underWay -= fresh;
    this.pump();
    return undefined;
  }

  #takeData(head: ChunkHead, content: Uint8Array<ArrayBuffer>): string | undefined {
    const wrong = this.takeChunk(head, content);
    if (wrong) return wrong;
    this.#taken = (this.#taken + 1) >>> 0;
    // Without a listener nothing more than the window comes.
    if (this.hasListener) this.#say(kinds.taken, [this.#taken]);
    return undefined;
  }
}

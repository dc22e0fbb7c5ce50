// A channel over one ordered, reliable RTCDataChannel, a page's or node-datachannel's. Messages are cut into chunks, because browsers take
// no more than 256 KB at a time, and handed over no faster than they leave, because Chromium refuses what is beyond 16 MB.
//
// A chunk begins with 12 bytes, little-endian: number of the message u32, number of the chunk in it u32, bytes of the whole message u32.
// The one text ever sent is the goodbye.

import { ChunkedChannel, type ChunkHead } from "./chunked-channel.ts";
import { headBytes as frameHeadBytes } from "./frame.ts";

const headBytes = 12;
/** Bytes of a chunk, head included: of a tensor of 64 KB in its frame, so that this takes one chunk and not two. As fast as larger ones;
 *  Chromium and node-datachannel take 256 KB. */
export const chunkBytes = headBytes + frameHeadBytes + 65_536;

/** Bytes that a message of so many has beside it on a channel over WebRTC. */
export const chunkHeadsBytes = (bytes: number): number =>
  headBytes * Math.max(1, Math.ceil(bytes / (chunkBytes - headBytes)));

/** Buffered bytes above which chunks wait, and at which they go on: a tenth of a second's at what these channels reach. */
const [pauseBytes, resumeBytes] = [4 << 20, 1 << 20];

const goodbye = "closed";
/** Both look alike from here. */
const lost = "it ended without a goodbye, or the network between failed";
/** How long a connection may be interrupted: changes of network take seconds, and ICE goes on trying meanwhile. */
const interruptedMs = 10_000;

/** Channels that are closing: what was sent before has perhaps not arrived. */
const closing = new Set<RtcChannel>();

/** Resolves when whatever was closed has ended: two seconds after it was closed at the latest. */
export const allClosed = async (): Promise<void> => {
  await Promise.all([...closing].map(({ ended }) => ended));
};

export class RtcChannel extends ChunkedChannel {
  protected readonly chunksOwnMemory = true;
  readonly #connection: RTCPeerConnection;
  readonly #channel: RTCDataChannel;
  readonly #events = new AbortController();
  /** data channels copy what they are given */
  readonly #chunk = new Uint8Array(chunkBytes);
  readonly #head = new DataView(this.#chunk.buffer, 0, headBytes);
  /** Bytes buffered, at most: what there were when it was asked for, and all since. */
  #buffered = 0;
  #content = 0;
  /** wait until nothing is buffered */
  #waiting: (() => void)[] = [];

  /** Takes over both: the connection ends with the channel. */
  constructor(connection: RTCPeerConnection, channel: RTCDataChannel) {
    super();
    this.#connection = connection;
    this.#channel = channel;
    channel.binaryType = "arraybuffer";
    const { signal } = this.#events;
    channel.addEventListener("open", () => this.open(), { signal });
    channel.addEventListener("message", ({ data }) => this.#take(data), { signal });
    channel.addEventListener("bufferedamountlow", () => this.#low(), { signal });
    channel.addEventListener("close", () => this.end(lost), { signal });
    connection.addEventListener("connectionstatechange", () => this.#look(), { signal });
    // A page that is left has no time for what is still to be sent. Node has no such event: what ends there ends
    // without a word.
    globalThis.addEventListener?.("pagehide", () => this.#leave(), { signal });
    if (channel.readyState === "open") this.open();
  }

  /** Another implementation may take less. Asked for once, as is `bufferedAmount` no more often than needed: in Node both take
   *  some microseconds. */
  protected get contentBytes(): number {
    this.#content ||= Math.min(chunkBytes, this.#connection.sctp?.maxMessageSize || chunkBytes) - headBytes;
    return this.#content;
  }

  protected mayPost(): boolean {
    if (this.#channel.readyState !== "open") return false;
    if (this.#buffered > pauseBytes) this.#buffered = this.#channel.bufferedAmount;
    return this.#buffered <= pauseBytes || !this.#mustWait(resumeBytes);
  }

  protected post({ message, chunk, length }: ChunkHead, content: Uint8Array<ArrayBuffer>): void {
    this.#head.setUint32(0, message, true);
    this.#head.setUint32(4, chunk, true);
    this.#head.setUint32(8, length, true);
    this.#chunk.set(content, headBytes);
    this.#channel.send(this.#chunk.subarray(0, headBytes + content.length));
    this.#buffered += headBytes + content.length;
    this.overheadBytes += headBytes;
  }

  /** It ends when the other side has closed its own. */
  protected sayGoodbye(): void {
    this.#channel.send(goodbye);
    this.overheadBytes += goodbye.length;
  }

  protected async left(): Promise<void> {
    if (this.#mustWait(0)) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  override close(): void {
    super.close();
    if (this.state === "closing") closing.add(this);
  }

  protected release(): void {
    closing.delete(this);
    this.#events.abort();
    this.#channel.close();
    this.#connection.close();
  }

  #leave(): void {
    this.forget();
    this.close();
    this.end("its page was left");
  }

  #low(): void {
    this.pump();
    // What was sent meanwhile is waited for as well.
    if (this.#waiting.length > 0 && !this.#mustWait(0)) for (const resolve of this.#waiting.splice(0)) resolve();
  }

  /** Asks for an event when so few bytes are left. False if there are no more by now: then none may come. */
  #mustWait(bytes: number): boolean {
    this.#channel.bufferedAmountLowThreshold = bytes;
    return this.#channel.bufferedAmount > bytes;
  }

  #take(data: unknown): void {
    if (data === goodbye) this.end("it has closed its side");
    if (this.state === "closing" || this.state === "closed") return;
    // A peer's first message may be here before our own channel's event.
    this.open();
    const wrong = data instanceof ArrayBuffer ? this.#understand(data) : "it sent a text";
    if (wrong) this.end(wrong);
  }

  /** @returns what is wrong with it */
  #understand(data: ArrayBuffer): string | undefined {
    if (data.byteLength < headBytes) return `it sent a chunk of ${data.byteLength} bytes, which has no head`;
    const head = new DataView(data, 0, headBytes);
    const [message, chunk, length] = [head.getUint32(0, true), head.getUint32(4, true), head.getUint32(8, true)];
    return this.takeChunk({ message, chunk, length }, new Uint8Array(data, headBytes));
  }

  #look(): void {
    const { connectionState } = this.#connection;
    if (connectionState === "failed" || connectionState === "closed") this.end(lost);
    if (this.state !== "open") return;
    if (connectionState === "connected") this.stay();
    if (connectionState === "disconnected")
      this.endAfter(interruptedMs, `the connection was interrupted for ${interruptedMs / 1000} s`);
  }
}

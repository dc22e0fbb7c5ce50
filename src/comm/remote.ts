// Ranks that share no memory: a link over one channel to each other rank. A tensor is read from the device, sent as a frame and written to
// the other's device. Which messages there are is the same as on one device, and so are the bits.

import type { Backend } from "../backend/backend.ts";
import { bytesOf, type DType } from "../backend/buffer.ts";
import { fromF16, toF16 } from "../backend/f16.ts";
import { type Shape, Storage, sizeOf, Tensor } from "../tensor/tensor.ts";
import type { Channel } from "./channel.ts";
import {
  decode,
  type Elements,
  encodeText,
  FrameError,
  finishMessage,
  headBytes,
  maxWords,
  messageBytes,
} from "./frame.ts";
import { type Call, CommunicationError, type Link } from "./link.ts";
import { type Edge, World } from "./world.ts";

/** A tensor under way, in host memory. */
class Arrival {
  constructor(
    readonly shape: Shape,
    readonly dtype: DType,
    readonly elements: Elements,
  ) {}

  [Symbol.dispose](): void {}
}

/** What a call is, but for its number, and the tensor that a message of it has. */
type Words = Omit<Call, "which"> & { readonly shape: Shape | undefined; readonly dtype: DType | undefined };

/** What has crossed this rank's channels. */
export interface LinkTraffic {
  /** of tensors */
  elementBytes: number;
  /** heads, words of calls, and what channels add */
  overheadBytes: number;
}

export interface RemoteOptions {
  rank: number;
  /** by rank; this rank's own is undefined */
  channels: readonly (Channel | undefined)[];
  backend: Backend;
  /** how long a rank may wait for another; 60,000 by default */
  timeoutMs?: number;
}

export class RemoteLink implements Link {
  readonly rank: number;
  readonly size: number;
  readonly #channels: readonly (Channel | undefined)[];
  readonly #backend: Backend;
  readonly #world: World<Arrival>;
  /** the last message to each rank, once it is handed to its channel */
  readonly #sent: Promise<void>[];
  /** numbers of the words each rank was told, and told us */
  readonly #told: Map<string, number>[];
  readonly #heard: Map<number, Words>[];
  readonly #ended = new Set<number>();
  /** what was read in this turn, for the other ranks that get it */
  #reading: { storage: Storage; size: number; bytes: Promise<Uint8Array<ArrayBuffer>> } | undefined;
  #overheadBytes = 0;
  #elementBytes = 0;
  #over = false;

  constructor({ rank, channels, backend, timeoutMs = 60_000 }: RemoteOptions) {
    this.rank = rank;
    this.size = channels.length;
    this.#channels = channels;
    this.#backend = backend;
    this.#sent = channels.map(() => Promise.resolve());
    this.#told = channels.map(() => new Map());
    this.#heard = channels.map(() => new Map());
    this.#world = new World<Arrival>({ size: this.size, timeoutMs });
    this.#world.onFailure = () => this.#tell("failed", this.#world.failure);
    this.#world.onLongWait = (waits) => this.#broadcast(encodeText("waiting", { text: JSON.stringify(waits) }));
    for (const [from, channel] of channels.entries())
      channel?.listen({
        message: (bytes) => this.#take(from, bytes),
        closed: (reason) => this.#closed(from, reason),
      });
  }

  get failure(): CommunicationError | undefined {
    return this.#world.failure;
  }

  /** Of this rank's side: what it sent. */
  get traffic(): LinkTraffic {
    const below = this.#channels.reduce((sum, channel) => sum + (channel?.overheadBytes ?? 0), 0);
    return { elementBytes: this.#elementBytes, overheadBytes: this.#overheadBytes + below };
  }

  /** Others' calls are known by their messages: there ranks are found to disagree. */
  enter(_call: Call): void {
    if (this.#world.failure) throw this.#world.failure;
  }

  send(to: number, { call, part, tensor }: { call: Call; part: number; tensor?: Tensor }): void {
    if (this.#world.failure) throw this.#world.failure;
    const number = this.#number(to, call, tensor);
    const reading = tensor && this.#read(tensor);
    const dtype = tensor?.dtype;
    this.#sent[to] = this.#sent[to]
      .then(async () => {
        // Others may get the same bytes: the last one to be sent them may give them away, the others copy.
        const bytes = reading ? new Uint8Array(await reading) : messageBytes(0);
        this.#elementBytes += bytes.length - headBytes;
        const frame = finishMessage(bytes, { words: number, which: call.which, part, dtype });
        this.#overheadBytes += frame.length - (bytes.length - headBytes);
        this.#channels[to]?.send(frame);
      })
      .catch((error) => this.fail(error));
  }

  async receive(from: number, { call, part }: { call: Call; part: number }): Promise<Tensor | undefined> {
    const rest = this.#backend.rest();
    if (rest) await rest;
    const arrival = await this.#world.receive({ from, to: this.rank, call, part });
    return arrival && this.#open(arrival);
  }

  fail(cause: unknown): void {
    const { rank } = this;
    const reason = cause instanceof Error ? cause.message : String(cause);
    this.#world.fail(
      cause instanceof CommunicationError
        ? cause
        : new CommunicationError(`rank ${rank} failed: ${reason}`, { rank, cause }),
    );
  }

  /** This rank's program is over: resolves when all it sent has left. */
  async end(): Promise<void> {
    await Promise.all(this.#sent);
    if (!this.#world.failure) this.#broadcast(encodeText("ended"));
    this.#world.end(this.rank);
    this.#over = true;
    await Promise.all(this.#channels.map((channel) => channel?.flush()));
    if (this.#world.failure) throw this.#world.failure;
  }

  close(): void {
    this.#over = true;
    for (const channel of this.#channels) channel?.close();
  }

  /** The number of a call's words, which the other rank is told when they are new. */
  #number(
    to: number,
    { group, members, op, shapes, combine, root, algorithm, purpose }: Call,
    tensor?: Tensor,
  ): number {
    const words: Words = {
      ...{ group, members, op, shapes, combine, root, algorithm, purpose },
      ...{ shape: tensor?.shape, dtype: tensor?.dtype },
    };
    const text = JSON.stringify(words);
    const told = this.#told[to];
    const known = told.get(text);
    if (known !== undefined) return known;
    if (told.size === maxWords) told.clear();
    const number = told.size;
    told.set(text, number);
    this.#sent[to] = this.#sent[to].then(() => {
      const frame = encodeText("words", { number, text });
      this.#overheadBytes += frame.length;
      this.#channels[to]?.send(frame);
    });
    return number;
  }

  /** A tensor's elements behind room for a head. Nobody writes to what was sent before this turn is over. */
  #read({ storage, size, backend, buffer, dtype }: Tensor): Promise<Uint8Array<ArrayBuffer>> {
    const before = this.#reading;
    if (before?.storage === storage && before.size === size) return before.bytes;
    const bytes = backend.read(buffer, size).then((values) => {
      const elements = dtype === "f16" ? toF16(values as Float32Array) : values;
      const message = messageBytes(elements.byteLength);
      message.set(new Uint8Array(elements.buffer, elements.byteOffset, elements.byteLength), headBytes);
      return message;
    });
    this.#reading = { storage, size, bytes };
    queueMicrotask(() => {
      this.#reading = undefined;
    });
    return bytes;
  }

  /** Another rank's tensor in this one's memory, counted as scratch; like all that was sent it is never written to. */
  #open({ shape, dtype, elements }: Arrival): Tensor {
    const backend = this.#backend;
    const buffer = backend.allocate({ dtype, length: sizeOf(shape), purpose: "scratch" });
    backend.write(buffer, hostArray(elements));
    return new Tensor(new Storage(backend, buffer, () => backend.free(buffer)), { shape });
  }

  #take(from: number, bytes: Uint8Array<ArrayBuffer>): void {
    try {
      this.#obey(from, bytes);
    } catch (error) {
      if (error instanceof CommunicationError) return;
      const reason = error instanceof FrameError ? error.message : "it sent what no rank sends";
      this.#world.fail(new CommunicationError(`rank ${from} is not understood: ${reason}`, { rank: from }));
      this.#channels[from]?.close();
    }
  }

  #obey(from: number, bytes: Uint8Array<ArrayBuffer>): void {
    const frame = decode(bytes);
    switch (frame.kind) {
      case "words":
        this.#heard[from].set(frame.number, parseWords(frame.text));
        return;
      case "message": {
        const words = this.#heard[from].get(frame.words);
        if (!words) throw new FrameError(`it speaks of a call that it has not put into words`);
        const call: Call = { ...words, which: frame.which };
        this.#world.send({ from, to: this.rank, call, part: frame.part, parcel: arrival(words, frame.elements) });
        return;
      }
      case "ended":
        this.#ended.add(from);
        this.#world.end(from);
        return;
      case "failed": {
        const { message, rank } = parseFailure(frame.text, this.size);
        this.#world.fail(new CommunicationError(message, { rank: rank ?? from }));
        return;
      }
      case "waiting":
        this.#world.note(from, parseWaits(frame.text, from));
    }
  }

  #closed(from: number, reason: string): void {
    if (this.#over || this.#ended.has(from)) return;
    this.#world.fail(new CommunicationError(`rank ${from} is gone: ${reason}`, { rank: from }));
  }

  #tell(kind: "failed", failure: CommunicationError | undefined): void {
    if (!failure) return;
    const { message, rank } = failure;
    this.#broadcast(encodeText(kind, { text: JSON.stringify({ message, rank }) }));
  }

  #broadcast(frame: Uint8Array<ArrayBuffer>): void {
    this.#overheadBytes += frame.length * (this.size - 1);
    for (const channel of this.#channels) channel?.send(frame.slice());
  }
}

function hostArray({ dtype, bytes }: Elements): Float32Array | Int32Array {
  const { buffer, byteOffset, length } = bytes;
  if (dtype === "f16") return fromF16(new Uint16Array(buffer, byteOffset, length / 2));
  return dtype === "f32"
    ? new Float32Array(buffer, byteOffset, length / 4)
    : new Int32Array(buffer, byteOffset, length / 4);
}

function arrival({ shape, dtype }: Words, elements: Elements | undefined): Arrival | undefined {
  if (!elements !== !shape || elements?.dtype !== dtype) throw new FrameError("a message is not what its words say");
  if (!elements || !shape || !dtype) return undefined;
  const expected = bytesOf({ dtype, length: sizeOf(shape) });
  if (elements.bytes.length !== expected)
    throw new FrameError(`a tensor [${shape}] of ${dtype} came with ${elements.bytes.length} bytes`);
  return new Arrival(shape, dtype, elements);
}

function parsed(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  } catch {
    // said below
  }
  throw new FrameError("a frame's text is not JSON");
}

const isShape = (value: unknown): value is number[] =>
  Array.isArray(value) && value.length <= 8 && value.every((extent) => Number.isSafeInteger(extent) && extent >= 0);
const optional = (value: unknown, type: "string" | "number") => value === undefined || typeof value === type;

function parseWords(text: string): Words {
  const words = parsed(text);
  const { group, members, op, shapes, combine, root, algorithm, purpose, shape, dtype } = words;
  const fits =
    typeof group === "string" &&
    typeof members === "number" &&
    typeof op === "string" &&
    Array.isArray(shapes) &&
    shapes.every(isShape) &&
    optional(combine, "string") &&
    optional(root, "number") &&
    optional(algorithm, "string") &&
    optional(purpose, "string") &&
    (shape === undefined ? dtype === undefined : isShape(shape) && ["f32", "f16", "i32"].includes(dtype as string));
  if (!fits) throw new FrameError("a call's words are not those of a call");
  return words as unknown as Words;
}

function parseFailure(text: string, size: number): { message: string; rank: number | undefined } {
  const { message, rank } = parsed(text);
  if (typeof message !== "string") throw new FrameError("a failure without a message");
  return { message, rank: Number.isInteger(rank) && (rank as number) < size ? (rank as number) : undefined };
}

/** The edges on which a rank says it waits: only its own count. */
function parseWaits(text: string, from: number): Edge[] {
  const waits = parsed(text);
  if (!Array.isArray(waits)) throw new FrameError("waits that are no list");
  return (waits as Edge[]).filter(
    (edge) => edge?.to === from && Number.isInteger(edge.from) && typeof edge.call?.group === "string",
  );
}

// Ranks that share no memory: a link over one channel to each other rank. A tensor is read from the device, sent as a frame and written to
// the other's device. Which messages there are is the same as on one device, and so are the bits.

import type { Backend } from "../backend/backend.ts";
import { bytesOf } from "../backend/buffer.ts";
import { Storage, sizeOf, Tensor } from "../tensor/tensor.ts";
import type { Channel } from "./channel.ts";
import { FrameError, headBytes, messageBytes } from "./frame.ts";
import { type Arrival, Inbox, type Said } from "./inbox.ts";
import { type Call, CommunicationError, type Link, type LinkTraffic } from "./link.ts";
import { Outbox, Reading } from "./outbox.ts";
import { spare } from "./spare.ts";
import { failureText, newsText } from "./words.ts";
import { World } from "./world.ts";

export interface RemoteOptions {
  rank: number;
  /** by rank; this rank's own is undefined, and so are those of ranks it never talks to */
  channels: readonly (Channel | undefined)[];
  backend: Backend;
  /** How long a rank may be silent while others wait for it; 60,000 by default. One that waits itself, or is busy with others, is not:
   *  a run may be slow. Ranks that wait for each other in a circle are given a quarter more. */
  timeoutMs?: number;
  /** of messages that one other rank has sent and this one has not asked for: beyond it that rank is at fault. 2^30 by default: many
   *  times what a layout sends ahead */
  maxHeldBytes?: number;
}

/** What a message without elements is counted as while it waits. */
const emptyMessageBytes = 256;

export class RemoteLink implements Link {
  readonly rank: number;
  readonly size: number;
  onArrival: Link["onArrival"];
  readonly #channels: readonly (Channel | undefined)[];
  readonly #backend: Backend;
  readonly #maxHeldBytes: number;
  readonly #world: World<Arrival>;
  readonly #out: (Outbox | undefined)[];
  /** bytes that each rank has sent and nobody has taken yet */
  readonly #held: number[];
  /** what was read in this turn, for the other ranks that get it */
  #reading: { storage: Storage; size: number; reading: Reading } | undefined;
  #closed = false;
  /** resolves when all ranks have ended, or the run has failed */
  #over!: () => void;
  readonly #isOver = new Promise<void>((resolve) => {
    this.#over = resolve;
  });

  constructor({ rank, channels, backend, timeoutMs = 60_000, maxHeldBytes = 2 ** 30 }: RemoteOptions) {
    const size = channels.length;
    this.rank = rank;
    this.size = size;
    this.#channels = channels;
    this.#backend = backend;
    this.#maxHeldBytes = maxHeldBytes;
    this.#held = channels.map(() => 0);
    this.#out = channels.map((channel) => channel && new Outbox(channel, (error) => this.fail(error)));
    this.#world = new World<Arrival>({ size, timeoutMs, alone: rank });
    this.#world.onFailure = () => this.#failed();
    this.#world.onNews = (news) => this.#say("news", newsText(news));
    for (const [from, channel] of channels.entries()) {
      const inbox = new Inbox({ from, size });
      channel?.listen({
        message: (bytes) => this.#take(from, () => inbox.take(bytes)),
        closed: (reason) => {
          if (!this.#world.hasEnded(from)) this.#lost(from, `is gone: ${reason}`);
        },
      });
    }
  }

  get failure(): CommunicationError | undefined {
    return this.#world.failure;
  }

  /** Of what this rank sent; whole once `end` has resolved. */
  get traffic(): LinkTraffic {
    const total: LinkTraffic = { elementBytes: 0, overheadBytes: 0 };
    for (const out of this.#out) {
      total.elementBytes += out?.elementBytes ?? 0;
      total.overheadBytes += out?.overheadBytes ?? 0;
    }
    for (const channel of this.#channels) total.overheadBytes += channel?.overheadBytes ?? 0;
    return total;
  }

  /** Arrays that messages of this thread were allocated so far, and did not take from earlier ones: in training none after the first steps. */
  get freshArrays(): number {
    return spare.misses;
  }

  enter(call: Call): void {
    this.#world.enter(this.rank, call);
  }

  send(to: number, { call, part, tensor }: { call: Call; part: number; tensor?: Tensor }): void {
    if (this.#world.failure) throw this.#world.failure;
    this.#world.sends({ from: this.rank, to, call });
    if (this.#world.failure) throw this.#world.failure;
    this.#out[to]?.message(call, { part, tensor, reading: tensor && this.#read(tensor) });
  }

  async receive(from: number, { call, part }: { call: Call; part: number }): Promise<Tensor | undefined> {
    const rest = this.#backend.rest();
    if (rest) await rest;
    const arrival = await this.#world.receive({ from, to: this.rank, call, part });
    this.#held[from] -= heldBytes(arrival);
    return arrival && this.#open(arrival);
  }

  fail(cause: unknown): void {
    if (this.#world.failure) return;
    const { rank } = this;
    const reason = cause instanceof Error ? cause.message : String(cause);
    const failure = () => `rank ${rank} failed: ${reason}; ${this.#world.circumstances(rank)}`;
    this.#world.fail(cause instanceof CommunicationError ? cause : new CommunicationError(failure(), { rank, cause }));
  }

  /** This rank's program is over. Resolves when all ranks' are, and nothing is under way any more.
   *  @throws CommunicationError when the run has failed, here or elsewhere */
  async end(): Promise<void> {
    await Promise.all(this.#out.map((out) => out?.empty()));
    if (!this.#world.failure) {
      this.#say("ended");
      this.#ended(this.rank);
    }
    await this.#isOver;
    if (this.#world.failure) throw this.#world.failure;
    await Promise.all(this.#channels.map((channel) => channel?.flush()));
  }

  /** Ends the run for all, if it is not over; what was sent before still arrives. */
  close(): void {
    if (!this.#world.allEnded) this.fail(new Error("its link was closed before its end"));
    this.#closed = true;
    for (const channel of this.#channels) channel?.close();
    spare.clear();
  }

  /** A tensor's elements behind room for a head. Nobody writes to what was sent before this turn is over. */
  #read({ storage, size, backend, buffer }: Tensor): Reading {
    const before = this.#reading;
    if (before?.storage === storage && before.size === size) return before.reading;
    const into = messageBytes(bytesOf({ dtype: buffer.dtype, length: size }));
    const reading = new Reading(backend.readBytes(buffer, { length: size, room: headBytes, into }));
    this.#reading = { storage, size, reading };
    queueMicrotask(() => {
      this.#reading = undefined;
    });
    return reading;
  }

  /** Another rank's tensor in this one's memory, counted as scratch; like all that was sent it is never written to. */
  #open({ shape, dtype, values, memory }: Arrival): Tensor {
    const backend = this.#backend;
    const buffer = backend.allocate({ dtype, length: sizeOf(shape), purpose: "scratch" });
    backend.write(buffer, values);
    spare.give(memory);
    return new Tensor(new Storage(backend, buffer, () => backend.free(buffer)), { shape });
  }

  #take(from: number, next: () => Said | undefined): void {
    if (this.#world.failure || this.#closed) return;
    this.#world.hears(from);
    let said: Said | undefined;
    try {
      said = next();
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.#lost(from, `is not understood: ${error.message}`);
      return;
    }
    if (said) this.#obey(from, said);
  }

  #obey(from: number, said: Said): void {
    switch (said.kind) {
      case "message": {
        const { call, part, parcel } = said;
        this.onArrival?.(from, { call, part });
        this.#held[from] += heldBytes(parcel);
        try {
          this.#world.send({ from, to: this.rank, call, part, parcel });
        } catch (error) {
          // Every wait has ended with it.
          if (error !== this.#world.failure) throw error;
        }
        if (this.#held[from] > this.#maxHeldBytes)
          this.#lost(
            from,
            `has sent ${this.#held[from]} bytes that nobody asked for, at most ${this.#maxHeldBytes} are kept`,
          );
        return;
      }
      case "failed":
        this.#world.fail(new CommunicationError(said.message, said));
        return;
      case "news":
        this.#world.note(from, said.news);
        return;
      case "ended":
        this.#ended(from);
    }
  }

  #ended(rank: number): void {
    this.#world.end(rank);
    if (this.#world.allEnded) this.#over();
  }

  /** Nothing more can be had from a rank. */
  #lost(rank: number, what: string): void {
    if (this.#closed || this.#world.allEnded || this.#world.failure) return;
    const circumstances = this.#world.circumstances(rank);
    this.#world.fail(new CommunicationError(`rank ${rank} ${what}; ${circumstances}`, { rank }));
  }

  /** Others learn of it, whoever it was. */
  #failed(): void {
    const { failure } = this.#world;
    for (const out of this.#out) out?.clear();
    if (failure) this.#say("failed", failureText(failure));
    this.#over();
  }

  #say(kind: "failed" | "news" | "ended", text?: string): void {
    for (const out of this.#out) out?.say(kind, text);
  }
}

const heldBytes = (arrival: Arrival | undefined): number => emptyMessageBytes + (arrival?.byteLength ?? 0);

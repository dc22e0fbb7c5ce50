// Ranks in one process, on one device: a message is a handle on the sender's memory, and no byte moves. The program of each
// rank is an async function of its own; they take turns at every await.

import type { Backend } from "../backend/backend.ts";
import { SharedBackend } from "../backend/share.ts";
import { Storage, Tensor } from "../tensor/tensor.ts";
import { type Call, CommunicationError, type Link } from "./link.ts";

interface Sent {
  text: string;
  tensor: Tensor | undefined;
}

interface Wait {
  rank: number;
  from: number;
  text: string;
  since: number;
  resolve: (tensor: Tensor | undefined) => void;
  reject: (error: CommunicationError) => void;
}

/** What all ranks of the process share. */
class World {
  readonly size: number;
  readonly #timeoutMs: number;
  readonly #messages = new Map<string, Sent>();
  readonly #waits = new Map<string, Wait>();
  /** calls that some ranks have entered and others not yet */
  readonly #entered = new Map<string, { text: string; rank: number; missing: number }>();
  readonly #ended = new Set<number>();
  #failure: CommunicationError | undefined;
  #watch: ReturnType<typeof setInterval> | undefined;

  constructor({ size, timeoutMs }: { size: number; timeoutMs: number }) {
    this.size = size;
    this.#timeoutMs = timeoutMs;
  }

  enter(rank: number, call: Call): void {
    if (this.#failure) throw this.#failure;
    const first = this.#entered.get(call.key);
    if (!first) {
      if (call.members > 1) this.#entered.set(call.key, { text: call.text, rank, missing: call.members - 1 });
      return;
    }
    if (first.text !== call.text) throw this.#disagree(call.key, [first, { rank, text: call.text }]);
    if (--first.missing === 0) this.#entered.delete(call.key);
  }

  send(box: string, sent: Sent): void {
    const wait = this.#waits.get(box);
    if (!wait) this.#messages.set(box, sent);
    else {
      this.#waits.delete(box);
      this.#rest();
      wait.resolve(sent.tensor);
    }
  }

  receive(box: string, wanted: { rank: number; from: number; text: string }): Promise<Tensor | undefined> {
    if (this.#failure) return Promise.reject(this.#failure);
    const sent = this.#messages.get(box);
    if (sent) {
      this.#messages.delete(box);
      return Promise.resolve(sent.tensor);
    }
    if (this.#ended.has(wanted.from)) {
      this.fail(
        new CommunicationError(
          `rank ${wanted.from} has ended, and rank ${wanted.rank} waits for it in ${wanted.text}; every rank must make the same calls`,
          { rank: wanted.from },
        ),
      );
      return Promise.reject(this.#failure);
    }
    return new Promise((resolve, reject) => {
      this.#waits.set(box, { ...wanted, since: performance.now(), resolve, reject });
      this.#watch ??= setInterval(() => this.#look(), Math.min(1000, this.#timeoutMs / 4));
    });
  }

  end(rank: number): void {
    this.#ended.add(rank);
    const left = [...this.#waits.values()].find((wait) => wait.from === rank);
    if (left)
      this.fail(
        new CommunicationError(
          `rank ${rank} has ended, and rank ${left.rank} waits for it in ${left.text}; every rank must make the same calls`,
          { rank },
        ),
      );
  }

  fail(failure: CommunicationError): void {
    if (this.#failure) return;
    this.#failure = failure;
    for (const { reject } of this.#waits.values()) reject(failure);
    this.#waits.clear();
    for (const { tensor } of this.#messages.values()) tensor?.dispose();
    this.#messages.clear();
    this.#rest();
  }

  #disagree(key: string, [a, b]: { rank: number; text: string }[]): CommunicationError {
    const failure = new CommunicationError(
      `ranks disagree at ${key}: rank ${a.rank} calls ${a.text}, rank ${b.rank} calls ${b.text}; every rank of a group must make the same calls in the same order`,
      { rank: b.rank },
    );
    this.fail(failure);
    return failure;
  }

  /** One timer for all waits: one a message would cost more than the message. */
  #look(): void {
    const now = performance.now();
    for (const { rank, from, text, since } of this.#waits.values())
      if (now - since > this.#timeoutMs) {
        // The rank waited for may itself wait for a third, which is then the one that fell silent.
        const silent = this.#silent(from);
        this.fail(
          new CommunicationError(
            `rank ${silent} has not answered for ${(this.#timeoutMs / 1000).toFixed(1)} s; rank ${rank} waits for rank ${from} in ${text}`,
            { rank: silent },
          ),
        );
        return;
      }
  }

  #silent(from: number): number {
    const seen = new Set<number>();
    for (let rank = from; ; ) {
      const next = [...this.#waits.values()].find((wait) => wait.rank === rank);
      if (!next || seen.has(rank)) return rank;
      seen.add(rank);
      rank = next.from;
    }
  }

  #rest(): void {
    if (this.#waits.size > 0 || this.#watch === undefined) return;
    clearInterval(this.#watch);
    this.#watch = undefined;
  }
}

class Loopback implements Link {
  readonly size: number;
  readonly #world: World;
  readonly #backend: SharedBackend;

  constructor(
    readonly rank: number,
    { world, backend }: { world: World; backend: SharedBackend },
  ) {
    this.size = world.size;
    this.#world = world;
    this.#backend = backend;
  }

  enter(call: Call): void {
    this.#world.enter(this.rank, call);
  }

  send(to: number, { call, part, tensor }: { call: Call; part: number; tensor?: Tensor }): void {
    const handle = tensor && new Tensor(tensor.storage.retain(), { shape: tensor.shape, name: tensor.name });
    this.#world.send(`${this.rank}>${to}:${call.key}/${part}`, { text: call.text, tensor: handle });
  }

  async receive(from: number, { call, part }: { call: Call; part: number }): Promise<Tensor | undefined> {
    const box = `${from}>${this.rank}:${call.key}/${part}`;
    const lent = await this.#world.receive(box, { rank: this.rank, from, text: `${call.text} (${call.key})` });
    if (!lent) return undefined;
    const giveBack = this.#backend.borrow(lent.buffer);
    const endLoan = lent.storage.lend();
    const storage = new Storage(this.#backend, lent.buffer, () => {
      giveBack();
      endLoan();
    });
    lent.dispose();
    return new Tensor(storage, { shape: lent.shape, name: lent.name });
  }

  fail(cause: unknown): void {
    this.#world.fail(
      cause instanceof CommunicationError
        ? cause
        : new CommunicationError(
            `rank ${this.rank} failed: ${cause instanceof Error ? cause.message : String(cause)}`,
            { rank: this.rank, cause },
          ),
    );
  }
}

/** A rank of a process: its link to the others, and its share of the device. */
export interface Rank {
  link: Link;
  backend: SharedBackend;
}

/** Runs `program` once for each of `size` ranks, concurrently, on one device; resolves with their results in the order of ranks.
 *  When a rank throws, the others' waits end with a CommunicationError whose cause is its error, and this rejects with that error. */
export async function runRanks<T>(
  options: { size: number; backend: Backend; timeoutMs?: number },
  program: (rank: Rank) => Promise<T>,
): Promise<T[]> {
  const { size, timeoutMs = 60_000 } = options;
  const world = new World({ size, timeoutMs });
  let cause: { error: unknown } | undefined;
  const runs = SharedBackend.divide(options.backend, size).map(async (backend, rank) => {
    const link = new Loopback(rank, { world, backend });
    try {
      const result = await program({ link, backend });
      world.end(rank);
      return result;
    } catch (error) {
      cause ??= { error };
      link.fail(error);
      throw error;
    }
  });
  const settled = await Promise.allSettled(runs);
  if (cause) throw cause.error;
  return settled.map((run) => (run as PromiseFulfilledResult<Awaited<T>>).value);
}

// Ranks in one process, on one device: a message is a handle on the sender's memory, and no byte moves. The program of each
// rank is an async function of its own; they take turns at every await.

import type { Backend } from "../backend/backend.ts";
import { type Loan, SharedBackend } from "../backend/share.ts";
import { Storage, Tensor } from "../tensor/tensor.ts";
import { type Call, CommunicationError, type Link } from "./link.ts";
import { World } from "./world.ts";

/** A tensor under way: the sender holds it until the receiver takes it on its own account. */
class Parcel {
  readonly #tensor: Tensor;
  readonly #loan: Loan;

  constructor({ storage, shape, name }: Tensor, sender: SharedBackend) {
    this.#tensor = new Tensor(storage.retain(), { shape, name });
    this.#loan = sender.lend(storage.buffer);
  }

  open(receiver: SharedBackend): Tensor {
    const { storage, shape, name } = this.#tensor;
    const loan = this.#loan;
    receiver.borrow(loan);
    const endLoan = storage.lend();
    this.#tensor.dispose();
    const borrowed = new Storage(receiver, storage.buffer, () => {
      receiver.giveBack(loan);
      endLoan();
    });
    return new Tensor(borrowed, { shape, name });
  }

  [Symbol.dispose](): void {
    this.#loan.end();
    this.#tensor.dispose();
  }
}

class Loopback implements Link {
  readonly size: number;
  readonly #world: World<Parcel>;
  readonly #backend: SharedBackend;

  constructor(
    readonly rank: number,
    { world, backend }: { world: World<Parcel>; backend: SharedBackend },
  ) {
    this.size = world.size;
    this.#world = world;
    this.#backend = backend;
  }

  enter(call: Call): void {
    this.#world.enter(this.rank, call);
  }

  send(to: number, { call, part, tensor }: { call: Call; part: number; tensor?: Tensor }): void {
    this.#world.send({ from: this.rank, to, call, part, parcel: tensor && new Parcel(tensor, this.#backend) });
  }

  async receive(from: number, { call, part }: { call: Call; part: number }): Promise<Tensor | undefined> {
    const rest = this.#backend.rest();
    if (rest) await rest;
    const parcel = await this.#world.receive({ from, to: this.rank, call, part });
    return parcel?.open(this.#backend);
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
}

/** A rank of a process: its link to the others, and its share of the device. */
export interface Rank {
  link: Link;
  backend: SharedBackend;
}

/** How long, once a run has failed, programs may take to notice: longer than any kernel, shorter than anyone's patience. */
const noticeMs = 1000;

/** Runs `program` once for each of `size` ranks, concurrently, on one device; resolves with their results in the order of ranks.
 *  When a rank throws, the others' waits end with a CommunicationError whose cause is its error, and this rejects with that error;
 *  what ranks still hold is then freed, and a program that goes on all the same is left behind without a device.
 *  timeoutMs: for which a rank may wait for another; 60,000 by default, as a GPU without a GPU takes seconds for a step
 *  @throws CommunicationError when ranks disagree, when one ends before the others are done with it, or when one falls silent */
export async function runRanks<T>(
  options: { size: number; backend: Backend; timeoutMs?: number },
  program: (rank: Rank) => Promise<T>,
): Promise<T[]> {
  const { size, timeoutMs = 60_000 } = options;
  const world = new World<Parcel>({ size, timeoutMs });
  const shares = SharedBackend.divide(options.backend, size);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const leftBehind = new Promise<void>((resolve) => {
    world.onFailure = () => {
      timer = setTimeout(resolve, noticeMs);
    };
  });
  const runs = shares.map(async (backend, rank) => {
    const link = new Loopback(rank, { world, backend });
    try {
      const result = await program({ link, backend });
      world.end(rank);
      return result;
    } catch (error) {
      link.fail(error);
      throw error;
    }
  });
  const results = Promise.all(runs);
  results.catch(() => undefined);
  await Promise.race([Promise.allSettled(runs), leftBehind]);
  clearTimeout(timer);
  const { failure } = world;
  if (!failure) return results;
  for (const share of shares) share.dispose();
  throw failure.cause ?? failure;
}

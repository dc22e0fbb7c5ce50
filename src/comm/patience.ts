// How long ranks wait for each other, and whose fault it is when that is too long: a rank that does nothing and waits for nobody, or ranks that
// wait for each other in a circle. A rank that is slow because it waits itself, or has been busy with others, is excused.
// Time is counted in looks, not read from a clock: while a rank's computing blocks all of a process, nobody is silent.

import type { Call } from "./link.ts";

/** A message of a call, whether it is there yet or not. */
export interface Edge {
  readonly from: number;
  readonly to: number;
  readonly call: Call;
  readonly part: number;
}

/** What a rank tells the others about itself when one of them has waited long. */
export interface News {
  /** since it last sent, received or asked for anything */
  readonly idleMs: number;
  readonly waits: readonly Edge[];
  /** its program is over, and it waits until all others' are */
  readonly ended: boolean;
}

/** Why a wait takes too long. */
export interface Cause {
  readonly rank: number;
  /** the waits that lead to it */
  readonly chain: readonly Edge[];
  readonly circle: boolean;
}

/** Looks in a time-out, for which a verdict may come late; at most a second apart, which costs nothing. */
const looksPerTimeout = 8;
/** A circle is found by all its ranks, a lost message by its receiver alone: that one comes first. */
const circleFactor = 1.25;
/** News are told at every look; two may be late. */
const freshLooks = 3;

export class Patience {
  readonly lookEveryMs: number;
  /** looks in a time-out */
  readonly most: number;
  /** looks since each rank last did anything, as far as is known here */
  readonly #idle: number[];
  /** looks since anything was heard of each */
  readonly #quiet: number[];
  /** what ranks elsewhere said they wait for, and have not gone on since */
  readonly #noted = new Map<number, readonly Edge[]>();

  constructor({ size, timeoutMs }: { size: number; timeoutMs: number }) {
    this.lookEveryMs = Math.min(1000, timeoutMs / looksPerTimeout);
    this.most = timeoutMs / this.lookEveryMs;
    this.#idle = new Array<number>(size).fill(0);
    this.#quiet = new Array<number>(size).fill(0);
  }

  /** The rank sent, received or asked for something. */
  did(rank: number): void {
    this.#idle[rank] = 0;
    this.#quiet[rank] = 0;
    this.#noted.delete(rank);
  }

  /** Something came from it, whatever it is. */
  hears(rank: number): void {
    this.#quiet[rank] = 0;
  }

  /** A rank elsewhere tells about itself. */
  note(rank: number, { idleMs, waits }: News): void {
    this.#idle[rank] = idleMs / this.lookEveryMs;
    this.#quiet[rank] = 0;
    this.#noted.set(rank, waits);
  }

  look(): void {
    for (let rank = 0; rank < this.#idle.length; rank++) {
      this.#idle[rank]++;
      this.#quiet[rank]++;
    }
  }

  idleMs(rank: number): number {
    return this.#idle[rank] * this.lookEveryMs;
  }

  /** Nothing was heard of it for as long as a rank may wait. */
  isLost(rank: number): boolean {
    return this.#quiet[rank] > this.most;
  }

  /** Why the first of these waits takes too long, `waits` being all that are known at first hand; undefined while everyone it comes to is
   *  excused. */
  cause(first: Edge, waits: readonly Edge[]): Cause | undefined {
    const waiting = new Set(waits.map(({ to }) => to));
    const fresh = [...this.#noted].filter(([rank]) => this.#quiet[rank] <= freshLooks);
    const all = [...waits, ...fresh.flatMap(([, edges]) => edges)];
    const chains = [[first]];
    const seen = new Set<number>();
    let circle: Edge[] | undefined;
    for (const chain of chains) {
      const last = chain[chain.length - 1];
      const { from } = last;
      // Of ranks elsewhere only those that were asked are known well enough: the ones waited for here.
      if (!waiting.has(from) && waits.includes(last) && this.#isSilent(from))
        return { rank: from, chain, circle: false };
      if (chain.some(({ to }) => to === from)) {
        if (chain.every(({ to }) => this.#idle[to] > circleFactor * this.most)) circle ??= chain;
        continue;
      }
      if (seen.has(from)) continue;
      seen.add(from);
      for (const edge of all) if (edge.to === from) chains.push([...chain, edge]);
    }
    return circle && { rank: circle[circle.length - 1].from, chain: circle, circle: true };
  }

  #isSilent(rank: number): boolean {
    return this.#noted.get(rank)?.length ? this.isLost(rank) : this.#idle[rank] > this.most;
  }
}

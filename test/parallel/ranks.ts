// Programs for the tests of process groups: numbers, groups that are a permuted part of the world, ranks that dawdle, and what must be
// left after a run: no memory, no promise that failed unseen.

import type { Backend } from "../../src/backend/backend.ts";
import type { FloatType } from "../../src/backend/buffer.ts";
import { Ledger, type LedgerEntry, totals } from "../../src/comm/ledger.ts";
import { type Rank, runRanks } from "../../src/comm/loopback.ts";
import { ProcessGroup } from "../../src/comm/process-group.ts";
import { constant, type Shape, type Tensor } from "../../src/tensor/tensor.ts";

/** Numbers in [0, 1) that depend on the seed alone. Numerical Recipes' constants. */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** f32 in [-1, 1), another array for every seed. */
export function values(length: number, seed: number): Float32Array {
  const next = randomNumbers(seed);
  return Float32Array.from({ length }, () => 2 * next() - 1);
}

/** `size` ranks of a world of two more, none of them where it stands in the world if that can be. */
export function permutedRanks(size: number): number[] {
  const world = size + 2;
  // Steps through the world by a stride that meets every rank once.
  const stride = [5, 3, 2].find((candidate) => world % candidate !== 0) as number;
  return Array.from({ length: size }, (_, index) => (1 + (index + 1) * stride) % world);
}

/** Lets other ranks go first: some turns of the queue of microtasks, or of timers; never when there is no seed. */
export function dawdler(seed: number | undefined): () => Promise<void> {
  const next = randomNumbers(seed ?? 0);
  return async () => {
    if (seed === undefined) return;
    if (next() < 0.3) await new Promise((resolve) => setTimeout(resolve, 2 * next()));
    else for (let turns = Math.floor(8 * next()); turns > 0; turns--) await undefined;
  };
}

export interface Member {
  group: ProcessGroup;
  /** place in the group */
  index: number;
  rank: Rank;
  dawdle: () => Promise<void>;
  tensor(data: Float32Array, shape?: Shape): Tensor;
}

/** Runs `program` on every rank of the group, the world's others idle. Results and ledger in the order of the group.
 *  @throws Error when any memory is left */
export async function runGroup<T>(
  options: { backend: Backend; ranks: readonly number[]; seed?: number; counted?: boolean; wire?: FloatType },
  program: (member: Member) => Promise<T>,
): Promise<{ results: T[]; entries: LedgerEntry[] }> {
  const { backend, ranks, seed, counted = true, wire } = options;
  const size = Math.max(...ranks) + 1;
  const ledgers = Array.from({ length: size }, () => new Ledger());
  const accounts: Backend["memory"][] = [];
  const before = backend.memory.total;
  const all = await runRanks({ size, backend }, async (rank) => {
    const { link, backend: own } = rank;
    accounts.push(own.memory);
    if (!ranks.includes(link.rank)) return undefined;
    const ledger = counted ? ledgers[link.rank] : undefined;
    const group = new ProcessGroup({ name: "part", ranks, link, ledger, wire });
    const result = await program({
      ...{ group, index: group.index, rank },
      dawdle: dawdler(seed === undefined ? undefined : seed + link.rank),
      tensor: (data, shape = [data.length]) => constant(own, { shape, data, purpose: "activations" }),
    });
    return { result };
  });
  // Not before all have ended: what is under way is its sender's.
  const held = accounts.map(({ total }) => total);
  if (held.some((bytes) => bytes !== 0)) throw new Error(`ranks still hold ${held.join(", ")} bytes`);
  if (backend.memory.total !== before) throw new Error(`the device holds ${backend.memory.total - before} bytes more`);
  return {
    results: ranks.map((rank) => (all[rank] as { result: T }).result),
    entries: ledgers.flatMap((ledger) => ledger.entries),
  };
}

/** What entries count, by purpose, as nn/traffic.ts has it: purposes without words are left out. */
export function receivedByPurpose(
  entries: readonly LedgerEntry[],
): Record<"words" | "messages", Record<string, number>> {
  const sums = [...totals(entries, ({ purpose }) => purpose)].filter(([, { words }]) => words > 0);
  return {
    words: Object.fromEntries(sums.map(([purpose, { words }]) => [purpose, words])),
    messages: Object.fromEntries(sums.map(([purpose, { messages }]) => [purpose, messages])),
  };
}

/** Rejections that nobody had handled by the end of a turn, from now on. */
export function unhandledRejections(): unknown[] {
  const seen: unknown[] = [];
  process.on("unhandledRejection", (reason) => seen.push(reason));
  return seen;
}

// What ranks hold at most, by their own step; which of them have to be asked.

import type { MeshShape } from "../parallel/shape.ts";
import { isGrid } from "../parallel/volume.ts";
import type { RecordThreads } from "./record-in-threads.ts";
import { recordStep, type StepToRecord, spreadCorpus } from "./record-step.ts";
import { Works } from "./recorder.ts";

/** The most that any of these ranks holds, in bytes; the second micro-batch is as the others. */
export async function peakOf(
  step: StepToRecord,
  { ranks, threads, tell }: { ranks: Iterable<number>; threads?: RecordThreads; tell: () => void | Promise<void> },
): Promise<number> {
  const { parameters, config } = step;
  const brief = { ...step, parameters: { ...parameters, accumulate: Math.min(2, parameters.accumulate) } };
  if (threads) {
    const recorded = await threads.record(brief, {
      ranks: [...ranks],
      works: new Works(),
      progress: () => void tell(),
    });
    return Math.max(...recorded.map(({ peakBytes }) => peakBytes.total));
  }
  const corpus = spreadCorpus(parameters, config.vocab_size);
  let peak = 0;
  for (const rank of ranks) {
    await tell();
    const { peakBytes } = await recordStep(rank, { step: brief, works: new Works(), corpus });
    peak = Math.max(peak, peakBytes.total);
  }
  return peak;
}

/** Where trees have many roots others may hold a tenth more. */
export const someRanks = ({ q, size }: MeshShape): Set<number> =>
  new Set([0, 1, q, size >> 1, size - 1].filter((rank) => rank < size));

/** Ranks of which one holds most: trees have other roots for each row and column of a plane, planes and lines are alike. */
export function differentRanks(shape: MeshShape): Set<number> {
  const plane = isGrid(shape) ? shape.q ** 2 : 1;
  return new Set([...Array.from({ length: plane }, (_, rank) => rank), shape.size - 1]);
}

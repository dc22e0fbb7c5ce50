// All ranks' steps: one after another, or in Node shared out over threads where there are many. A page gives simulations a worker.

import { inNode } from "../backend/node.ts";
import { layersOf } from "../nn/config.ts";
import type { TellProgress } from "./progress.ts";
import type { RecordThreads } from "./record-in-threads.ts";
import { type RecordedRank, recordStep, type StepToRecord, spreadCorpus } from "./record-step.ts";
import { type OpWatch, Works } from "./recorder.ts";

/** Ranks from which threads are worth having, and blocks of all of them together from which they are worth starting. */
const [manyRanks, manyBlocks] = [32, 256];

/** Who is told of a rank's ops. */
export type WatchOf = (rank: number) => OpWatch | undefined;

export interface RecordOptions {
  readonly watchOf?: WatchOf;
  /** to be used; those that are started for one step are slow at first */
  readonly threads?: RecordThreads;
  readonly progress: TellProgress;
}

/** For several steps of so many ranks; undefined where they are few, and in a page. */
export const threadsFor = async (ranks: number): Promise<RecordThreads | undefined> =>
  ranks >= manyRanks && inNode() ? (await import("./record-in-threads.ts")).RecordThreads.open() : undefined;

/** In the order of ranks; in this thread alone where somebody watches. */
export async function recordEach(
  step: StepToRecord,
  { watchOf, threads, progress }: RecordOptions,
): Promise<{ ranks: RecordedRank[]; works: Works }> {
  const works = new Works();
  const { config, parameters, shape } = step;
  const { size } = shape;
  const inThreads = async (them: RecordThreads) => {
    const all = Array.from({ length: size }, (_, rank) => rank);
    const told = (done: number) => void progress({ doing: "recording", done, all: size });
    return { ranks: await them.record(step, { ranks: all, works, progress: told }), works };
  };
  if (threads && !watchOf) return inThreads(threads);
  const blocks = size * layersOf(config) * parameters.accumulate;
  const own = blocks >= manyBlocks && !watchOf ? await threadsFor(size) : undefined;
  if (own)
    try {
      return await inThreads(own);
    } finally {
      await own.close();
    }
  const corpus = spreadCorpus(parameters, config.vocab_size);
  const ranks: RecordedRank[] = [];
  for (let rank = 0; rank < size; rank++) {
    const within = (kernels: number) => void progress({ doing: "recording", done: rank, all: size, kernels });
    ranks.push(await recordStep(rank, { step, works, corpus, watch: watchOf?.(rank), progress: within }));
    await progress({ doing: "recording", done: rank + 1, all: size });
  }
  return { ranks, works };
}

// All ranks' steps: one after another, or in Node shared out over threads where there are many. A page gives simulations a worker.

import { inNode } from "../backend/node.ts";
import { layersOf } from "../nn/config.ts";
import type { TellProgress } from "./progress.ts";
import { type RecordedRank, recordStep, type StepToRecord, spreadCorpus } from "./record-step.ts";
import { type OpWatch, Works } from "./recorder.ts";

/** Ranks, and blocks of all of them together, from which threads are worth starting. */
const [manyRanks, manyBlocks] = [32, 256];

/** Who is told of a rank's ops. */
export type WatchOf = (rank: number) => OpWatch | undefined;
/** In the order of ranks; in this thread alone where somebody watches. */
export async function recordEach(
  step: StepToRecord,
  { watchOf, progress }: { watchOf: WatchOf | undefined; progress: TellProgress },
): Promise<{ ranks: RecordedRank[]; works: Works }> {
  const works = new Works();
  const { size } = step.shape;
  const { config, parameters } = step;
  const blocks = size * layersOf(config) * parameters.accumulate;
  const tell = (done: number) => progress({ doing: "recording", done, all: size });
  if (size >= manyRanks && blocks >= manyBlocks && inNode() && !watchOf) {
    const { recordInThreads } = await import("./record-in-threads.ts");
    return { ranks: await recordInThreads(step, { works, progress: tell }), works };
  }
  const corpus = spreadCorpus(step.parameters, step.config.vocab_size);
  const ranks: RecordedRank[] = [];
  for (let rank = 0; rank < size; rank++) {
    const within = (kernels: number) => void progress({ doing: "recording", done: rank, all: size, kernels });
    ranks.push(await recordStep(rank, { step, works, corpus, watch: watchOf?.(rank), progress: within }));
    await tell(rank + 1);
  }
  return { ranks, works };
}

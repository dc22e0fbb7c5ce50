// All ranks' steps: one after another, or shared out over threads where there are many, since no rank waits for another.

import { UserError } from "../backend/errors.ts";
import { inNode } from "../backend/node.ts";
import { layersOf } from "../nn/config.ts";
import { type KernelWork, kernelOp } from "./program.ts";
import { type RecordedRank, recordStep, type StepToRecord, spreadCorpus } from "./record-step.ts";
import type { RecordAnswer, RecordRequest } from "./record-thread.ts";
import { type OpWatch, Works } from "./recorder.ts";

/** Ranks, and blocks of all of them together, from which threads are worth starting. */
const [manyRanks, manyBlocks] = [32, 256];

/** Who is told of a rank's ops. */
export type WatchOf = (rank: number) => OpWatch | undefined;
/** Told after each rank; may pause. */
export type RankProgress = (done: number) => void | Promise<void>;

/** In the order of ranks; in this thread alone where somebody watches. */
export async function recordEach(
  step: StepToRecord,
  { watchOf, progress }: { watchOf: WatchOf | undefined; progress: RankProgress },
): Promise<{ ranks: RecordedRank[]; works: Works }> {
  const works = new Works();
  const { size } = step.shape;
  const { config, parameters } = step;
  const blocks = size * layersOf(config) * parameters.accumulate;
  if (size >= manyRanks && blocks >= manyBlocks && inNode() && !watchOf)
    return { ranks: await inThreads(step, { works, progress }), works };
  const corpus = spreadCorpus(step.parameters, step.config.vocab_size);
  const ranks: RecordedRank[] = [];
  for (let rank = 0; rank < size; rank++) {
    ranks.push(await recordStep(rank, { step, works, corpus, watch: watchOf?.(rank) }));
    await progress(rank + 1);
  }
  return { ranks, works };
}

async function inThreads(
  step: StepToRecord,
  { works, progress }: { works: Works; progress: RankProgress },
): Promise<RecordedRank[]> {
  const { availableParallelism } = await import("node:os");
  const { size } = step.shape;
  const count = Math.min(availableParallelism(), size);
  const ranks = new Array<RecordedRank>(size);
  let done = 0;
  await Promise.all(
    Array.from({ length: count }, (_, thread) => {
      const own = Array.from({ length: Math.ceil((size - thread) / count) }, (_, i) => thread + i * count);
      return inThread(
        { step, ranks: own },
        {
          take(rank, recorded) {
            ranks[rank] = recorded;
            void progress(++done);
          },
          end(all) {
            const index = all.map((work) => works.add(work));
            for (const rank of own) renumber(ranks[rank].record, index);
          },
        },
      );
    }),
  );
  return ranks;
}

async function inThread(
  request: RecordRequest,
  { take, end }: { take(rank: number, recorded: RecordedRank): void; end(works: readonly KernelWork[]): void },
): Promise<void> {
  const { Worker } = await import("node:worker_threads");
  const { default: source } = await import("./record-thread.script");
  // A rank's step makes some hundred thousand short-lived objects: a fifth of the time went to collecting them.
  const resourceLimits = { maxYoungGenerationSizeMb: 128 };
  const worker = new Worker(source, { eval: true, stdin: false, name: "shardgrad simulation", resourceLimits });
  try {
    await new Promise<void>((resolve, reject) => {
      worker.on("error", reject);
      worker.on("exit", (code) => reject(new Error(`a simulation's thread ended with code ${code}`)));
      worker.on("message", (answer: RecordAnswer) => {
        if ("rank" in answer) take(answer.rank, answer.recorded);
        else if ("refused" in answer) reject(new UserError(answer.refused));
        else {
          end(answer.works);
          resolve();
        }
      });
      worker.postMessage(request);
    });
  } finally {
    await worker.terminate();
  }
}

/** Kernels by their place among all threads' works. */
function renumber({ kinds, what }: RecordedRank["record"], index: readonly number[]): void {
  for (let op = 0; op < kinds.length; op++) if (kinds[op] === kernelOp) what[op] = index[what[op]];
}

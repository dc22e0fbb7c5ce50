// All ranks' steps shared out over threads of Node, since no rank waits for another. Loaded where there are such threads alone.

import { UserError } from "../backend/errors.ts";
import { type KernelWork, kernelOp } from "./program.ts";
import type { RecordedRank, StepToRecord } from "./record-step.ts";
import source from "./record-thread.script";
import type { RecordAnswer, RecordRequest } from "./record-thread.ts";
import type { Works } from "./recorder.ts";

/** In the order of ranks. progress: told after each, with how many there are by then */
export async function recordInThreads(
  step: StepToRecord,
  { works, progress }: { works: Works; progress: (done: number) => void },
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
            progress(++done);
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

// A thread of Node that writes down some ranks' steps; bundled into a text of its own.

import { UserError } from "../backend/errors.ts";
import type { KernelWork } from "./program.ts";
import { type RecordedRank, recordStep, type StepToRecord, spreadCorpus } from "./record-step.ts";
import { Works } from "./recorder.ts";

export interface RecordRequest {
  step: StepToRecord;
  ranks: readonly number[];
}

export type RecordAnswer =
  | { rank: number; recorded: RecordedRank }
  /** the run is refused, in a sentence */
  | { refused: string }
  /** the last: what the ranks' kernels do */
  | { works: readonly KernelWork[] };

const { parentPort } = require("node:worker_threads") as typeof import("node:worker_threads");

/** One request after another: answers say which rank they are of, and not which step. */
let last = Promise.resolve();
parentPort?.on("message", (request: RecordRequest) => {
  last = last.then(() => answer(request));
});

async function answer({ step, ranks }: RecordRequest): Promise<void> {
  const post = (part: RecordAnswer, transfer: ArrayBuffer[] = []) => parentPort?.postMessage(part, transfer);
  const works = new Works();
  const corpus = spreadCorpus(step.parameters, step.config.vocab_size);
  try {
    for (const rank of ranks) {
      const recorded = await recordStep(rank, { step, works, corpus });
      const { kinds, what, needs, needsFrom, sends, receives } = recorded.record;
      const columns = [kinds, what, needs, needsFrom, ...Object.values(sends), ...Object.values(receives)];
      post(
        { rank, recorded },
        columns.map(({ buffer }) => buffer as ArrayBuffer),
      );
    }
    post({ works: works.all });
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    post({ refused: error.message });
  }
}

// The step of a training run, as each rank of a mesh makes it: the trainer itself, on shapes alone.

import type { BytesByPurpose } from "../backend/memory.ts";
import { Ledger, type LedgerEntry } from "../comm/ledger.ts";
import type { ModelConfig } from "../nn/config.ts";
import { createLayout, type MeshShape } from "../parallel/shape.ts";
import type { Corpus, Windows } from "../train/corpus.ts";
import type { TrainParameters } from "../train/events.ts";
import type { Tokenizer } from "../train/tokenizer.ts";
import { train } from "../train/trainer.ts";
import { type OpWatch, type RankRecord, Recorder, type Works } from "./recorder.ts";

export interface StepToRecord {
  readonly shape: MeshShape;
  readonly config: ModelConfig;
  readonly parameters: TrainParameters;
}

/** A step of which nothing but its sizes matters. */
export const parametersOf = (
  run: Pick<TrainParameters, "batch" | "context"> & Partial<TrainParameters>,
): TrainParameters => ({
  ...{ steps: 1, learningRate: 1e-3, minLearningRate: 1e-4, warmup: 0, beta1: 0.9, beta2: 0.95, weightDecay: 0.1 },
  ...{ clip: 1, dropout: 0, accumulate: 1, recompute: false, seed: 1, evalEvery: 0, evalBatches: 1, sampleTokens: 0 },
  ...run,
});

export interface RecordedRank {
  readonly record: RankRecord;
  readonly entries: readonly LedgerEntry[];
  readonly peakBytes: BytesByPurpose & { total: number };
}

export interface RecordOptions {
  step: StepToRecord;
  works: Works;
  corpus: Corpus;
  watch?: OpWatch;
  /** told now and then of how many kernels there were */
  progress?: (kernels: number) => void;
}

/** Writes down one rank's first step. Steps differ in numbers alone. */
export async function recordStep(
  rank: number,
  { step, works, corpus, watch, progress }: RecordOptions,
): Promise<RecordedRank> {
  const { shape, config, parameters } = step;
  const ledger = new Ledger();
  const recorder = new Recorder({ rank, size: shape.size, works, watch, progress });
  const { backend } = recorder;
  const layout = createLayout(shape, { backend, link: recorder, ledger, wire: parameters.wire });
  const tokenizer = { vocabSize: config.vocab_size } as Tokenizer;
  let record: RankRecord | undefined;
  for await (const { event } of train({ backend, config, tokenizer, corpus, parameters, layout, ledger })) {
    if (event === "start") recorder.begin();
    if (event === "step") {
      record = recorder.end();
      break;
    }
  }
  if (!record) throw new Error("a training run without a step");
  const entries = ledger.entries.filter(({ step: at }) => at > 0);
  return { record, entries, peakBytes: backend.memory.peak };
}

/** Ids spread over the vocabulary, the same arrays for all ranks: shapes do not depend on the text, but for the number of different ids. */
export function spreadCorpus({ batch, context }: Pick<TrainParameters, "batch" | "context">, vocab: number): Corpus {
  const ids = Int32Array.from({ length: batch * context }, (_, i) => (i * 7919) % vocab);
  const windows: Windows = { count: batch, inputs: ids, targets: ids };
  const tokens = ids.subarray(0, context);
  return { context, tokens: { train: tokens, validation: tokens }, batch: () => windows, windows: () => windows };
}

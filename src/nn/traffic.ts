// What a model's ops add up to: words received per rank and purpose over a training step, in closed form. The ledger's counts must
// equal them. No backend and no weights: shapes alone, so a planner may ask thousands of times.

import { bytesPerWord } from "../comm/ledger.ts";
import type { Sequence, Whole } from "../parallel/layout.ts";
import { gradientSums, type MeshExtents, type Volume, volumeOf, type Words } from "../parallel/volume.ts";
import type { ModelConfig } from "./config.ts";
import { gpt2 } from "./gpt2.ts";
import { llama } from "./llama.ts";

/** Words by the ledger's purposes, e.g. "linear forward"; those of none are left out. */
export type WordsByPurpose = Record<string, number>;

/** What each rank receives in one optimizer step. */
export function trainingTraffic(
  config: ModelConfig,
  run: {
    shape: MeshExtents;
    batch: number;
    context: number;
    accumulate: number;
    recompute: boolean;
    /** as the forward's: each takes the head's table again */
    lossBlocks?: number;
  },
): { words: WordsByPurpose[]; bytesReceived: number[] } {
  const { shape, batch, context, accumulate, recompute, lossBlocks = 1 } = run;
  const model = extentsOf(config);
  const sums = gradientSums(model.parameters, shape);
  return perRank(shape, (volume) => {
    const T = volume.rows({ batch, tokens: context });
    const blockForwards = accumulate * (recompute ? 2 : 1);
    const total = new Total();
    const times = { blocks: blockForwards, rest: accumulate, backward: accumulate };
    addPass(total, { volume, model, T, times, lossBlocks });
    // Computed again in the backward when in blocks, all of it.
    const again = lossBlocks > 1 ? 2 : 1;
    total.add("loss", accumulate * lossBlocks * again * volume.loss({ T: T / lossBlocks }));
    total.add("gradient sum", volume.gradientSum(sums));
    total.add("gradient norm", volume.gradientNorm());
    return total.words;
  });
}

/** What each rank receives for the loss of one batch without gradients. */
export function evaluationTraffic(
  config: ModelConfig,
  run: { shape: MeshExtents; batch: number; context: number },
): { words: WordsByPurpose[]; bytesReceived: number[] } {
  const model = extentsOf(config);
  return perRank(run.shape, (volume) => {
    const T = volume.rows({ batch: run.batch, tokens: run.context });
    const total = new Total();
    addPass(total, { volume, model, T, times: { blocks: 1, rest: 1, backward: 0 } });
    total.add("loss", volume.loss({ T }));
    return total.words;
  });
}

/** What each rank receives for a forward pass over `sequence` (with or without a cache: attention sends nothing) and its logits, of every
 *  row or of each sample's last. */
export function logitsTraffic(
  config: ModelConfig,
  run: { shape: MeshExtents; sequence: Pick<Sequence, "batch" | "tokens">; last: boolean },
): { words: WordsByPurpose[]; bytesReceived: number[] } {
  const { shape, sequence, last } = run;
  const model = extentsOf(config);
  return perRank(shape, (volume) => {
    const T = volume.rows(sequence);
    const total = new Total();
    addPass(total, { volume, model, T, times: { blocks: 1, rest: 1, backward: 0 } });
    total.add("logits", volume.logits({ T: last ? T / sequence.tokens : T, V: config.vocab_size }));
    return total.words;
  });
}

interface ModelExtents {
  /** width */
  D: number;
  V: number;
  layers: number;
  /** norms, and the linears in order, of one layer */
  normsPerLayer: number;
  linears: readonly { K: number; N: number; kind: "column" | "row" }[];
  parameters: readonly Whole[];
}

function extentsOf(config: ModelConfig): ModelExtents {
  const { weights, layers, vocabSize } = config.model_type === "gpt2" ? gpt2(config) : llama(config);
  const [, D] = weights[0].shape;
  const linears = weights.flatMap(({ shape, kind }) =>
    kind === "column" || kind === "row" ? [{ K: shape[0], N: shape[1], kind }] : [],
  );
  // All layers are alike.
  return {
    D,
    V: vocabSize,
    layers,
    normsPerLayer: 2,
    linears: linears.slice(0, linears.length / layers),
    parameters: weights,
  };
}

/** A forward and maybe a backward: how often each of the blocks runs forward (twice with recomputation), the rest does, and all backward. */
function addPass(
  total: Total,
  pass: {
    volume: Volume;
    model: ModelExtents;
    T: number;
    times: { blocks: number; rest: number; backward: number };
    lossBlocks?: number;
  },
): void {
  const { volume, model, T, times, lossBlocks = 1 } = pass;
  const { D, V, layers } = model;
  const { blocks, rest, backward } = times;
  total.addOp("embedding", { ...volume.embedding({ T, D }), times: { forward: rest, backward } });
  total.addOp("norm", {
    ...volume.norm({ T }),
    times: { forward: layers * model.normsPerLayer * blocks, backward: layers * model.normsPerLayer * backward },
  });
  for (const { K, N, kind } of model.linears)
    total.addOp("linear", {
      ...volume.linear({ T, K, N, kind }),
      times: { forward: layers * blocks, backward: layers * backward },
    });
  // The last norm and the head: of all rows, or of each block's, forward once more in the backward.
  const ends = {
    forward: lossBlocks * (rest + (lossBlocks > 1 ? backward : 0)),
    backward: lossBlocks * backward,
  };
  total.addOp("norm", { ...volume.norm({ T: T / lossBlocks }), times: ends });
  total.addOp("head", { ...volume.head({ T: T / lossBlocks, D, V }), times: ends });
}

class Total {
  readonly words: WordsByPurpose = {};

  add(purpose: string, words: number): void {
    if (words > 0) this.words[purpose] = (this.words[purpose] ?? 0) + words;
  }

  addOp(op: string, { forward, backward, times }: Words & { times: Words }): void {
    this.add(`${op} forward`, times.forward * forward);
    this.add(`${op} backward`, times.backward * backward);
  }
}

function perRank(shape: MeshExtents, count: (volume: Volume) => WordsByPurpose) {
  const words = Array.from({ length: shape.size }, (_, rank) => count(volumeOf(shape, rank)));
  return { words, bytesReceived: words.map((each) => bytesPerWord * totalWords(each)) };
}

export const totalWords = (words: WordsByPurpose): number => Object.values(words).reduce((sum, n) => sum + n, 0);

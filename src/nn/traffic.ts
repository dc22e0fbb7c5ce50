// What a model's ops add up to: words and messages received per rank and purpose over a training step, in closed form. The ledger's counts must
// equal them. No backend and no weights: shapes alone, so a planner may ask thousands of times.

import { bytesOf, type FloatType } from "../backend/buffer.ts";
import { type Received, times } from "../comm/algorithms.ts";
import type { Sequence, Whole } from "../parallel/layout.ts";
import { gradientSums, type MeshExtents, type Passes, type Volume, volumeOf } from "../parallel/volume.ts";
import type { ModelConfig } from "./config.ts";
import { gpt2 } from "./gpt2.ts";
import { llama } from "./llama.ts";

/** Words or messages by the ledger's purposes, e.g. "linear forward"; those of none are left out. */
export type CountByPurpose = Record<string, number>;

/** What each rank receives. */
export interface Traffic {
  words: CountByPurpose[];
  messages: CountByPurpose[];
  /** of all purposes */
  bytesReceived: number[];
}

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
    /** of activations and weights; f32 when absent */
    dtype?: FloatType;
    /** how f32 travels; f32 when absent */
    wire?: FloatType;
  },
): Traffic {
  const { shape, batch, context, accumulate, recompute, lossBlocks = 1, dtype, wire } = run;
  const model = extentsOf(config);
  const sums = gradientSums(model.parameters, shape);
  return perRank(shape, (volume) => {
    const T = volume.rows({ batch, tokens: context });
    const blockForwards = accumulate * (recompute ? 2 : 1);
    const total = new Total({ dtype, wire });
    const count = { blocks: blockForwards, rest: accumulate, backward: accumulate };
    addPass(total, { volume, model, T, count, lossBlocks });
    // Computed again in the backward when in blocks, all of it.
    const again = lossBlocks > 1 ? 2 : 1;
    total.add("loss", times(accumulate * lossBlocks * again, volume.loss({ T: T / lossBlocks })), "exact");
    total.add("gradient sum", volume.gradientSum(sums), "gradients");
    total.add("gradient norm", volume.gradientNorm(), "exact");
    return total;
  });
}

/** What each rank receives for the loss of one batch without gradients. */
export function evaluationTraffic(
  config: ModelConfig,
  run: { shape: MeshExtents; batch: number; context: number; lossBlocks?: number; wire?: FloatType },
): Traffic {
  const model = extentsOf(config);
  const { lossBlocks = 1, wire } = run;
  return perRank(run.shape, (volume) => {
    const T = volume.rows({ batch: run.batch, tokens: run.context });
    const total = new Total({ wire });
    addPass(total, { volume, model, T, count: { blocks: 1, rest: 1, backward: 0 }, lossBlocks });
    total.add("loss", times(lossBlocks, volume.loss({ T: T / lossBlocks })), "exact");
    return total;
  });
}

/** What each rank receives for a forward pass over `sequence` (with or without a cache: attention sends nothing) and its logits, of every
 *  row or of each sample's last. */
export function logitsTraffic(
  config: ModelConfig,
  run: { shape: MeshExtents; sequence: Pick<Sequence, "batch" | "tokens">; last: boolean; wire?: FloatType },
): Traffic {
  const { shape, sequence, last, wire } = run;
  const model = extentsOf(config);
  return perRank(shape, (volume) => {
    const T = volume.rows(sequence);
    const total = new Total({ wire });
    addPass(total, { volume, model, T, count: { blocks: 1, rest: 1, backward: 0 } });
    total.add("logits", volume.logits({ T: last ? T / sequence.tokens : T, V: config.vocab_size }), "exact");
    return total;
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
    count: { blocks: number; rest: number; backward: number };
    lossBlocks?: number;
  },
): void {
  const { volume, model, T, count, lossBlocks = 1 } = pass;
  const { D, V, layers } = model;
  const { blocks, rest, backward } = count;
  total.addOp("embedding", { ...volume.embedding({ T, D }), count: { forward: rest, backward } });
  total.addOp("norm", {
    ...volume.norm({ T }),
    what: "exact",
    count: { forward: layers * model.normsPerLayer * blocks, backward: layers * model.normsPerLayer * backward },
  });
  for (const { K, N, kind } of model.linears)
    total.addOp("linear", {
      ...volume.linear({ T, K, N, kind }),
      count: { forward: layers * blocks, backward: layers * backward },
    });
  // The last norm and the head: of all rows, or of each block's, forward once more in the backward.
  const ends = {
    forward: lossBlocks * (rest + (lossBlocks > 1 ? backward : 0)),
    backward: lossBlocks * backward,
  };
  total.addOp("norm", { ...volume.norm({ T: T / lossBlocks }), what: "exact", count: ends });
  total.addOp("head", { ...volume.head({ T: T / lossBlocks, D, V }), count: ends });
}

/** What messages are about: activations and weights have the run's type, gradients of weights are f32 until they travel, and what is exact is
 *  f32 on every wire. */
type Content = "values" | "gradients" | "exact";

class Total {
  readonly words: CountByPurpose = {};
  readonly messages: CountByPurpose = {};
  bytes = 0;
  readonly #types: Record<Content, FloatType>;

  constructor({ dtype = "f32", wire = "f32" }: { dtype?: FloatType; wire?: FloatType }) {
    this.#types = { values: wire === "f16" ? wire : dtype, gradients: wire, exact: "f32" };
  }

  add(purpose: string, { words, messages }: Received, what: Content): void {
    if (messages === 0) return;
    this.words[purpose] = (this.words[purpose] ?? 0) + words;
    this.messages[purpose] = (this.messages[purpose] ?? 0) + messages;
    this.bytes += this.#bytes(words, what);
  }

  addOp(op: string, pass: Passes<Received> & { count: Passes<number>; gradientWords?: number; what?: Content }): void {
    const { count, forward, backward, gradientWords = 0, what = "values" } = pass;
    this.add(`${op} forward`, times(count.forward, forward), what);
    this.add(`${op} backward`, times(count.backward, backward), what);
    const words = count.backward * gradientWords;
    this.bytes += this.#bytes(words, "gradients") - this.#bytes(words, what);
  }

  #bytes(length: number, what: Content): number {
    return bytesOf({ dtype: this.#types[what], length });
  }
}

function perRank(shape: MeshExtents, count: (volume: Volume) => Total): Traffic {
  const totals = Array.from({ length: shape.size }, (_, rank) => count(volumeOf(shape, rank)));
  const words = totals.map((total) => total.words);
  return {
    words,
    messages: totals.map(({ messages }) => messages),
    bytesReceived: totals.map(({ bytes }) => bytes),
  };
}

export const totalCount = (counts: CountByPurpose): number => Object.values(counts).reduce((sum, n) => sum + n, 0);

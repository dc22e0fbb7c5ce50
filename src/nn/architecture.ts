// What gpt2.ts and llama.ts each say, and model.ts runs: the weights, and the three parts of a forward pass.

import type { HeadShape } from "../backend/kernels.ts";
import type { LayerCache, Layout, Sequence } from "../parallel/layout.ts";
import type { Ids } from "../tensor/ops/embedding.ts";
import { streams } from "../tensor/random.ts";
import type { Tape } from "../tensor/tape.ts";
import type { Parameter, Tensor } from "../tensor/tensor.ts";
import type { WeightSpec } from "./weights.ts";

/** Dropout probabilities in [0, 1) by place. */
export interface DropoutRates {
  embedding: number;
  residual: number;
  attention: number;
}

/** What a pass brings along: where, on what, with which masks. */
export interface Pass {
  layout: Layout;
  tape: Tape;
  sequence: Sequence;
  tokens: Ids;
  positions: Ids;
  weight: (name: string) => Parameter;
  /** undefined when the model has no biases */
  bias: (name: string) => Parameter | undefined;
  rotary?: Tensor;
  cache?: readonly LayerCache[];
  /** undefined outside training */
  dropout?: { rates: DropoutRates; seed: number; step: number };
}

/** x with residual or embedding dropout at `site`, a number of its own for each place a mask is drawn; x itself without. */
export function maybeDropout(
  pass: Pass,
  x: Tensor,
  options: { place: "embedding" | "residual"; site: number },
): Tensor {
  const args = dropoutArgs(pass, options);
  return args ? pass.layout.dropout(x, args) : x;
}

/** Philox's arguments for a place's mask; undefined when nothing is dropped there. */
export function dropoutArgs(pass: Pass, options: { place: keyof DropoutRates; site: number }) {
  const { dropout } = pass;
  const probability = dropout?.rates[options.place] ?? 0;
  if (!dropout || probability === 0) return undefined;
  // The low four bits say that the stream is a dropout mask's, the rest which one.
  return { probability, seed: dropout.seed, stream: streams.dropout + options.site * 16, step: dropout.step };
}

export interface Architecture {
  readonly layers: number;
  readonly vocabSize: number;
  /** longest sequence */
  readonly maxPositions: number;
  readonly heads: HeadShape;
  /** base of the rotary angles; undefined: learned positions */
  readonly ropeTheta?: number;
  readonly dropout: DropoutRates;
  readonly weights: readonly WeightSpec[];
  /** h[B T, D] of the tokens */
  embed(pass: Pass): Promise<Tensor>;
  /** h[B T, D] -> h[B T, D] */
  block(pass: Pass, x: Tensor, layer: number): Promise<Tensor>;
  /** logits[B T, V], padding columns may follow */
  head(pass: Pass, x: Tensor): Promise<Tensor>;
}

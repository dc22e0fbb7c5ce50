// Text from a model, a token at a time: temperature, top-k, top-p (nucleus sampling, arXiv 1904.09751), with a
// key-value cache or recomputing everything; both draw the same tokens.

import { UserError } from "../backend/errors.ts";
import type { Model } from "../nn/model.ts";
import type { LayerCache } from "../parallel/layout.ts";
import { streams, uniform } from "../tensor/random.ts";
import { Tape } from "../tensor/tape.ts";

export interface SamplingOptions {
  /** divides the logits; 0 takes the likeliest token */
  temperature: number;
  /** only the k likeliest tokens; 0: all */
  topK: number;
  /** only the likeliest tokens that together have this probability; 1: all */
  topP: number;
  seed: number;
}

export interface GenerateOptions extends SamplingOptions {
  /** at least one token */
  prompt: Int32Array;
  /** how many tokens to add */
  tokens: number;
  /** false recomputes the whole sequence for every token */
  cache?: boolean;
  signal?: AbortSignal;
}

/** Yields the tokens that follow the prompt. When the model's positions are full, it goes on from the later half of them.
 *  @throws UserError for an empty prompt, or options out of range */
export async function* generate(model: Model, options: GenerateOptions): AsyncGenerator<number> {
  checkSampling(options);
  if (options.prompt.length === 0)
    throw new UserError("the prompt is empty, at least one token is needed; start with a line break");
  const { maxPositions: capacity, architecture, vocabSize, dtype } = model;
  const { layers, heads: shape } = architecture;
  const cache = options.cache === false ? undefined : model.layout.cache({ layers, batch: 1, capacity, shape, dtype });
  const later = () => sequence.slice(-Math.ceil(capacity / 2));
  let sequence = Array.from(options.prompt);
  if (sequence.length > capacity) sequence = later();
  /** tokens of `sequence` that the cache holds */
  let cached = 0;
  try {
    for (let index = 0; index < options.tokens && !options.signal?.aborted; index++) {
      if (sequence.length > capacity) {
        sequence = later();
        cached = 0;
      }
      const logits = await lastLogits(model, { sequence, cached, cache });
      if (cache) cached = sequence.length;
      const draw = uniform({ seed: options.seed, stream: streams.sampling, step: index, index: 0 });
      const token = sampleToken(logits, { ...options, draw });
      if (token < 0 || token >= vocabSize) throw new RangeError(`sampled token ${token} of ${vocabSize}`);
      sequence.push(token);
      yield token;
    }
  } finally {
    for (const layer of cache ?? []) layer.rows.dispose();
  }
}

async function lastLogits(
  model: Model,
  options: { sequence: number[]; cached: number; cache?: readonly LayerCache[] },
): Promise<Float32Array> {
  const fresh = Int32Array.from(options.sequence.slice(options.cached));
  const sequence = { batch: 1, tokens: fresh.length, offset: options.cached };
  using tape = new Tape(model.backend, { recording: false });
  const logits = await model.logits(tape, { tokens: fresh, sequence, cache: options.cache });
  return await model.layout.gatherLogits(logits, { sequence, vocabSize: model.vocabSize, last: true });
}

/** The token at which the cumulated probability passes `draw` in (0, 1), likeliest first; ties go to the lower id. */
export function sampleToken(logits: Float32Array, options: Omit<SamplingOptions, "seed"> & { draw: number }): number {
  const order = Array.from(logits.keys()).sort((a, b) => logits[b] - logits[a] || a - b);
  if (options.temperature === 0) return order[0];
  const kept = options.topK > 0 ? order.slice(0, options.topK) : order;
  const weights = kept.map((id) => Math.exp((logits[id] - logits[kept[0]]) / options.temperature));
  const all = weights.reduce((a, b) => a + b, 0);
  let nucleus = 0;
  let count = 0;
  while (count < kept.length && (count === 0 || nucleus < options.topP * all)) nucleus += weights[count++];
  let left = options.draw * nucleus;
  for (let i = 0; i < count; i++) {
    left -= weights[i];
    if (left < 0) return kept[i];
  }
  return kept[count - 1];
}

function checkSampling(options: SamplingOptions): void {
  const { temperature, topK, topP } = options;
  if (!(temperature >= 0 && temperature < Infinity))
    throw new UserError(`temperature: got ${temperature}, need a number of at least 0`);
  if (!Number.isInteger(topK) || topK < 0)
    throw new UserError(`top-k: got ${topK}, need a whole number of at least 0 (0: all)`);
  if (!(topP > 0 && topP <= 1)) throw new UserError(`top-p: got ${topP}, need a number above 0 and at most 1`);
}

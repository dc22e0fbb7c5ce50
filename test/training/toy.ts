// A model small enough to train in a test, and a text it can learn.

import { parseModelConfig } from "../../src/nn/config.ts";
import { type Corpus, makeCorpus } from "../../src/train/corpus.ts";
import type { DoneEvent, StepEvent, TrainEvent, TrainParameters } from "../../src/train/events.ts";
import { charTokenizer } from "../../src/train/tokenizer.ts";
import { train } from "../../src/train/trainer.ts";
import { backendUnderTest } from "../gpu/harness.ts";

export const context = 12;
const text = Array.from({ length: 160 }, (_, i) => `${i % 7} sheep and ${(i * 3) % 5} goats; `).join("");
export const tokenizer = charTokenizer(text);
export const corpus: Corpus = makeCorpus({ tokens: tokenizer.encode(text), context });

const sizes = { vocab_size: tokenizer.vocabSize };
export const gpt2 = parseModelConfig({
  model_type: "gpt2",
  ...sizes,
  n_positions: context,
  n_embd: 20,
  n_layer: 2,
  n_head: 2,
});
export const llama = parseModelConfig({
  model_type: "llama",
  ...sizes,
  max_position_embeddings: context,
  hidden_size: 24,
  intermediate_size: 40,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  tie_word_embeddings: false,
});

export const parameters: TrainParameters = {
  batch: 6,
  context,
  steps: 12,
  learningRate: 1e-2,
  minLearningRate: 1e-3,
  warmup: 3,
  beta1: 0.9,
  beta2: 0.99,
  weightDecay: 0.1,
  clip: 1,
  dropout: 0,
  accumulate: 1,
  recompute: false,
  seed: 3,
  evalEvery: 0,
  evalBatches: 1,
  sampleTokens: 0,
};

/** All events of a run with `changes` to the parameters. */
export async function runToy(
  changes: Partial<TrainParameters> = {},
  options: { config?: typeof gpt2; signal?: AbortSignal; onEvent?: (event: TrainEvent) => void } = {},
) {
  const backend = await backendUnderTest();
  backend.memory.resetPeak();
  const events: TrainEvent[] = [];
  const run = { backend, config: options.config ?? gpt2, tokenizer, corpus, signal: options.signal };
  for await (const event of train({ ...run, parameters: { ...parameters, ...changes } })) {
    events.push(event);
    options.onEvent?.(event);
  }
  const steps = events.filter((event): event is StepEvent => event.event === "step");
  const done = events.find((event): event is DoneEvent => event.event === "done");
  return { events, losses: steps.map(({ loss }) => loss), steps, done };
}

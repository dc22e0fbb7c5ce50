// Settings and a text as what the library takes; what does not fit is refused in its words, before anything is allocated.

import {
  type Corpus,
  charTokenizer,
  type ModelConfig,
  makeCorpus,
  parameterCount,
  parseModelConfig,
  type Tokenizer,
  type TrainParameters,
  trainingBytes,
  UserError,
} from "shardgrad";
import { type MeshShape, meshShape, requireLegal, shardedExtents, trainingTraffic } from "shardgrad/parallel";
import type { Outlook } from "./news.ts";
import { dimsOf, type Settings } from "./settings.ts";

/** Tokens of a sample: a few lines. */
export const sampleTokens = 160;

/** More workers than this are more threads than a browser gives a page. */
const mostWorkers = 16;

export interface RunPlan {
  config: ModelConfig;
  tokenizer: Tokenizer;
  corpus: Corpus;
  parameters: TrainParameters;
  shape: MeshShape;
}

const parametersOf = (settings: Settings): TrainParameters => ({
  ...{ batch: settings.batch, context: settings.context, steps: settings.steps, seed: settings.seed },
  ...{ learningRate: settings.rate, minLearningRate: settings.rate / 10 },
  warmup: Math.min(50, Math.floor(settings.steps / 10)),
  ...{ beta1: 0.9, beta2: 0.99, weightDecay: 0.1, clip: 1, dropout: 0 },
  ...{ accumulate: 1, recompute: false, dtype: settings.dtype },
  ...{ evalEvery: Math.max(1, Math.min(50, Math.round(settings.steps / 20))), evalBatches: 2, sampleTokens },
});

/** @throws UserError for sizes that make no model */
const configOf = (settings: Settings, vocabulary: number): ModelConfig =>
  parseModelConfig({
    model_type: "gpt2",
    vocab_size: vocabulary,
    n_positions: settings.context,
    n_embd: settings.width,
    n_layer: settings.layers,
    n_head: settings.heads,
  });

/** @throws UserError where layout, mesh, model and batch do not fit each other, with what is near and does */
function shapeOf(settings: Settings, config: ModelConfig): MeshShape {
  const { layout, place, batch, context } = settings;
  const shape = meshShape({ layout, dims: dimsOf(settings) });
  requireLegal(shape, { ...shardedExtents(config), batch, context });
  if (place === "workers" && shape.size > mostWorkers)
    throw new UserError(
      `${shape.size} ranks in workers, need at most ${mostWorkers}; use a smaller mesh, or ranks in one process`,
    );
  return shape;
}

/** What a run would be, without its text.
 *  @throws UserError as planRun */
export function outlookOf(settings: Settings, { vocabulary }: { vocabulary: number }): Outlook {
  const config = configOf(settings, vocabulary);
  const shape = shapeOf(settings, config);
  const parameters = parametersOf(settings);
  const traffic = trainingTraffic(config, { shape, ...parameters });
  return {
    parameterCount: parameterCount(config),
    tokensPerStep: settings.batch * settings.context,
    ranks: shape.size,
    bytesPerStep: Math.max(...traffic.bytesReceived),
    memoryBytes: trainingBytes(config, { shape, ...parameters }).total,
  };
}

/** @param resumed the tokenizer of a checkpoint that the run goes on from, and its other parameters
 *  @throws UserError where settings and text do not fit each other, or the text has characters that the checkpoint's tokenizer lacks */
export function planRun(
  settings: Settings,
  { text, tokenizer = charTokenizer(text) }: { text: string; tokenizer?: Tokenizer },
): RunPlan {
  const config = configOf(settings, tokenizer.vocabSize);
  const shape = shapeOf(settings, config);
  const corpus = makeCorpus({ tokens: tokenizer.encode(text), context: settings.context });
  return { config, tokenizer, corpus, parameters: parametersOf(settings), shape };
}

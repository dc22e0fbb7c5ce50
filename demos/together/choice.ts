// What a room may train: a few models and meshes, small enough for devices that meet by chance. All models divide over all meshes.

import type { ModelConfig, TrainParameters } from "shardgrad";
import type { MeshShape } from "shardgrad/parallel";

/** What pages call the text that they begin with. */
export const sourcesName = "shardgrad's sources";

/** 12 heads and 12 samples: over 2, 3 and 4 ranks, 2 x 2, and 2 x 2 x 2. */
const [heads, batch] = [12, 12];

export const models = {
  tiny: { layers: 2, width: 96, context: 32, text: "Tiny" },
  small: { layers: 4, width: 192, context: 64, text: "Small" },
  medium: { layers: 6, width: 384, context: 128, text: "Medium" },
} as const;
export type ModelName = keyof typeof models;
export const modelNames = Object.keys(models) as ModelName[];

export const meshes = {
  "1": { layout: "serial", dims: [1] },
  "2": { layout: "1d", dims: [2] },
  "3": { layout: "1d", dims: [3] },
  "4": { layout: "1d", dims: [4] },
  "2x2": { layout: "2d", dims: [2, 2] },
  "2x2x2": { layout: "2.5d", dims: [2, 2, 2] },
} as const satisfies Record<string, Pick<MeshShape, "layout" | "dims">>;
export type MeshName = keyof typeof meshes;
export const meshNames: readonly MeshName[] = ["1", "2", "3", "4", "2x2", "2x2x2"];

export const devicesOf = (dims: readonly number[]): number => dims.reduce((size, extent) => size * extent, 1);

export interface Choice {
  model: ModelName;
  mesh: MeshName;
  steps: number;
  /** how f32 travels */
  wire: "f32" | "f16";
}

/** As a room's request and config.json have it. */
export function configOf({ model }: Choice, vocabulary: number): Record<string, unknown> & { model_type: "gpt2" } {
  const { layers, width, context } = models[model];
  return {
    ...{ model_type: "gpt2", vocab_size: vocabulary, n_positions: context },
    ...{ n_embd: width, n_layer: layers, n_head: heads },
  };
}

export function parametersOf({ model, steps, wire }: Choice): TrainParameters {
  const learningRate = 1e-3;
  return {
    ...{ batch, context: models[model].context, steps, learningRate, minLearningRate: learningRate / 10 },
    ...{ warmup: Math.min(20, Math.floor(steps / 10)), beta1: 0.9, beta2: 0.99, weightDecay: 0.1, clip: 1, dropout: 0 },
    ...{ accumulate: 1, recompute: false, wire, seed: 1337 },
    // A look at the validation split now and then, and a sample that fits a phone's screen: shorter of what has hardly learned.
    ...{ evalEvery: Math.max(10, Math.ceil(steps / 10)), evalBatches: 2, sampleTokens: Math.min(160, 8 * steps) },
  };
}

/** For people: "4 layers of 192". */
export const modelText = (config: Pick<ModelConfig, "model_type">, sizes: { layers: number; width: number }): string =>
  `${config.model_type === "gpt2" ? "GPT" : "Llama"}, ${sizes.layers} layers of ${sizes.width}`;

// What a model's training step has to compute, whoever computes it how.

import { headWidth, type ModelConfig } from "./config.ts";

/** Additions and multiplications of products and causal attention in a training step over that many sequences: forward once, backward
 *  twice as much, nothing computed again. The numerator of model FLOPs utilization (PaLM, arXiv 2204.02311). */
export function modelFlops(config: ModelConfig, { batch, context }: { batch: number; context: number }): number {
  const { layers, width, blockWeights, vocab } = sizes(config);
  const products = 2 * batch * context * (layers * blockWeights + width * vocab);
  // Scores and their product with v, over the pairs of a token and those up to it.
  const attention = layers * 4 * width * batch * ((context * (context + 1)) / 2);
  return 3 * (products + attention);
}

/** blockWeights: elements of one block's matrices */
function sizes(config: ModelConfig) {
  if (config.model_type === "gpt2") {
    const { n_embd: width, n_inner, n_layer: layers, vocab_size: vocab } = config;
    return { layers, width, vocab, blockWeights: 4 * width * width + 2 * width * n_inner };
  }
  const { hidden_size: width, intermediate_size: ffn, num_hidden_layers: layers, vocab_size: vocab } = config;
  const keyValueWidth = headWidth(config) * config.num_key_value_heads;
  return { layers, width, vocab, blockWeights: 2 * width * width + 2 * width * keyValueWidth + 3 * width * ffn };
}

// The closed form of a training step's memory on one rank that holds everything: what a run needs, before it asks
// the device. Counts what is asked for; a backend's pool may keep up to an eighth more.
//
// Legend: R rows = batch * context, D width, F hidden width, C fused q,k,v columns, H heads, L layers, V padded vocabulary,
// N parameters. Words of 4 bytes.

import type { BytesByPurpose } from "../backend/memory.ts";
import { padTo } from "../parallel/block.ts";
import { vocabularyUnit } from "../parallel/serial.ts";
import { headWidth, type ModelConfig, parameterCount } from "./config.ts";

interface Extents {
  D: number;
  F: number;
  C: number;
  H: number;
  L: number;
  V: number;
  N: number;
  /** words of constant tables */
  tables: number;
  /** columns a block's activation function reads, and what its backward holds beside what it frees */
  up: number;
}

function extents(config: ModelConfig): Extents {
  const V = padTo(config.vocab_size, vocabularyUnit);
  const extra = V - config.vocab_size;
  if (config.model_type === "gpt2") {
    const { n_embd: D, n_inner: F, n_head: H, n_layer: L } = config;
    return { D, F, C: 3 * D, H, L, V, N: parameterCount(config) + extra * D, tables: 0, up: F };
  }
  const { hidden_size: D, intermediate_size: F, num_attention_heads: H, num_hidden_layers: L } = config;
  const K = headWidth(config);
  const heads = config.tie_word_embeddings ? 1 : 2;
  return {
    D,
    F,
    C: (H + 2 * config.num_key_value_heads) * K,
    H,
    L,
    V,
    N: parameterCount(config) + heads * extra * D,
    tables: config.max_position_embeddings * K,
    up: 2 * F,
  };
}

/** Peak bytes of a training step with AdamW: each purpose's own peak, and the peak of their sum.
 *
 *  weights 4 N, gradients 4 N, optimizer 8 N. A block keeps for its backward its input, both norms' outputs and the residual between
 *  (4 D a row), q, k, v (C), attention's output and row sums (D + H), the activation's input and output (up + F) and the norms'
 *  statistics (4): R (5 D + C + up + F + H + 4) words; with recomputation its input alone, and one block's at a time, with the last
 *  projection and sum of its second forward.
 *  The peak is either in the loss (logits and their gradient) or in the last block's feed-forward backward. */
export function trainingBytes(
  config: ModelConfig,
  run: { batch: number; context: number; recompute: boolean },
): BytesByPurpose & { total: number } {
  const { D, F, C, H, L, V, N, tables, up } = extents(config);
  const R = run.batch * run.context;
  const block = R * (5 * D + C + up + F + H + 4);
  const ids = 6 * R;
  const kept = run.recompute ? L * R * D : L * block;
  // Last residual and its norm, statistics, logits, then per row: maximum, sums.
  const loss = R * (2 * D + 2 + V + 3);
  const activations = ids + Math.max(kept + loss, run.recompute ? kept + block + 2 * R * D : 0);
  const atLoss = ids + kept + loss + R * V;
  const atFeedForward = ids + kept + (run.recompute ? block : 0) + R * (D + up);
  // Gradients of: logits; residual, activation's input and output; residual (twice when recomputing), attention's output, q, k, v.
  const scratch = R * Math.max(V, D + up + F, (run.recompute ? 3 : 2) * D + C + H);
  const bytes = {
    weights: 4 * (N + tables),
    gradients: 4 * N,
    optimizer: 8 * N,
    activations: 4 * activations,
    scratch: 4 * scratch,
  };
  const total = bytes.weights + bytes.gradients + bytes.optimizer + 4 * Math.max(atLoss, atFeedForward);
  return { ...bytes, total };
}

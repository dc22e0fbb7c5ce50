// The sizes of a model that layouts cut.

import type { ShardedExtents } from "../parallel/shape.ts";
import type { ModelConfig } from "./config.ts";

/** What of a model has to divide over ranks. */
export function shardedExtents(config: ModelConfig): ShardedExtents {
  if (config.model_type === "gpt2")
    return { width: config.n_embd, heads: config.n_head, kvHeads: config.n_head, ffn: config.n_inner };
  return {
    width: config.hidden_size,
    heads: config.num_attention_heads,
    kvHeads: config.num_key_value_heads,
    ffn: config.intermediate_size,
  };
}

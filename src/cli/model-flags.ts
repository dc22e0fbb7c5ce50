// A model that is not there, by its sizes: what commands are told that run nothing.

import { type Command, Option } from "commander";
import type { FloatType } from "../backend/buffer.ts";
import { UserError } from "../backend/errors.ts";
import { type ModelConfig, parseModelConfig } from "../nn/config.ts";
import { wholeNumber } from "./common.ts";

/** Sizes of GPT-2's smallest model. */
export const modelDefaults = { layers: 12, width: 768, heads: 12, vocab: 50257, batch: 8, context: 1024 };

/** As given on the command line. */
export interface ModelFlags {
  arch: "gpt2" | "llama";
  layers: string;
  width: string;
  heads: string;
  kvHeads?: string;
  ffn?: string;
  vocab: string;
  batch: string;
  context: string;
  recompute: boolean;
  dtype: FloatType;
}

/** @param batch what --batch counts
 *  @param recompute whether --recompute is asked for: false where both ways are tried */
export function addModelOptions(
  command: Command,
  { batch = "sequences in a step", recompute = true }: { batch?: string; recompute?: boolean } = {},
): Command {
  command
    .addOption(new Option("--arch <name>", "architecture").choices(["gpt2", "llama"]).default("gpt2"))
    .option("--layers <number>", "blocks", String(modelDefaults.layers))
    .option("--width <number>", "width of the residual stream", String(modelDefaults.width))
    .option("--heads <number>", "attention heads", String(modelDefaults.heads))
    .option("--kv-heads <number>", "key-value heads, llama only (default: as many as heads)")
    .option("--ffn <number>", "hidden width of the feed-forward part (default: the architecture's)")
    .option("--vocab <number>", "vocabulary", String(modelDefaults.vocab))
    .option("--batch <number>", batch, String(modelDefaults.batch))
    .option("--context <number>", "tokens in a sequence", String(modelDefaults.context));
  if (recompute) command.option("--recompute", "activations computed again in the backward pass", false);
  return command.addOption(
    new Option("--dtype <type>", "how matrices and activations are stored").choices(["f32", "f16"]).default("f32"),
  );
}

const number = (name: keyof typeof modelDefaults, flags: Omit<ModelFlags, "recompute">): number =>
  wholeNumber(name, flags[name], modelDefaults[name]);

/** @throws UserError for sizes that no model has */
export function modelOf(flags: Omit<ModelFlags, "recompute">): { config: ModelConfig; batch: number; context: number } {
  const at = (name: keyof typeof modelDefaults) => number(name, flags);
  const [layers, width, heads, vocab] = [at("layers"), at("width"), at("heads"), at("vocab")];
  const [batch, context] = [at("batch"), at("context")];
  const ffn = flags.ffn === undefined ? undefined : wholeNumber("ffn", flags.ffn);
  if (flags.arch === "llama") {
    const config = parseModelConfig({
      ...{ model_type: "llama", vocab_size: vocab, max_position_embeddings: context, hidden_size: width },
      ...{ intermediate_size: ffn ?? Math.ceil((width * 8) / 3 / 8) * 8, num_hidden_layers: layers },
      num_attention_heads: heads,
      num_key_value_heads: flags.kvHeads === undefined ? heads : wholeNumber("kv-heads", flags.kvHeads),
    });
    return { config, batch, context };
  }
  if (flags.kvHeads !== undefined)
    throw new UserError(`got --kv-heads ${flags.kvHeads} with gpt2, need --arch llama: gpt2 has as many as heads`);
  const config = parseModelConfig({
    ...{ model_type: "gpt2", vocab_size: vocab, n_positions: context, n_embd: width, n_layer: layers, n_head: heads },
    ...(ffn !== undefined && { n_inner: ffn }),
  });
  return { config, batch, context };
}

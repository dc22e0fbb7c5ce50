// What a model is, in the field names of Hugging Face's config.json, so that its files read and write here.
// Holds no weights and builds nothing: gpt2.ts and llama.ts do.

import { UserError } from "../backend/errors.ts";
import { Fields } from "./fields.ts";

/** GPT-2 (Radford et al. 2019). Every default is filled in. */
export interface Gpt2Config {
  model_type: "gpt2";
  vocab_size: number;
  /** longest sequence */
  n_positions: number;
  /** width */
  n_embd: number;
  n_layer: number;
  n_head: number;
  /** hidden width of the feed-forward part */
  n_inner: number;
  /** gelu_new is the tanh approximation, gelu the exact one */
  activation_function: "gelu_new" | "gelu";
  layer_norm_epsilon: number;
  resid_pdrop: number;
  embd_pdrop: number;
  attn_pdrop: number;
  /** not Hugging Face's: false leaves out every bias, those of the norms included, as nanoGPT does */
  bias: boolean;
  tie_word_embeddings: true;
}

/** Llama (arXiv:2302.13971), with grouped key/value heads (arXiv:2305.13245). Every default is filled in. */
export interface LlamaConfig {
  model_type: "llama";
  vocab_size: number;
  /** longest sequence */
  max_position_embeddings: number;
  hidden_size: number;
  intermediate_size: number;
  num_hidden_layers: number;
  num_attention_heads: number;
  num_key_value_heads: number;
  rms_norm_eps: number;
  rope_theta: number;
  tie_word_embeddings: boolean;
  hidden_act: "silu";
}

export type ModelConfig = Gpt2Config | LlamaConfig;

/** The "run" object beside a model in a reference run's config.json: how PyTorch trained it. */
export interface RunConfig {
  batch: number;
  /** tokens in one sequence */
  seq: number;
  steps: number;
  lr: number;
  beta1: number;
  beta2: number;
  eps: number;
  weight_decay: number;
  grad_clip: number;
  seed: number;
}

const gpt2Fields = [
  ...[
    "model_type",
    "vocab_size",
    "n_positions",
    "n_embd",
    "n_layer",
    "n_head",
    "n_inner",
    "activation_function",
    "layer_norm_epsilon",
  ],
  ...["resid_pdrop", "embd_pdrop", "attn_pdrop", "bias", "tie_word_embeddings"],
];
const llamaFields = [
  ...["model_type", "vocab_size", "max_position_embeddings", "hidden_size", "intermediate_size", "num_hidden_layers"],
  ...["num_attention_heads", "num_key_value_heads", "rms_norm_eps", "rope_theta", "tie_word_embeddings", "hidden_act"],
];

/** Fields of real config.json files that say nothing about what is computed here. */
const harmless = [
  ...[
    "run",
    "architectures",
    "_name_or_path",
    "name_or_path",
    "torch_dtype",
    "dtype",
    "transformers_version",
    "initializer_range",
  ],
  ...[
    "use_cache",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "unk_token_id",
    "sep_token_id",
    "task_specific_params",
    "n_ctx",
  ],
  ...["summary_type", "summary_use_proj", "summary_activation", "summary_proj_to_labels", "summary_first_dropout"],
  ...[
    "gradient_checkpointing",
    "output_attentions",
    "output_hidden_states",
    "return_dict",
    "pretraining_tp",
    "max_length",
  ],
  ...[
    "_attn_implementation",
    "auto_map",
    "id2label",
    "label2id",
    "tokenizer_class",
    "torchscript",
    "chunk_size_feed_forward",
  ],
];

/** Fields that would change results, with the one value that does not; undefined: null only. */
const gpt2Fixed = {
  tie_word_embeddings: true,
  scale_attn_weights: true,
  scale_attn_by_inverse_layer_idx: false,
  reorder_and_upcast_attn: false,
  add_cross_attention: false,
  is_encoder_decoder: false,
  quantization_config: undefined,
};
const llamaFixed = {
  hidden_act: "silu",
  attention_bias: false,
  mlp_bias: false,
  attention_dropout: 0,
  partial_rotary_factor: 1,
  rope_scaling: undefined,
  rope_parameters: undefined,
  sliding_window: undefined,
  is_encoder_decoder: false,
  quantization_config: undefined,
};

/** A model's config from parsed JSON. Sizes have no default; the dropout rates default to 0, not to Hugging Face's 0.1.
 *  @throws UserError naming the field: unknown, of a wrong type, out of range, or of no effect here though it should have one */
export function parseModelConfig(json: unknown): ModelConfig {
  const fields = new Fields(json, "model config");
  return fields.choice("model_type", { choices: ["gpt2", "llama"] }) === "gpt2"
    ? parseGpt2(fields)
    : parseLlama(fields);
}

function parseGpt2(fields: Fields): Gpt2Config {
  fields.only(gpt2Fields, [...harmless, ...Object.keys(gpt2Fixed)]);
  fields.fixed(gpt2Fixed);
  const n_embd = fields.size("n_embd");
  const config: Gpt2Config = {
    model_type: "gpt2",
    vocab_size: fields.size("vocab_size"),
    n_positions: fields.size("n_positions"),
    n_embd,
    n_layer: fields.size("n_layer"),
    n_head: fields.size("n_head"),
    n_inner: fields.size("n_inner", 4 * n_embd),
    activation_function: fields.choice("activation_function", { choices: ["gelu_new", "gelu"], fallback: "gelu_new" }),
    layer_norm_epsilon: fields.positive("layer_norm_epsilon", 1e-5),
    resid_pdrop: fields.fraction("resid_pdrop", 0),
    embd_pdrop: fields.fraction("embd_pdrop", 0),
    attn_pdrop: fields.fraction("attn_pdrop", 0),
    bias: fields.boolean("bias", true),
    tie_word_embeddings: true,
  };
  requireDivides({ name: "n_head", count: config.n_head, ofName: "n_embd", of: n_embd });
  return config;
}

function parseLlama(fields: Fields): LlamaConfig {
  fields.only(llamaFields, [...harmless, ...Object.keys(llamaFixed), "head_dim"]);
  fields.fixed(llamaFixed);
  const num_attention_heads = fields.size("num_attention_heads");
  const config: LlamaConfig = {
    model_type: "llama",
    vocab_size: fields.size("vocab_size"),
    max_position_embeddings: fields.size("max_position_embeddings"),
    hidden_size: fields.size("hidden_size"),
    intermediate_size: fields.size("intermediate_size"),
    num_hidden_layers: fields.size("num_hidden_layers"),
    num_attention_heads,
    num_key_value_heads: fields.size("num_key_value_heads", num_attention_heads),
    rms_norm_eps: fields.positive("rms_norm_eps", 1e-6),
    rope_theta: fields.positive("rope_theta", 10000),
    tie_word_embeddings: fields.boolean("tie_word_embeddings", false),
    hidden_act: "silu",
  };
  requireDivides({
    name: "num_attention_heads",
    count: num_attention_heads,
    ofName: "hidden_size",
    of: config.hidden_size,
  });
  requireDivides({
    name: "num_key_value_heads",
    count: config.num_key_value_heads,
    ofName: "num_attention_heads",
    of: num_attention_heads,
  });
  const width = headWidth(config);
  if (width % 2 !== 0) {
    throw new UserError(
      `model config: got hidden_size ${config.hidden_size} over ${num_attention_heads} heads, a head width of ${width}, need an even one (rotary embeddings turn pairs); use hidden_size ${config.hidden_size + num_attention_heads}`,
    );
  }
  fields.fixed({ head_dim: width });
  return config;
}

function requireDivides({
  name,
  count,
  ofName,
  of,
}: {
  name: string;
  count: number;
  ofName: string;
  of: number;
}): void {
  if (of % count === 0) return;
  const below = Math.floor(of / count) * count;
  const widths = below > 0 ? `${below} or ${below + count}` : `${count}`;
  throw new UserError(
    `model config: got ${name} ${count} with ${ofName} ${of}, need a divisor of ${of}; use ${name} ${nearestDivisors(of, count).join(" or ")}, or ${ofName} ${widths}`,
  );
}

/** The divisors of `n` next below and above `near`. */
function nearestDivisors(n: number, near: number): number[] {
  const divisors: number[] = [];
  for (let d = 1; d * d <= n; d++) if (n % d === 0) divisors.push(d, n / d);
  const below = Math.max(...divisors.filter((d) => d < near));
  const above = Math.min(...divisors.filter((d) => d > near));
  return Number.isFinite(above) ? [below, above] : [below];
}

/** The "run" object of a reference run's config.json.
 *  @throws UserError naming the field */
export function parseRunConfig(json: unknown): RunConfig {
  const fields = new Fields(new Fields(json, "reference config").get("run"), 'reference config, "run"');
  fields.only(["batch", "seq", "steps", "lr", "beta1", "beta2", "eps", "weight_decay", "grad_clip", "seed"]);
  const notNegative = { needed: "0 or a number above it", ok: (value: number) => value >= 0 };
  return {
    batch: fields.size("batch"),
    seq: fields.size("seq"),
    steps: fields.size("steps"),
    lr: fields.positive("lr"),
    beta1: fields.fraction("beta1"),
    beta2: fields.fraction("beta2"),
    eps: fields.positive("eps"),
    weight_decay: fields.number("weight_decay", notNegative),
    grad_clip: fields.number("grad_clip", notNegative),
    seed: fields.number("seed", { needed: "a whole number", ok: Number.isSafeInteger }),
  };
}

/** Width of one attention head. */
export function headWidth(config: ModelConfig): number {
  return config.model_type === "gpt2" ? config.n_embd / config.n_head : config.hidden_size / config.num_attention_heads;
}

/** Longest sequence the model takes. */
export function maxContext(config: ModelConfig): number {
  return config.model_type === "gpt2" ? config.n_positions : config.max_position_embeddings;
}

/** Blocks. */
export const layersOf = (config: ModelConfig): number =>
  config.model_type === "gpt2" ? config.n_layer : config.num_hidden_layers;

/** Trainable numbers in the model, tied ones once. */
export function parameterCount(config: ModelConfig): number {
  if (config.model_type === "gpt2") {
    const { n_embd: D, n_inner: F, n_layer, n_positions, vocab_size } = config;
    const bias = config.bias ? 1 : 0;
    const norm = D + bias * D;
    const attention = D * 3 * D + bias * 3 * D + D * D + bias * D;
    const mlp = D * F + bias * F + F * D + bias * D;
    return (vocab_size + n_positions) * D + n_layer * (2 * norm + attention + mlp) + norm;
  }
  const { hidden_size: D, intermediate_size: F, num_hidden_layers, vocab_size } = config;
  const keyValueWidth = headWidth(config) * config.num_key_value_heads;
  const layer = 2 * D + 2 * D * D + 2 * D * keyValueWidth + 3 * D * F;
  return (config.tie_word_embeddings ? 1 : 2) * vocab_size * D + num_hidden_layers * layer + D;
}

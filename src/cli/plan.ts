// From flags and files to a run that can start: everything a user can get wrong is refused here, before a device is
// touched or memory taken.

import type { FloatType } from "../backend/buffer.ts";
import { UserError } from "../backend/errors.ts";
import { type ModelConfig, maxContext, parameterCount, parseModelConfig } from "../nn/config.ts";
import { shardedExtents } from "../nn/extents.ts";
import { type MeshShape, requireLegal } from "../parallel/shape.ts";
import { openCheckpoint } from "../train/checkpoint.ts";
import { type Corpus, makeCorpus } from "../train/corpus.ts";
import type { TrainParameters } from "../train/events.ts";
import { byteTokenizer, charTokenizer, type Tokenizer } from "../train/tokenizer.ts";
import { type MeshFlags, shapeOf } from "./common.ts";
import { named, parseJson, readInput } from "./files.ts";
import { fallbackOf, type NumberFlagName } from "./flags.ts";
import { bytesText } from "./output.ts";
import type { Resumed } from "./resume.ts";
import { readText } from "./text.ts";
import type { WireFlags } from "./wire.ts";

/** Flags as given; absent ones are undefined. */
export interface TrainFlags extends MeshFlags, WireFlags {
  data?: string;
  config?: string;
  arch?: "gpt2" | "llama";
  tokenizer: "char" | "byte";
  bias?: boolean;
  activation?: "gelu" | "gelu_new";
  recompute: boolean;
  dtype: FloatType;
  numbers: Partial<Record<NumberFlagName, number>>;
}

export interface TrainPlan {
  /** how reports call the text */
  textName: string;
  text: string;
  config: ModelConfig;
  tokenizer: Tokenizer;
  corpus: Corpus;
  parameters: TrainParameters;
  shape: MeshShape;
  /** the bytes of a checkpoint that fits all of it */
  resume?: Uint8Array;
}

/** Weights, gradients and AdamW's moments take 16 bytes each: beyond this no device holds them. */
const maxParameters = 2e10;

/** One activation beyond this fits no device's buffer. */
const maxActivationBytes = 2 ** 34;

/** The host holds a step's token ids, targets too, 8 bytes a token. */
const maxTokensPerStep = 2 ** 28;

/** @param resumed the checkpoint that it goes on from, whose flags `flags` have where none were given
 *  @throws UserError for the first thing that does not fit */
export async function planTrain(flags: TrainFlags, resumed?: Resumed): Promise<TrainPlan> {
  const shape = shapeOf(flags);
  const parameters = trainParameters(flags);
  const file = flags.config === undefined ? resumed && { ...resumed.head.config } : await readConfig(flags.config);
  const { name, text } = await readText(flags.data);
  const fresh = () => (flags.tokenizer === "char" ? charTokenizer(text) : byteTokenizer());
  const tokenizer = resumed?.head.tokenizer ?? fresh();
  const config = modelConfig(flags, { file, from: flags.config ?? resumed?.path, vocabSize: tokenizer.vocabSize });
  if (flags.numbers.context === undefined) parameters.context = Math.min(parameters.context, maxContext(config));
  if (parameters.context > maxContext(config)) {
    throw new UserError(
      `got --context ${parameters.context}, need at most the ${maxContext(config)} positions of ${flags.config ?? "the config"}; use a shorter --context`,
    );
  }
  if (parameterCount(config) > maxParameters) {
    throw new UserError(
      `got a model of ${parameterCount(config).toExponential(1)} parameters, need at most ${maxParameters.toExponential(0)} on one device; use fewer --layers or less --width`,
    );
  }
  requireFits(config, parameters);
  requireLegal(shape, { ...shardedExtents(config), batch: parameters.batch, context: parameters.context });
  const tokens = named(flags.data ?? name, () => tokenizer.encode(text));
  const corpus = makeCorpus({ tokens, context: parameters.context });
  if (flags.numbers.dropout === undefined) parameters.dropout = resumed?.head.parameters.dropout ?? dropoutOf(config);
  if (resumed) requireResumes(resumed, { config, tokenizer, parameters });
  return { textName: name, text, config, tokenizer, corpus, parameters, shape, resume: resumed?.bytes };
}

function requireResumes({ path, bytes, head }: Resumed, run: Pick<TrainPlan, "config" | "tokenizer" | "parameters">) {
  named(path, () => openCheckpoint(bytes, run));
  if (head.step >= run.parameters.steps)
    throw new UserError(
      `${path}: got a checkpoint of ${head.step} steps for a run of ${run.parameters.steps}, need a run of more; use a larger --steps`,
    );
}

function trainParameters({ numbers, recompute, dtype, wire }: TrainFlags): TrainParameters {
  const steps = numbers.steps ?? fallbackOf("steps");
  const learningRate = numbers.lr ?? fallbackOf("lr");
  const minLearningRate = numbers["min-lr"] ?? Number((learningRate / 10).toPrecision(12));
  const warmup = numbers.warmup ?? Math.min(100, Math.floor(steps / 10));
  if (minLearningRate > learningRate) {
    throw new UserError(`got --min-lr ${minLearningRate} with --lr ${learningRate}, need --min-lr at most --lr`);
  }
  if (warmup > steps)
    throw new UserError(`got --warmup ${warmup} with --steps ${steps}, need --warmup at most --steps`);
  const parameters = {
    batch: numbers.batch ?? fallbackOf("batch"),
    context: numbers.context ?? fallbackOf("context"),
    steps,
    learningRate,
    minLearningRate,
    warmup,
    beta1: numbers.beta1 ?? fallbackOf("beta1"),
    beta2: numbers.beta2 ?? fallbackOf("beta2"),
    weightDecay: numbers["weight-decay"] ?? fallbackOf("weight-decay"),
    clip: numbers.clip ?? fallbackOf("clip"),
    dropout: numbers.dropout ?? fallbackOf("dropout"),
    accumulate: numbers.accumulate ?? fallbackOf("accumulate"),
    recompute,
    lossBlocks: numbers["loss-blocks"] ?? fallbackOf("loss-blocks"),
    dtype,
    wire,
    seed: numbers.seed ?? fallbackOf("seed"),
    evalEvery: numbers["eval-every"] ?? fallbackOf("eval-every"),
    evalBatches: numbers["eval-batches"] ?? fallbackOf("eval-batches"),
    sampleTokens: numbers.sample ?? fallbackOf("sample"),
  };
  return parameters;
}

/** What would exhaust the host before a device could refuse it. */
function requireFits(config: ModelConfig, { batch, context, accumulate, lossBlocks = 1 }: TrainParameters): void {
  const width = config.model_type === "gpt2" ? config.n_embd : config.hidden_size;
  if ((batch * context) % lossBlocks !== 0)
    throw new UserError(
      `got --loss-blocks ${lossBlocks} with --batch ${batch} and --context ${context}, need a divisor of their product, ${batch * context}`,
    );
  const activationBytes = 4 * batch * context * Math.max(width, config.vocab_size / lossBlocks);
  if (activationBytes > maxActivationBytes) {
    throw new UserError(
      `got --batch ${batch} with --context ${context}, one activation of ${bytesText(activationBytes)}, need at most ${bytesText(maxActivationBytes)}; use a smaller --batch and more --accumulate`,
    );
  }
  if (batch * context * accumulate > maxTokensPerStep) {
    throw new UserError(
      `got ${batch * context * accumulate} tokens a step, need at most ${maxTokensPerStep}; use a smaller --accumulate`,
    );
  }
}

async function readConfig(path: string): Promise<Record<string, unknown>> {
  const json = parseJson(await readInput(path, "a model's config.json"), path);
  // What is no object is refused by the parser, in its words.
  if (typeof json !== "object" || json === null || Array.isArray(json)) named(path, () => parseModelConfig(json));
  return json as Record<string, unknown>;
}

/** The config file with flags over it, or flags over defaults; the tokenizer's vocabulary in both. */
function modelConfig(
  flags: TrainFlags,
  { file, from, vocabSize }: { file: Record<string, unknown> | undefined; from: string | undefined; vocabSize: number },
): ModelConfig {
  if (file && flags.arch !== undefined && flags.arch !== file.model_type) {
    const what = flags.config === undefined ? "a checkpoint" : "a --config";
    throw new UserError(
      `got --arch ${flags.arch} with ${what} of model_type ${JSON.stringify(file.model_type)} (${from}), need the same in both; leave out --arch`,
    );
  }
  const arch = file ? file.model_type : (flags.arch ?? "gpt2");
  const over = arch === "llama" ? llamaFields(flags) : gpt2Fields(flags);
  const base = file ?? (arch === "llama" ? llamaDefaults(flags) : gpt2Defaults(flags));
  const given = Object.entries(over).filter(([, value]) => value !== undefined);
  const parse = () => parseModelConfig({ vocab_size: vocabSize, ...base, ...Object.fromEntries(given) });
  const source = `${from}${given.length > 0 ? ", with the flags over it" : ""}`;
  const config = file ? named(source, parse) : parse();
  if (config.vocab_size !== vocabSize) {
    throw new UserError(
      `${flags.config}: got vocab_size ${config.vocab_size} with a tokenizer of ${vocabSize} tokens, need the same; leave vocab_size out of the file`,
    );
  }
  return config;
}

function gpt2Defaults({ numbers }: TrainFlags): Record<string, unknown> {
  const n_positions = numbers.context ?? fallbackOf("context");
  const sizes = { n_embd: fallbackOf("width"), n_layer: fallbackOf("layers"), n_head: fallbackOf("heads") };
  return { model_type: "gpt2", n_positions, ...sizes };
}

function gpt2Fields({ numbers, bias, activation }: TrainFlags): Record<string, unknown> {
  if (numbers["kv-heads"] !== undefined && numbers["kv-heads"] !== numbers.heads) {
    throw new UserError(
      `got --kv-heads ${numbers["kv-heads"]} with gpt2, need --arch llama: gpt2 has as many as heads`,
    );
  }
  const { dropout } = numbers;
  return {
    n_embd: numbers.width,
    n_layer: numbers.layers,
    n_head: numbers.heads,
    n_inner: numbers.ffn,
    activation_function: activation,
    bias,
    resid_pdrop: dropout,
    embd_pdrop: dropout,
    attn_pdrop: dropout,
  };
}

function llamaDefaults({ numbers }: TrainFlags): Record<string, unknown> {
  const hidden_size = numbers.width ?? fallbackOf("width");
  return {
    model_type: "llama",
    max_position_embeddings: numbers.context ?? fallbackOf("context"),
    hidden_size,
    intermediate_size: Math.ceil((hidden_size * 8) / 3 / 8) * 8,
    num_hidden_layers: fallbackOf("layers"),
    num_attention_heads: fallbackOf("heads"),
  };
}

function llamaFields({ numbers, bias, activation }: TrainFlags): Record<string, unknown> {
  if (bias) throw new UserError("got --bias with llama, which has no biases; leave it out");
  if (activation !== undefined)
    throw new UserError(`got --activation ${activation} with llama, whose activation is silu; leave it out`);
  return {
    hidden_size: numbers.width,
    intermediate_size: numbers.ffn,
    num_hidden_layers: numbers.layers,
    num_attention_heads: numbers.heads,
    num_key_value_heads: numbers["kv-heads"],
  };
}

/** The config's rate where it has one; 0 where its three differ: the trainer then takes them from the config. */
function dropoutOf(config: ModelConfig): number {
  if (config.model_type === "llama") return fallbackOf("dropout");
  const { resid_pdrop, embd_pdrop, attn_pdrop } = config;
  return resid_pdrop === embd_pdrop && resid_pdrop === attn_pdrop ? resid_pdrop : 0;
}

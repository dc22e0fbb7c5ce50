// `shardgrad layouts`: what each legal layout of a number of ranks would send and hold for a model, by the closed forms. Runs nothing.

import type { Command } from "commander";
import { Option } from "commander";
import type { FloatType } from "../backend/buffer.ts";
import { UserError } from "../backend/errors.ts";
import { parseModelConfig } from "../nn/config.ts";
import { shardedExtents } from "../nn/extents.ts";
import { trainingBytes } from "../nn/footprint.ts";
import { totalCount, trainingTraffic } from "../nn/traffic.ts";
import { type MeshShape, maxRanks, meshShape, requireLegal, shapesOf } from "../parallel/shape.ts";
import { jsonOption, wholeNumber } from "./common.ts";
import { bytesText, countText, Output } from "./output.ts";
import { addWireOption, wireText } from "./wire.ts";

/** Sizes of GPT-2's smallest model. */
const defaults = { layers: 12, width: 768, heads: 12, vocab: 50257, batch: 8, context: 1024, "mesh-size": 4 };

export function addLayouts(program: Command): void {
  const command = program
    .command("layouts")
    .description("legal layouts of a number of ranks for a model, with what each rank would receive and hold")
    .addOption(new Option("--arch <name>", "architecture").choices(["gpt2", "llama"]).default("gpt2"))
    .option("--layers <number>", "blocks", String(defaults.layers))
    .option("--width <number>", "width of the residual stream", String(defaults.width))
    .option("--heads <number>", "attention heads", String(defaults.heads))
    .option("--kv-heads <number>", "key-value heads, llama only (default: as many as heads)")
    .option("--ffn <number>", "hidden width of the feed-forward part (default: the architecture's)")
    .option("--vocab <number>", "vocabulary", String(defaults.vocab))
    .option("--batch <number>", "sequences in a step", String(defaults.batch))
    .option("--context <number>", "tokens in a sequence", String(defaults.context))
    .option("--mesh-size <number>", "ranks", String(defaults["mesh-size"]))
    .option("--recompute", "activations computed again in the backward pass", false)
    .addOption(
      new Option("--dtype <type>", "how matrices and activations are stored").choices(["f32", "f16"]).default("f32"),
    )
    .addOption(jsonOption())
    .action(runLayouts);
  addWireOption(command);
}

type Options = Record<string, string | undefined> & { arch?: string };

const number = (name: string, text: string): number =>
  wholeNumber(name, text, (defaults as Record<string, number>)[name]);

function modelOf(options: Options) {
  const at = (name: string, key = name) => number(name, options[key] ?? "");
  const [layers, width, heads, vocab, context] = ["layers", "width", "heads", "vocab", "context"].map((name) =>
    at(name),
  );
  const ffn = options.ffn === undefined ? undefined : at("ffn");
  if (options.arch === "llama")
    return parseModelConfig({
      ...{ model_type: "llama", vocab_size: vocab, max_position_embeddings: context, hidden_size: width },
      ...{ intermediate_size: ffn ?? Math.ceil((width * 8) / 3 / 8) * 8, num_hidden_layers: layers },
      ...{ num_attention_heads: heads, num_key_value_heads: options.kvHeads ? at("kv-heads", "kvHeads") : heads },
    });
  if (options.kvHeads !== undefined)
    throw new UserError(`got --kv-heads ${options.kvHeads} with gpt2, need --arch llama: gpt2 has as many as heads`);
  return parseModelConfig({
    ...{ model_type: "gpt2", vocab_size: vocab, n_positions: context, n_embd: width, n_layer: layers, n_head: heads },
    ...(ffn !== undefined && { n_inner: ffn }),
  });
}

function runLayouts(given: Record<string, unknown>): void {
  const options = given as Options;
  const output = new Output(given.json === true);
  const config = modelOf(options);
  const [batch, context] = [number("batch", options.batch ?? ""), number("context", options.context ?? "")];
  const size = number("mesh-size", options.meshSize ?? "");
  if (size > maxRanks) throw new UserError(`got --mesh-size ${size}, need at most ${maxRanks}`);
  const dtype: FloatType = given.dtype === "f16" ? "f16" : "f32";
  const wire: FloatType = given.wire === "f16" ? "f16" : "f32";
  const run = { batch, context, accumulate: 1, recompute: given.recompute === true, dtype, wire };
  const extents = { ...shardedExtents(config), batch, context };
  const rows: string[][] = [];
  const refused: string[] = [];
  const row = (shape: MeshShape) => {
    const mesh = shape.dims.join("x");
    try {
      requireLegal(shape, extents);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      refused.push(`${shape.layout} ${error.message}`);
      output.event({ event: "layout", layout: shape.layout, dims: shape.dims, legal: false, why: error.message });
      return;
    }
    const { words, messages, bytesReceived } = trainingTraffic(config, { shape, ...run });
    const wordsReceived = Math.max(...words.map(totalCount));
    const mostBytes = Math.max(...bytesReceived);
    const messagesReceived = Math.max(...messages.map(totalCount));
    const linear = Math.max(...words.map((each) => (each["linear forward"] ?? 0) + (each["linear backward"] ?? 0)));
    const memory = trainingBytes(config, { ...run, shape });
    output.event({
      ...{
        event: "layout",
        layout: shape.layout,
        dims: shape.dims,
        legal: true,
        wordsReceived,
        bytesReceived: mostBytes,
      },
      ...{ linearWords: linear, messagesReceived, memoryBytes: memory },
    });
    rows.push([
      ...[shape.layout, mesh, countText(wordsReceived), countText(linear), bytesText(mostBytes)],
      ...[
        countText(messagesReceived),
        bytesText(memory.weights),
        bytesText(memory.gradients + memory.optimizer),
        bytesText(memory.activations),
      ],
      bytesText(memory.total),
    ]);
  };
  for (const shape of [meshShape({ layout: "serial" }), ...shapesOf(size).filter((each) => each.size > 1)]) row(shape);
  const head = [
    "layout",
    "mesh",
    "words a step",
    "of linears",
    "bytes",
    "messages",
    "weights",
    "grad + AdamW",
    "activations",
    "peak",
  ];
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((cells) => cells[column].length)));
  const line = (cells: readonly string[]) =>
    cells.map((cell, column) => (column < 2 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]))).join("  ");
  output.say(
    `one training step of ${batch} x ${context} tokens${wireText(wire)}; received, and held, by the rank with the most`,
  );
  output.say(line(head));
  for (const cells of rows) output.say(line(cells));
  for (const why of refused) output.say(`not ${why}`);
}

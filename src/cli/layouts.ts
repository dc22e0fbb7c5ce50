// `shardgrad layouts`: what each legal layout of a number of ranks would send and hold for a model, by the closed forms. Runs nothing.

import type { Command } from "commander";
import { UserError } from "../backend/errors.ts";
import { shardedExtents } from "../nn/extents.ts";
import { trainingBytes } from "../nn/footprint.ts";
import { totalCount, trainingTraffic } from "../nn/traffic.ts";
import { type MeshShape, maxRanks, meshShape, requireLegal, shapesOf } from "../parallel/shape.ts";
import { jsonOption, wholeNumber } from "./common.ts";
import { addModelOptions, type ModelFlags, modelOf } from "./model-flags.ts";
import { bytesText, countText, Output } from "./output.ts";
import { addWireOption, type WireFlags, wireText } from "./wire.ts";

const defaultSize = 4;

export function addLayouts(program: Command): void {
  const command = addModelOptions(
    program
      .command("layouts")
      .description("legal layouts of a number of ranks for a model, with what each rank would receive and hold"),
  )
    .option("--mesh-size <number>", "ranks", String(defaultSize))
    .addOption(jsonOption())
    .action(runLayouts);
  addWireOption(command);
}

interface LayoutsFlags extends ModelFlags, WireFlags {
  meshSize: string;
  json?: boolean;
}

function runLayouts(flags: LayoutsFlags): void {
  const { dtype, wire, recompute } = flags;
  const output = new Output(flags.json === true);
  const { config, batch, context } = modelOf(flags);
  const size = wholeNumber("mesh-size", flags.meshSize, defaultSize);
  if (size > maxRanks) throw new UserError(`got --mesh-size ${size}, need at most ${maxRanks}`);
  const run = { batch, context, accumulate: 1, recompute, dtype, wire };
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

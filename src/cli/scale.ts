// `shardgrad scale`: how a training step scales over numbers of devices that are not there, for several layouts.

import { resolve } from "node:path";
import { type Command, Option } from "commander";
import { UserError } from "../backend/errors.ts";
import { parameterCount } from "../nn/config.ts";
import { type LayoutName, layoutNames, type MeshShape, maxRanks, shapesOf } from "../parallel/shape.ts";
import type { SimulationProgress } from "../plan/progress.ts";
import { parametersOf } from "../plan/record-step.ts";
import { type Growth, growths, type ScaleProblem, type ScaleRefusal, type ScaleRow, scale } from "../plan/scale.ts";
import { jsonOption, wholeNumber } from "./common.ts";
import { csvText } from "./csv.ts";
import { prepareOutput, writeWhole } from "./files.ts";
import { addModelOptions, type ModelFlags, modelOf } from "./model-flags.ts";
import { countText, everyTwoSeconds, gibNumber, Output, progressText, secondsText } from "./output.ts";
import { addProfileOption, type ProfileFlags, profileOf } from "./profiles.ts";
import { scalePage } from "./scale-page.ts";
import { addWireOption, type WireFlags, wireText } from "./wire.ts";

interface ScaleFlags extends ModelFlags, WireFlags, ProfileFlags {
  devices: string;
  layouts: string;
  mode: "strong" | "weak";
  grow?: Growth;
  accumulate: string;
  all?: boolean;
  csv?: string;
  html?: string;
  json?: boolean;
}

export function addScale(program: Command): void {
  const command = addModelOptions(
    program
      .command("scale")
      .description("strong and weak scaling of a training step over numbers of devices that are not there, by layout"),
    { batch: "sequences in a micro-batch" },
  );
  addProfileOption(addWireOption(command))
    .option("--devices <numbers>", "numbers of devices, one rank on each; the model is that of the least", "1,4,8,16")
    .option("--layouts <names>", `of ${scaledLayouts.join(", ")}`, "1d,2d,2.5d")
    .addOption(
      new Option("--mode <name>", "strong: the same model and batch; weak: they grow with the devices")
        .choices(["strong", "weak"])
        .default("strong"),
    )
    .addOption(
      new Option(
        "--grow <what>",
        "weak: batch with the devices (the default), width with their square root, or both with their square root",
      ).choices(growths),
    )
    .option("--accumulate <number>", "micro-batches, of --batch sequences each, in a step", "1")
    .option("--all", "every legal mesh, not only the fastest of each layout")
    .option("--csv <file>", "writes the table as comma-separated values")
    .option("--html <file>", "writes the table and its plots as a page that needs nothing else")
    .addOption(jsonOption())
    .action(runScale);
}

const scaledLayouts = layoutNames.filter((name) => name !== "serial");

async function runScale(flags: ScaleFlags): Promise<void> {
  const output = new Output(flags.json === true);
  const { config, batch, context } = modelOf(flags);
  const accumulate = wholeNumber("accumulate", flags.accumulate, 1);
  const { recompute, dtype, wire, mode } = flags;
  const problem: ScaleProblem = {
    config,
    parameters: parametersOf({ batch, context, accumulate, recompute, dtype, wire }),
    devices: countsOf(flags.devices),
    layouts: layoutsOf(flags.layouts),
    growth: growthOf(flags),
    profile: await profileOf(flags),
  };
  await prepare(flags);
  const { growth, profile } = problem;
  const what = `${mode} scaling${growth ? `, ${growthText[growth]}` : ""}`;
  const model = `${countText(parameterCount(config))} parameters, ${countText(batch * context * accumulate)} tokens a step${wireText(wire)}, ${dtype}`;
  output.say(`${what}; on ${devicesText(problem.devices[0])} ${model}; ${profile.name}: ${profile.description}`);
  const columns = columnsOf(problem);
  output.say(
    "efficiency and MFU in %; computing, exposed and idle in % of the step; received and memory in GiB of a rank",
  );
  output.say(lineOf(columns, ([title]) => title));
  const told: ScaleRow[] = [];
  const refused: ScaleRefusal[] = [];
  const tell = everyTwoSeconds(output);
  const progress = ({ layout, dims }: MeshShape, how: SimulationProgress) =>
    tell(() => `${layout} on ${dims.join("x")}: ${progressText(how)}`);
  for await (const found of scale(problem, progress)) {
    for (const row of found.rows) {
      if (!row.best && flags.all !== true) continue;
      told.push(row);
      output.event({ event: "scaled", mode, ...(growth && { grow: growth }), ...row });
      output.say(lineOf(columns, ([, , cell]) => cell(row)));
    }
    for (const each of found.refused) {
      refused.push(each);
      output.event({ event: "refused", mode, ...(growth && { grow: growth }), ...each });
    }
  }
  for (const each of refused) output.say(`not ${refusedText(each)}`);
  if (told.length === 0) throw new UserError("none of these layouts is legal on any of these numbers of devices");
  if (flags.csv !== undefined) {
    await writeWhole(flags.csv, csvText(csvRows({ told, refused }, { mode, grow: growth })));
    output.say(`table: ${flags.csv}`);
  }
  if (flags.html !== undefined) {
    const about = { ...config, batch, context, accumulate, dtype, wire, recompute, profile: profile.name };
    await writeWhole(flags.html, scalePage({ what, model, profile, about, rows: told, refused }));
    output.say(`page: ${flags.html}`);
  }
}

const growthText: Record<Growth, string> = {
  batch: "the batch grows with the devices: the work of a device stays",
  width: "width and heads grow with the square root of the devices: a device's parameters of blocks stay",
  both: "width, heads and batch grow with the square root of the devices: a device's parameters of blocks and activations stay",
};

/** @throws UserError for anything but numbers of devices, each once */
function countsOf(text: string): number[] {
  const counts = text.split(",").map((part) => wholeNumber("devices", part));
  const most = Math.max(...counts);
  if (most > maxRanks) throw new UserError(`got --devices ${text}, need at most ${maxRanks}`);
  if (new Set(counts).size < counts.length) throw new UserError(`got --devices ${text}, need each number once`);
  return counts.sort((a, b) => a - b);
}

function layoutsOf(text: string): LayoutName[] {
  const asked = text.split(",");
  const unknown = asked.find((name) => !scaledLayouts.some((layout) => layout === name));
  if (unknown !== undefined || new Set(asked).size < asked.length)
    throw new UserError(`got --layouts ${text || '""'}, need some of ${scaledLayouts.join(", ")}, each once`);
  return scaledLayouts.filter((layout) => asked.includes(layout));
}

function growthOf({ mode, grow }: ScaleFlags): Growth | undefined {
  if (mode === "weak") return grow ?? "batch";
  if (grow === undefined) return undefined;
  throw new UserError(`got --grow ${grow} with --mode strong, where nothing grows; use --mode weak`);
}

async function prepare({ csv, html }: ScaleFlags): Promise<void> {
  if (csv !== undefined && html !== undefined && resolve(csv) === resolve(html))
    throw new UserError(`got ${csv} for --csv and --html; use two names`);
  for (const file of [csv, html]) if (file !== undefined) await prepareOutput(file);
}

const devicesText = (count: number): string => `${countText(count)} ${count === 1 ? "device" : "devices"}`;

/** Columns of the table: how wide they are, since rows are told as they come, and what is in them. Shares of the step's time are in the mean
 *  of all devices. */
function columnsOf({ growth, devices }: Pick<ScaleProblem, "growth" | "devices">): Column[] {
  const mesh = Math.max(4, ...devices.flatMap(shapesOf).map(({ dims }) => dims.join("x").length));
  const share = (of: (row: ScaleRow) => number) => (row: ScaleRow) => (100 * of(row)).toFixed(1);
  const ofStep = (of: (row: ScaleRow) => number) => share((row) => of(row) / row.seconds);
  return [
    ["devices", 7, ({ devices: count }) => countText(count)],
    ["layout", -6, ({ layout }) => layout],
    ["mesh", -mesh, ({ dims }) => dims.join("x")],
    // What does not grow is in the line above.
    ...(growth === "batch" || growth === "both" ? [["batch", 5, ({ batch }) => countText(batch)] as Column] : []),
    ...(growth === "width" || growth === "both" ? [["width", 6, ({ width }) => countText(width)] as Column] : []),
    ["step", 7, ({ seconds }) => secondsText(seconds, { digits: 3 })],
    ...(growth ? [] : [["tokens/s", 9, ({ tokensPerSecond }) => countText(tokensPerSecond)] as Column]),
    ["efficiency", 10, ({ efficiency }) => (efficiency === undefined ? "no room" : (100 * efficiency).toFixed(1))],
    ["computing", 9, ofStep(({ computingSeconds }) => computingSeconds)],
    ["exposed", 7, ofStep(({ exposedSeconds }) => exposedSeconds)],
    ["idle", 4, ofStep(({ idleSeconds }) => idleSeconds)],
    ["MFU", 5, share(({ mfu }) => mfu)],
    ["received", 8, ({ bytesReceived }) => gibNumber(bytesReceived)],
    ["memory", 6, ({ memoryBytes }) => gibNumber(memoryBytes.total)],
  ];
}

/** Its title, its width, below 0 where texts begin on the left, and its cell of a row. */
type Column = readonly [title: string, width: number, cell: (row: ScaleRow) => string];

const lineOf = (columns: readonly Column[], cell: (column: Column) => string): string =>
  columns
    .map((column) => (column[1] < 0 ? cell(column).padEnd(-column[1]) : cell(column).padStart(column[1])))
    .join(" ")
    .trimEnd();

const refusedText = ({ devices, layout, why }: ScaleRefusal): string => `${layout} on ${devicesText(devices)}: ${why}`;

function csvRows(
  { told, refused }: { told: readonly ScaleRow[]; refused: readonly ScaleRefusal[] },
  run: { mode: string; grow: string | undefined },
) {
  const legal = told.map(({ dims, memoryBytes, ranks: _, ...row }) => ({
    ...{ ...run, devices: row.devices, layout: row.layout, mesh: dims.join("x"), legal: true, why: "" },
    ...{ ...row, memoryBytes: memoryBytes.total },
  }));
  const rest = refused.map(({ dims, ...row }) => ({
    ...{ ...run, ...row, mesh: dims?.join("x") ?? "", legal: false },
  }));
  return [...legal, ...rest];
}

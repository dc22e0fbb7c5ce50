// `shardgrad plan`: which layout on which mesh, for a model on devices that are not there.

import type { Command } from "commander";
import { UserError } from "../backend/errors.ts";
import type { MeshShape } from "../parallel/shape.ts";
import { stepRun } from "../plan/figures.ts";
import { parametersOf } from "../plan/record-step.ts";
import { nothingLegal, type PlanChoice, searchPlan } from "../plan/search.ts";
import type { PlanRefusal } from "../plan/shape-search.ts";
import { utilization } from "../plan/simulate.ts";
import { jsonOption, wholeNumber } from "./common.ts";
import { addModelOptions, type ModelFlags, modelDefaults, modelOf } from "./model-flags.ts";
import { countText, everyTwoSeconds, gibNumber, Output, secondsText } from "./output.ts";
import { addProfileOption, type ProfileFlags, profileOf } from "./profiles.ts";
import { addWireOption, type WireFlags } from "./wire.ts";

interface PlanFlags extends Omit<ModelFlags, "batch" | "recompute">, WireFlags, ProfileFlags {
  batch: string;
  devices: string;
  memory?: string;
  json?: boolean;
}

const defaultDevices = 8;

export function addPlan(program: Command): void {
  const command = addModelOptions(
    program
      .command("plan")
      .description("the fastest layouts and meshes for a model on a number of devices, by simulating those that fit"),
    { batch: "sequences in a whole step, of all micro-batches; or some numbers of them: 32,64,128", recompute: false },
  );
  addProfileOption(addWireOption(command))
    .option("--devices <number>", "devices, one rank on each", String(defaultDevices))
    .option("--memory <GiB>", "of one device (default: the profile's)")
    .addOption(jsonOption())
    .action(runPlan);
}

async function runPlan(flags: PlanFlags, command: Command): Promise<void> {
  const output = new Output(flags.json === true);
  const batches = batchesOf(flags.batch);
  const { config, context } = modelOf({ ...flags, batch: String(batches[0]) });
  const profile = await profileOf(flags);
  const devices = wholeNumber("devices", flags.devices, defaultDevices);
  const memoryBytes = flags.memory === undefined ? profile.device.memoryBytes.value : memoryOf(flags.memory);
  const { dtype, wire } = flags;
  const parameters = parametersOf({ batch: batches[0], context, accumulate: 1, recompute: false, dtype, wire });
  const tell = everyTwoSeconds(output);
  const problem = { config, parameters, batches, devices, memoryBytes, profile };
  const found = await searchPlan(problem, (what) => tell(() => `looking at ${what}`));
  const { choices, refused } = found;
  const common = { profile: profile.name, devices };
  const tellRefused = (refusal: PlanRefusal, why: string) => {
    const { shape, batch, leastBytes } = refusal;
    // Neither is the same for all ways that were looked at.
    const { accumulate: _, recompute: __, ...run } = stepRun({ config, parameters: { ...parameters, batch } });
    const { layout, dims } = shape;
    output.event({ event: "refused", layout, dims, ...common, ...run, why, leastBytes });
  };
  const best = choices.at(0);
  if (!best) {
    for (const each of refused) tellRefused(each, whyNot(each, memoryBytes));
    if (refused.every(({ leastBytes }) => leastBytes === undefined)) throw new UserError(nothingLegal(found, devices));
    const least = Math.min(...refused.map(({ leastBytes = Number.POSITIVE_INFINITY }) => leastBytes));
    throw new UserError(
      `nothing fits ${roomText(memoryBytes)} a device; the least that would is ${needText(least)}, with ${nameOf(refused.find(({ leastBytes }) => leastBytes === least)!.shape)}`,
    );
  }
  const rows = choices.map((choice) => {
    const {
      shape,
      batch,
      accumulate,
      recompute,
      seconds,
      tokensPerSecond,
      memoryBytes: held,
      parts,
      loss,
      why,
    } = choice;
    const run = { ...parameters, batch: batch / accumulate, accumulate, recompute };
    const mfu = utilization({ config, parameters: run }, { profile, devices, seconds });
    const { computingSeconds, hiddenSeconds, exposedSeconds, idleSeconds } = parts;
    output.event({
      ...{ event: "choice", layout: shape.layout, dims: shape.dims, ...common },
      // batch is this command's, microBatch what simulate and train call it.
      ...{ ...stepRun({ config, parameters: run }), batch, microBatch: run.batch },
      ...{ seconds, tokensPerSecond, memoryBytes: held, mfu },
      ...{ computingSeconds, hiddenSeconds, exposedSeconds, idleSeconds, loss, why },
    });
    return [
      ...[shape.layout, shape.dims.join("x"), `${accumulate} x ${batch / accumulate}`, recompute ? "yes" : "no"],
      ...[secondsText(seconds), countText(tokensPerSecond)],
      ...[...[computingSeconds, exposedSeconds, idleSeconds].map((part) => part / seconds), mfu].map(percent),
      gibNumber(held),
    ];
  });
  output.say("batches: micro-batches x sequences; computing, exposed messages and idle: % of the step; GiB of a rank");
  for (const line of table(head, rows)) output.say(line);
  for (const choice of choices.slice(1)) output.say(`${wayText(choice)}: ${choice.why}`);
  for (const each of refused) {
    const why = whyNot(each, memoryBytes);
    tellRefused(each, why);
    const sequences = batches.length > 1 ? ` with ${each.batch} sequences` : "";
    output.say(`not ${nameOf(each.shape)}${sequences}: ${why}`);
  }
  output.say(`best: npx shardgrad simulate ${[...given(command), ...describe(best)].map(shellWord).join(" ")}`);
}

const head = [
  ...["layout", "mesh", "batches", "recompute", "step", "tokens/s"],
  ...["computing", "exposed", "idle", "MFU", "GiB"],
];

const percent = (share: number): string => (100 * share).toFixed(1);

/** A choice among others. */
const wayText = ({ shape, accumulate, batch, recompute }: PlanChoice): string =>
  `${nameOf(shape)}, ${accumulate} x ${batch / accumulate}${recompute ? ", recomputed" : ""}`;

const nameOf = ({ layout, dims }: MeshShape): string => `${layout} ${dims.join("x")}`;

/** What a choice is to simulate. */
function describe({ shape, accumulate, recompute, batch }: PlanChoice): string[] {
  const flags = ["--layout", shape.layout, "--mesh", shape.dims.join("x"), "--batch", String(batch / accumulate)];
  if (accumulate > 1) flags.push("--accumulate", String(accumulate));
  if (recompute) flags.push("--recompute");
  return flags;
}

/** Those of a choice, and those that simulate does not have. */
const notHandedOn = new Set(["batch", "devices", "memory", "json"]);

/** Flags of model and profile that say another thing than their default. */
function given(command: Command): string[] {
  const values = command.opts<Record<string, unknown>>();
  return command.options.flatMap((option) => {
    const value = values[option.attributeName()];
    if (notHandedOn.has(option.attributeName()) || value === option.defaultValue) return [];
    return [String(option.long), String(value)];
  });
}

/** As a POSIX shell reads it. */
const shellWord = (text: string): string =>
  /^[\w./:@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;

const whyNot = ({ why, leastBytes }: PlanRefusal, memoryBytes: number): string =>
  leastBytes === undefined
    ? why
    : `it takes at least ${needText(leastBytes)} a device, and there are ${roomText(memoryBytes)}`;

/** What is needed is rounded up, and what is there down: --memory with the number told is enough. */
const needText = (bytes: number): string => gibText(bytes, "ceil");
const roomText = (bytes: number): string => gibText(bytes, "floor");

const gibText = (bytes: number, roundingMode: "ceil" | "floor"): string =>
  `${(bytes / 2 ** 30).toLocaleString("en-US", { maximumSignificantDigits: 3, useGrouping: false, roundingMode })} GiB`;

/** @throws UserError for anything but numbers of sequences, each once */
function batchesOf(text: string): number[] {
  const batches = text.split(",").map((part) => wholeNumber("batch", part, modelDefaults.batch));
  if (new Set(batches).size < batches.length) throw new UserError(`got --batch ${text}, need each number once`);
  return batches;
}

/** @throws UserError for what is no amount of memory */
function memoryOf(text: string): number {
  const gib = /^\d+(\.\d+)?$/.test(text) ? Number(text) : 0;
  if (gib > 0 && gib <= 2 ** 20) return gib * 2 ** 30;
  throw new UserError(`got --memory ${text}, need GiB above 0 and up to ${2 ** 20}, e.g. 16`);
}

/** Columns as wide as their widest cell. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((cells) => cells[column].length)));
  return [head, ...rows].map((cells) =>
    cells.map((cell, column) => (column < 2 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]))).join("  "),
  );
}

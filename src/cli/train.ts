// `shardgrad train`: plans, opens a backend, follows the run, reports. The run itself is train/trainer.ts.

import { resolve } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { type Command, Option } from "commander";
import { UserError } from "../backend/errors.ts";
import { trainOnMesh } from "../cluster/launch.ts";
import type { StepRange } from "../cluster/tracer.ts";
import { parameterCount } from "../nn/config.ts";
import { Recorder, type Timeline } from "../trace/timeline.ts";
import { TrainControls } from "../train/controls.ts";
import type { DoneEvent } from "../train/events.ts";
import {
  addBackendOptions,
  addLinkOption,
  addMeshOptions,
  addTuneOption,
  type BackendFlags,
  jsonOption,
  type LinkFlags,
  meshText,
  type OpenRanks,
  openRanks,
} from "./common.ts";
import { prepareOutput, writeWhole } from "./files.ts";
import { type NumberFlagName, numberFlags, parseNumberFlag } from "./flags.ts";
import { bytesText, countText, durationText, Output } from "./output.ts";
import { planTrain, type TrainFlags, type TrainPlan } from "./plan.ts";
import { framingLine, Progress, trafficLine } from "./progress.ts";
import { remember, type TrainRecord } from "./record.ts";
import { renderReport } from "./report.ts";
import {
  addCheckpointOptions,
  asSaved,
  type CheckpointFlags,
  prepareSaving,
  readResumed,
  type Saving,
} from "./resume.ts";
import {
  addTraceOption,
  addTraceStepsOption,
  prepareTrace,
  stepsText,
  type TraceFlags,
  traceSteps,
  writeTrace,
} from "./trace.ts";
import { addWireOption, wireText } from "./wire.ts";

/** Where the run on the bundled text leaves its report. */
const defaultReport = "out/report.html";

export function addTrain(program: Command): void {
  const command = program
    .command("train")
    .description("train a GPT-2 or a Llama on a text; without --data on this package's own sources");
  addRunOptions(command)
    .option("--report <file>", `writes the run as one HTML page (default without --data: ${defaultReport})`)
    .addOption(jsonOption())
    .action(runTrain);
  addTraceStepsOption(addTraceOption(addCheckpointOptions(command)));
  addTuneOption(addBackendOptions(addLinkOption(addMeshOptions(command))));
}

/** What is trained on what, and how. */
export function addRunOptions(command: Command): Command {
  command
    .option("--data <file>", "UTF-8 text; its first 90% trains, the rest validates")
    .option("--config <file>", "the model's config.json in Hugging Face's fields; other flags override it")
    .addOption(new Option("--arch <name>", "architecture (default: gpt2)").choices(["gpt2", "llama"]))
    .addOption(new Option("--tokenizer <name>", "what a token is").choices(["char", "byte"]).default("char"));
  for (const [name, flag] of Object.entries(numberFlags)) {
    const fallback = "fallback" in flag ? ` (default: ${flag.fallback})` : "";
    command.option(`--${name} <number>`, flag.help + fallback);
  }
  return addWireOption(command)
    .option("--bias", "biases in products and norms, gpt2 only (default)")
    .option("--no-bias", "leaves every bias out, as nanoGPT does")
    .addOption(
      new Option("--activation <name>", "gpt2's: exact, or its tanh approximation (default: gelu_new)").choices([
        "gelu",
        "gelu_new",
      ]),
    )
    .option("--recompute", "computes activations again in the backward pass: less memory, more time", false)
    .addOption(
      new Option(
        "--dtype <type>",
        "how matrices and activations are stored; f16 where webgpu has shader-f16, else f32. Sums and the weights' masters are f32",
      )
        .choices(["f32", "f16"])
        .default("f32"),
    );
}

/** Options as commander hands them over: texts, names in camel case. */
interface TrainOptions extends Omit<TrainFlags, "numbers">, BackendFlags, LinkFlags, TraceFlags, CheckpointFlags {
  json: boolean;
  report?: string;
}

async function runTrain(options: TrainOptions & Record<string, unknown>, command: Command): Promise<void> {
  const output = new Output(options.json);
  const resumed = options.resume === undefined ? undefined : await readResumed(options.resume);
  const given = (name: string) => command.getOptionValueSource(name) === "cli";
  const flags = flagsOf(options);
  const plan = await planTrain(resumed ? asSaved(flags, { resumed, given }) : flags, resumed);
  const reportPath = options.report ?? (options.data === undefined ? defaultReport : undefined);
  if (reportPath !== undefined) {
    for (const input of [options.data, options.config, options.resume])
      if (input !== undefined && resolve(input) === resolve(reportPath))
        throw new UserError(`got --report ${reportPath}, which is an input of this run; use another file`);
    await prepareOutput(reportPath);
  }
  await prepareTrace(options, [options.data, options.config, options.resume, reportPath]);
  const saving = await prepareSaving(options, [options.data, options.config, reportPath, options.trace]);
  const before = resumed?.head.step ?? 0;
  const traced =
    options.trace === undefined ? undefined : traceSteps(options, { steps: plan.parameters.steps, before });
  let timeline: Timeline | undefined;

  const { where, note, dispose } = await openRanks(options);
  try {
    const record = recordOf(plan, note);
    output.say(note);
    try {
      timeline = await follow(plan, { where, record, output, traced, saving });
    } catch (error) {
      record.failure = error instanceof Error ? error.message : String(error);
      throw error;
    } finally {
      if (reportPath !== undefined && record.steps.length > 0) await writeWhole(reportPath, renderReport(record));
    }
    if (record.sample !== undefined) output.say(`\n${printable(record.sample)}\n`);
    if (record.done) {
      const { steps, validationLoss, peakBytes, durationMs } = record.done;
      const early = steps < plan.parameters.steps;
      const earlier = before > 0 ? `, ${before} of them before,` : "";
      const ended = early ? `ended at step ${steps}` : `${steps} ${steps === 1 ? "step" : "steps"}${earlier}`;
      // The last line above it, of some random batches, may say another number.
      const of = early ? "" : " of the whole split";
      output.say(
        `${ended} in ${durationText(durationMs)}, validation loss${of} ${validationLoss.toFixed(4)}, peak memory ${bytesText(peakBytes.total)}${scalingText(record.done)}`,
      );
    }
    if (plan.shape.size > 1) output.say(trafficLine(record.steps));
    if (record.done?.sent?.elementBytes) output.say(framingLine(record.done.sent));
    if (reportPath !== undefined && record.steps.length > 0) output.say(`report: ${reportPath}`);
    if (saving) output.say(`checkpoint: ${saving.path}; --resume ${saving.path} goes on from it`);
    if (options.trace !== undefined && traced)
      await writeTrace(options.trace, { timeline: timeline ?? new Recorder(), what: stepsText(traced), output });
  } finally {
    dispose();
  }
}

/** What a run adds to its last line where gradients are f16, stored or on their way. */
function scalingText({ lossScale, skippedSteps }: DoneEvent): string {
  if (lossScale === undefined) return "";
  return `, loss scale ${lossScale}, ${skippedSteps} ${skippedSteps === 1 ? "step" : "steps"} skipped`;
}

/** Options as commander hands them over, with their numbers read. */
export const flagsOf = (options: Omit<TrainFlags, "numbers"> & object): TrainFlags => ({
  ...options,
  numbers: numbersOf(options as unknown as Record<string, unknown>),
});

function numbersOf(options: Record<string, unknown>): TrainFlags["numbers"] {
  const numbers: TrainFlags["numbers"] = {};
  for (const name of Object.keys(numberFlags) as NumberFlagName[]) {
    const text = options[name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())];
    if (typeof text === "string") numbers[name] = parseNumberFlag(name, text);
  }
  return numbers;
}

function recordOf({ textName, tokenizer, corpus, config }: TrainPlan, note: string): TrainRecord {
  const textTokens = corpus.tokens.train.length + corpus.tokens.validation.length;
  return {
    textName,
    textTokens,
    vocabSize: tokenizer.vocabSize,
    tokenizer: tokenizer.name,
    config,
    note,
    steps: [],
    evals: [],
  };
}

/** Runs to the end, or to the first Ctrl-C: then with what it has. Returns the timeline of the traced steps, if the run came to them. */
async function follow(
  { config, tokenizer, corpus, parameters, shape, textName, resume }: TrainPlan,
  options: {
    where: OpenRanks["where"];
    record: TrainRecord;
    output: Output;
    traced: StepRange | undefined;
    saving: Saving | undefined;
  },
): Promise<Timeline | undefined> {
  const { where, record, output, traced, saving } = options;
  output.say(
    `${config.model_type} of ${countText(parameterCount(config))} parameters on ${textName}: ${countText(record.textTokens)} ${tokenizer.name} tokens, ${tokenizer.vocabSize} different`,
  );
  if (shape.size > 1) output.say(`${meshText(shape)}${wireText(parameters.wire)}`);
  const progress = new Progress(output, { steps: parameters.steps });
  const controller = new AbortController();
  const controls = new TrainControls();
  let timeline: Timeline | undefined;
  let sampling = false;
  let done = 0;
  // Ctrl-C pressed twice while a step kept the thread busy arrives twice in one turn; later, without a listener, the second
  // ends the process by itself, however busy it is.
  const interrupt = () => {
    if (controller.signal.aborted) process.exit(130);
    controller.abort();
    if (saving) controls.checkpoint();
    setImmediate(() => process.off("SIGINT", interrupt));
    progress.stop();
    if (sampling) return output.say("ending the sample here; press Ctrl-C again to stop at once");
    const under = done < parameters.steps ? "this step, a short evaluation" : "the evaluation";
    output.say(`ending after ${under} and the sample; press Ctrl-C again to stop at once`);
  };
  process.on("SIGINT", interrupt);
  try {
    const { signal } = controller;
    // Only who asks for something pays for being able to.
    const steered = (traced || saving) && { controls };
    const run = { config, tokenizer, corpus, parameters, shape, signal, resume, ...steered };
    for await (const event of trainOnMesh({ ...where, ...run })) {
      if (event.event === "timeline") {
        timeline = event.timeline;
        continue;
      }
      if (event.event === "checkpoint" && saving) {
        const { step, bytes } = event;
        await writeWhole(saving.path, bytes);
        output.event({ event: "checkpoint", step, file: saving.path, bytes: bytes.length });
        continue;
      }
      if (event.event === "start" || event.event === "step") {
        done = event.event === "start" ? (event.resumedAt ?? 0) : event.step;
        if (traced?.from === done + 1) controls.trace(traced.to - traced.from + 1);
        const due = done === parameters.steps || (saving?.every !== undefined && done % saving.every === 0);
        if (saving && due && event.event === "step") controls.checkpoint();
      }
      remember(record, event);
      if (event.event === "start") {
        if (event.dtypeNote !== undefined) output.say(event.dtypeNote);
        if (event.resumedAt !== undefined) output.say(`going on from step ${event.resumedAt} of ${parameters.steps}`);
      }
      // The sample has them all.
      if (event.event !== "token") output.event(event);
      progress.show(event);
      // A backend that never waits for a device would leave the event loop no turn to see Ctrl-C in.
      await turn();
      if (controller.signal.aborted) await turn();
      sampling = event.event === "token";
    }
  } finally {
    progress.stop();
    process.off("SIGINT", interrupt);
  }
  return timeline;
}

/** Generated text without the control characters that would move a terminal's cursor. */
function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "\ufffd");
}

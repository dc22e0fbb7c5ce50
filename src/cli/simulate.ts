// `shardgrad simulate`: one training step of a model on devices that are not there.

import type { Command } from "commander";
import { purposes } from "../backend/memory.ts";
import { totals } from "../comm/ledger.ts";
import { parameterCount } from "../nn/config.ts";
import { deviceBytes, figuresOf, type SimulatedStep, type StepFigures } from "../plan/figures.ts";
import { requireSpread } from "../plan/machine.ts";
import type { TellProgress } from "../plan/progress.ts";
import { countOrigins } from "../plan/quantity.ts";
import { parametersOf } from "../plan/record-step.ts";
import { recordRanks, simulate } from "../plan/simulate.ts";
import { addMeshOptions, jsonOption, type MeshFlags, meshText, shapeOf, wholeNumber } from "./common.ts";
import { addFaultOptions, type FaultFlags, faultsOf, tellFaults } from "./faults.ts";
import { addModelOptions, type ModelFlags, modelOf } from "./model-flags.ts";
import { bytesText, countText, everyTwoSeconds, Output, progressText, secondsText } from "./output.ts";
import { addProfileOption, type ProfileFlags, profileOf } from "./profiles.ts";
import { addSimulatedTraceOptions, type SimulatedTraceFlags, traceOf } from "./simulated-trace.ts";
import { addWireOption, type WireFlags, wireText } from "./wire.ts";

interface SimulateFlags extends ModelFlags, MeshFlags, WireFlags, ProfileFlags, FaultFlags, SimulatedTraceFlags {
  devices?: string;
  accumulate: string;
  json?: boolean;
}

export function addSimulate(program: Command): void {
  const command = addModelOptions(
    program
      .command("simulate")
      .description("one training step of a model on devices that are not there: time, traffic and memory"),
    { batch: "sequences in a micro-batch" },
  );
  addProfileOption(addWireOption(addMeshOptions(command)))
    .option("--devices <number>", "devices; ranks are spread over them (default: one for each rank)")
    .option("--accumulate <number>", "micro-batches, of --batch sequences each, in a step", "1");
  addSimulatedTraceOptions(addFaultOptions(command)).addOption(jsonOption()).action(runSimulate);
}

async function runSimulate(flags: SimulateFlags): Promise<void> {
  const output = new Output(flags.json === true);
  const { config, batch, context } = modelOf(flags);
  const shape = shapeOf(flags);
  const profile = await profileOf(flags);
  const devices = flags.devices === undefined ? shape.size : wholeNumber("devices", flags.devices);
  requireSpread(shape.size, devices);
  const accumulate = wholeNumber("accumulate", flags.accumulate, 1);
  const { recompute, dtype, wire } = flags;
  const parameters = parametersOf({ batch, context, accumulate, recompute, dtype, wire });
  const asked = faultsOf(flags, devices);
  const trace = await traceOf(flags, shape);
  const step = { shape, config, parameters, watchOf: trace?.watchOf };
  const progress = progressOf(output);
  const record = await recordRanks(step, progress);
  const { datasheet, measured, estimate } = countOrigins(profile);
  output.say(
    `${profile.name}: ${profile.description}; of its numbers ${datasheet} are from datasheets, ${measured} measured, ${estimate} estimated`,
  );
  const watch = trace?.follow(record.program);
  const run = simulate(record, { profile, devices, watch, faults: asked?.faults, progress });
  const simulated = { shape, config, parameters, profile, devices, record, run };
  const figures = figuresOf(simulated);
  const { mfu, tokens, tokensPerSecond } = figures;
  output.event({ event: "simulated", ...figures });
  output.say(
    `${countText(parameterCount(config))} parameters, ${countText(tokens)} tokens a step, ${meshText(shape)}${wireText(wire)}, ${devices} devices`,
  );
  for (const line of lines(simulated, figures)) output.say(line);
  output.say(
    `step ${secondsText(run.seconds)}, ${countText(tokensPerSecond)} tokens/s, ${(100 * mfu).toFixed(1)}% of the devices' ${dtype} products (MFU)`,
  );
  if (asked) await tellFaults(output, { record, profile, devices, asked, seconds: run.seconds });
  await trace?.write(output, run.seconds);
}

/** A line now and then, for what takes longer than two seconds. */
function progressOf(output: Output): TellProgress {
  const tell = everyTwoSeconds(output);
  return (progress) => (progress.done === progress.all ? undefined : tell(() => progressText(progress)));
}

function lines(step: SimulatedStep, figures: StepFigures): string[] {
  const { record, profile } = step;
  const { seconds, computingSeconds, hiddenSeconds, exposedSeconds, idleSeconds } = figures;
  const percent = (part: number) => `${secondsText(part)} (${((100 * part) / seconds).toFixed(1)}%)`;
  const { bytesReceived, messagesReceived, memoryBytes } = figures;
  const held = purposes.map((purpose) => `${purpose} ${bytesText(memoryBytes[purpose])}`).join(", ");
  const memory = deviceBytes(step);
  const room = profile.device.memoryBytes.value;
  const sums = totals(record.entries[0], ({ purpose }) => purpose);
  const purposesText = [...sums]
    .sort(([, a], [, b]) => b.words - a.words)
    .map(([purpose, { messages, words }]) => `${purpose} ${countText(words)} words in ${countText(messages)}`)
    .join(", ");
  return [
    `a device: computing ${percent(computingSeconds)}, messages hidden under it ${percent(hiddenSeconds)}, exposed ${percent(exposedSeconds)}, idle ${percent(idleSeconds)}`,
    `a rank receives at most ${bytesText(bytesReceived)} in ${countText(messagesReceived)} messages; rank 0: ${purposesText || "nothing"}`,
    `a rank holds at most ${bytesText(memoryBytes.total)}: peaks of ${held}`,
    memory <= room
      ? `a device needs ${bytesText(memory)} of its ${bytesText(room)}`
      : `does not fit: a device needs ${bytesText(memory)}, and has ${bytesText(room)}`,
  ];
}

// The command `shardgrad`: parses, hands over to a command's own file, and turns errors into exit codes.
// 0 done, 1 the run failed, 2 what was asked for cannot be done, 130 from a second Ctrl-C.

import { Command, CommanderError } from "commander";
import { DeviceError, UserError } from "../backend/errors.ts";
import { RendezvousError } from "../cluster/rendezvous/connection.ts";
import { CommunicationError } from "../comm/link.ts";
import { DivergedError } from "../train/events.ts";
import { addCalibrate } from "./calibrate.ts";
import { addDemo } from "./demo.ts";
import { addInfo, packageVersion } from "./info.ts";
import { addJoin } from "./join.ts";
import { addLayouts } from "./layouts.ts";
import { addMatmul } from "./matmul.ts";
import { harmless } from "./output.ts";
import type { TrainFlags } from "./plan.ts";
import { addPlan } from "./plan-search.ts";
import { addProfiles } from "./profiles.ts";
import { servedTraining, trainInRoom } from "./room.ts";
import { addScale } from "./scale.ts";
import { addServe, type ServeFlags } from "./serve.ts";
import { addSimulate } from "./simulate.ts";
import { addRunOptions, addTrain, flagsOf } from "./train.ts";
import { addVerify } from "./verify.ts";

const program = new Command("shardgrad")
  .description("trains transformers on WebGPU, in Node as in the browser")
  .version(await packageVersion())
  .addHelpText(
    "after",
    `
Exit codes: 0 done, 1 the run failed, 2 what was asked for cannot be done, 130 stopped at once by a second Ctrl-C.`,
  )
  .exitOverride()
  .configureOutput({ outputError: (message, write) => write(oneLine(message)) });
// Commands take over exitOverride and the output settings of the program they are added to.
addTrain(program);
addVerify(program);
addMatmul(program);
addLayouts(program);
addSimulate(program);
addScale(program);
addPlan(program);
addCalibrate(program);
addRunOptions(addServe<ServeFlags & TrainFlags>(program, (options, shape) => servedTraining(flagsOf(options), shape)));
addJoin(program, trainInRoom);
addDemo(program);
addProfiles(program);
addInfo(program);

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = explain(error);
}

/** commander puts its suggestion on a line of its own, and JSON's complaints quote the file with its line breaks. */
function oneLine(message: string): string {
  return `${harmless(message.trim()).replaceAll("\n", " ")}\n`;
}

/** Says what went wrong where commander has not yet, and returns the exit code. */
function explain(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  const kinds = [UserError, DeviceError, DivergedError, CommunicationError, RendezvousError];
  const known = kinds.some((kind) => error instanceof kind);
  // Anything else is our bug, and its stack is what a report of it needs.
  const text = known ? oneLine((error as Error).message) : `${error instanceof Error ? error.stack : error}\n`;
  process.stderr.write(`error: ${text}`);
  return error instanceof UserError ? 2 : 1;
}

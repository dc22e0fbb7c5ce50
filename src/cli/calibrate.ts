// `shardgrad calibrate`: a hardware profile of the device at hand.

import { hostname } from "node:os";
import type { Command } from "commander";
import { calibrate } from "../plan/calibrate.ts";
import { addBackendOptions, type BackendFlags, openBackend } from "./common.ts";
import { prepareOutput, writeWhole } from "./files.ts";
import { Output } from "./output.ts";

interface CalibrateFlags extends BackendFlags {
  out: string;
  name?: string;
}

export function addCalibrate(program: Command): void {
  addBackendOptions(
    program
      .command("calibrate")
      .description("measures the device at hand, and writes a hardware profile that simulate, scale and plan take"),
  )
    .option("--out <file>", "where the profile goes", "profile.json")
    .option("--name <name>", "what the profile is called (default: the machine's name)")
    .action(runCalibrate);
}

async function runCalibrate(flags: CalibrateFlags): Promise<void> {
  const output = new Output(false);
  await prepareOutput(flags.out);
  const { backend, note } = await openBackend(flags);
  output.say(note);
  try {
    const profile = await calibrate(backend, {
      name: flags.name ?? hostname(),
      tell: (what) => output.say(`measuring ${what}`),
    });
    await writeWhole(flags.out, `${JSON.stringify(profile, undefined, 2)}\n`);
    output.say(`${flags.out} is what --profile takes`);
  } finally {
    backend.dispose();
  }
}

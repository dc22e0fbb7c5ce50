// `shardgrad calibrate`: a hardware profile of the device at hand.

import { hostname } from "node:os";
import type { Command } from "commander";
import { ranksOf } from "../cluster/ranks.ts";
import { calibrate, networkFrom } from "../plan/calibrate.ts";
import {
  addBackendOptions,
  addLinkOption,
  type BackendFlags,
  type LinkFlags,
  openBackend,
  openRanks,
} from "./common.ts";
import { prepareOutput, writeWhole } from "./files.ts";
import { Output } from "./output.ts";

interface CalibrateFlags extends BackendFlags, LinkFlags {
  out: string;
  name?: string;
}

export function addCalibrate(program: Command): void {
  const command = program
    .command("calibrate")
    .description("measures the device at hand, and writes a hardware profile that simulate, scale and plan take");
  addLinkOption(addBackendOptions(command))
    .option("--out <file>", "where the profile goes", "profile.json")
    .option("--name <name>", "what the profile is called (default: the machine's name)")
    .action(runCalibrate);
}

async function runCalibrate(flags: CalibrateFlags): Promise<void> {
  const output = new Output(false);
  await prepareOutput(flags.out);
  const network = flags.link === "loopback" ? undefined : await networkOver(flags, output);
  const { backend, note } = await openBackend(flags);
  output.say(note);
  try {
    const profile = await calibrate(backend, {
      name: flags.name ?? hostname(),
      network,
      tell: (what) => output.say(`measuring ${what}`),
    });
    await writeWhole(flags.out, `${JSON.stringify(profile, undefined, 2)}\n`);
    output.say(`${flags.out} is what --profile takes`);
  } finally {
    backend.dispose();
  }
}

/** f32 elements of a message whose bytes are what it takes. */
const longWords = 2 ** 20;

/** What is between ranks that have a device each, by that link. */
async function networkOver(flags: CalibrateFlags, output: Output) {
  output.say(`measuring messages between two ranks, --link ${flags.link}`);
  const { where, dispose } = await openRanks(flags);
  try {
    const options = { words: [1, longWords], rounds: 30 };
    const [[short, long]] = await ranksOf(where).run("roundTrips", { size: 2, options });
    return networkFrom(`two ranks of one machine, --link ${flags.link}`, { short, long, longBytes: 4 * longWords });
  } finally {
    dispose();
  }
}

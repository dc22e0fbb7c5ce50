// `shardgrad calibrate`: a hardware profile of the device at hand.

import { hostname } from "node:os";
import type { Command } from "commander";
import { UserError } from "../backend/errors.ts";
import { ranksOf } from "../cluster/ranks.ts";
import { calibrate } from "../plan/calibrate.ts";
import { networkFrom } from "../plan/fit.ts";
import type { NetworkLevel, Profile } from "../plan/profile.ts";
import {
  addBackendOptions,
  addLinkOption,
  type BackendFlags,
  iceOfLink,
  jsonOption,
  type LinkFlags,
  openBackend,
  openRanks,
} from "./common.ts";
import { prepareOutput, writeWhole } from "./files.ts";
import { Output, secondsText } from "./output.ts";

interface CalibrateFlags extends BackendFlags, LinkFlags {
  out: string;
  name?: string;
  json: boolean;
}

export function addCalibrate(program: Command): void {
  const command = program
    .command("calibrate")
    .description("measures the device at hand, and writes a hardware profile that simulate, scale and plan take");
  addLinkOption(addBackendOptions(command))
    .option("--out <file>", "where the profile goes", "profile.json")
    .option("--name <name>", "what the profile is called (default: the machine's name)")
    .addOption(jsonOption())
    .action(runCalibrate);
}

async function runCalibrate(flags: CalibrateFlags): Promise<void> {
  const { name = hostname() } = flags;
  if (name.trim() === "") throw new UserError('got --name "", need what the profile is called');
  await iceOfLink(flags);
  const output = new Output(flags.json);
  await prepareOutput(flags.out);
  const network = flags.link === "loopback" ? undefined : await networkOver(flags, output);
  const { backend, note } = await openBackend(flags);
  output.say(note);
  try {
    const profile = await calibrate(backend, {
      name,
      network,
      tell: (what) => output.say(`measuring ${what}`),
    });
    await writeWhole(flags.out, `${JSON.stringify(profile, undefined, 2)}\n`);
    output.event({ event: "calibrated", file: flags.out, profile });
    output.say(`measured ${measuredText(profile, network)}`);
    output.say(`${flags.out} is what --profile takes`);
  } finally {
    backend.dispose();
  }
}

/** The rates that tell most of a device, and of what is between two where that was measured. */
function measuredText({ device }: Profile, network: NetworkLevel | undefined): string {
  const { products, bytesPerSecond, launchSeconds, hostKernelSeconds, hostMessageSeconds, localMessageSeconds } =
    device;
  const message = (hostMessageSeconds?.value ?? 0) + (localMessageSeconds?.value ?? 0);
  return [
    `large products ${(products.f32.flopsPerSecond.value / 1e9).toFixed(1)} GFLOP/s`,
    `memory ${(bytesPerSecond.value / 1e9).toFixed(1)} GB/s`,
    `a kernel ${secondsText(launchSeconds.value)} to run and ${secondsText(hostKernelSeconds?.value ?? 0)} to ask for`,
    `a message ${secondsText(message)} between ranks on the device`,
    ...(network ? [betweenText(network)] : []),
  ].join(", ");
}

const betweenText = ({ latencySeconds, bytesPerSecond }: NetworkLevel): string =>
  `${secondsText(latencySeconds.value)} and ${(bytesPerSecond.value / 1e9).toFixed(3)} GB/s between devices`;

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

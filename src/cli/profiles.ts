// `shardgrad profiles`: the hardware that simulations know, and where its numbers are from. And how commands are given one.

import type { Command } from "commander";
import { type Profile, type ProfilePart, parsePart, partNamed, whole } from "../plan/profile.ts";
import { networkNames, profileNames } from "../plan/profiles.ts";
import { countOrigins, type Quantity, visitQuantities } from "../plan/quantity.ts";
import { jsonOption } from "./common.ts";
import { named, parseJson, readInput } from "./files.ts";
import { Output } from "./output.ts";

export interface ProfileFlags {
  profile: string;
  network?: string;
}

export const addProfileOption = (command: Command): Command =>
  command
    .option("--profile <name>", `devices and network: a file, or one of ${profileNames.join(", ")}`, "a100")
    .option("--network <name>", `what is between the devices: a file, or one of ${networkNames.join(", ")}`);

/** @throws UserError for a name that no profile has, or a file that is none */
export async function profileOf({ profile, network }: ProfileFlags): Promise<Profile> {
  return whole(await partOf(profile, "device"), network === undefined ? undefined : await partOf(network, "network"));
}

async function partOf(text: string, field: "device" | "network"): Promise<ProfilePart> {
  if (!/[./\\]/.test(text)) return partNamed(text, field);
  const json = parseJson(await readInput(text, "a hardware profile"), text);
  return named(text, () => parsePart(json));
}

export function addProfiles(program: Command): void {
  program
    .command("profiles")
    .description("devices and networks that simulate, scale and plan know; with a name or a file, all its numbers")
    .argument("[name]", "a profile's name or file")
    .addOption(jsonOption())
    .action(runProfiles);
}

async function runProfiles(name: string | undefined, { json }: { json?: boolean }): Promise<void> {
  const output = new Output(json === true);
  if (name !== undefined) return tell(await partOf(name, profileNames.includes(name) ? "device" : "network"), output);
  const names = [...new Set([...profileNames, ...networkNames])];
  const width = Math.max(...names.map((each) => each.length));
  for (const each of names) {
    const part = partNamed(each, profileNames.includes(each) ? "device" : "network");
    output.event({ event: "profile", ...summary(part) });
    output.say(`${each.padEnd(width)}  ${part.device ? "" : "network: "}${part.description}`);
  }
}

const summary = (part: ProfilePart) => ({
  ...{ name: part.name, description: part.description, kind: part.device ? "device" : "network" },
  origins: countOrigins(part),
});

/** Every number, and where it is from. */
function tell(part: ProfilePart, output: Output): void {
  output.event({ event: "profile", ...summary(part), sources: part.sources, ...parts(part) });
  output.say(`${part.name}: ${part.description}`);
  const rows: [string, Quantity][] = [];
  visitQuantities(parts(part), (path, quantity) => rows.push([path, quantity]));
  const paths = Math.max(...rows.map(([path]) => path.length));
  for (const [path, { value, origin, note }] of rows)
    output.say(`  ${path.padEnd(paths)}  ${numberText(value).padStart(9)}  ${origin}${note ? `: ${note}` : ""}`);
  for (const [i, { name, devices }] of (part.network ?? []).entries())
    output.say(`  network.${i} is ${name}, between ${devices === undefined ? "any number of" : devices} devices`);
  if (part.overlap !== undefined)
    output.say(`  messages ${part.overlap ? "go on beside kernels" : "wait for kernels, and kernels for them"}`);
  for (const source of part.sources) output.say(`  source: ${source}`);
}

const parts = ({ device, network, overlap }: ProfilePart) => ({ device, network, overlap });

const numberText = (value: number): string =>
  value === 0 || (value >= 1e-3 && value < 1e5) ? String(value) : value.toExponential().replace("+", "");

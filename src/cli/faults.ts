// `simulate`'s options for what goes wrong: slow devices, links that get worse, times that differ from run to run.

import type { Command } from "commander";
import { UserError } from "../backend/errors.ts";
import { distributionOf, histogramOf } from "../plan/distribution.ts";
import type { DegradedLink, Faults } from "../plan/faults.ts";
import type { Profile } from "../plan/profile.ts";
import { type StepRecord, simulate } from "../plan/simulate.ts";
import { wholeNumber } from "./common.ts";
import { fallbackOf, parseNumberFlag } from "./flags.ts";
import { countText, everyTwoSeconds, type Output, secondsText } from "./output.ts";

export interface FaultFlags {
  slow?: string;
  degrade?: string;
  jitter?: string;
  runs?: string;
  seed?: string;
}

export const addFaultOptions = (command: Command): Command =>
  command
    .option("--slow <device:factor>", "kernels of a device take so many times as long: 3:2.5; several apart by commas")
    .option(
      "--degrade <a-b:factor@seconds>",
      "messages between two devices that begin at that second of the step or later take so many times as long: 0-8:4@0.5; several apart by commas",
    )
    .option("--jitter <spread>", "each kernel and message takes longer or shorter by chance, by about that share: 0.1")
    .option("--runs <number>", "with --jitter: runs that differ, and the distribution of their step times")
    .option("--seed <number>", `of the jitter (default: ${fallbackOf("seed")})`);

/** What the options say. */
interface AskedFaults {
  faults: Faults;
  runs: number;
}

/** More take days. */
const mostRuns = 100_000;

/** undefined when none is given.
 *  @throws UserError for devices that are not there, and numbers out of range */
export function faultsOf(flags: FaultFlags, devices: number): AskedFaults | undefined {
  const { slow, degrade, jitter } = flags;
  for (const name of ["runs", "seed"] as const)
    if (flags[name] !== undefined && jitter === undefined)
      throw new UserError(
        `got --${name} ${flags[name]} without --jitter, need it too: without it all runs are the same`,
      );
  if (slow === undefined && degrade === undefined && jitter === undefined) return undefined;
  const runs = flags.runs === undefined ? 1 : wholeNumber("runs", flags.runs);
  if (runs > mostRuns) throw new UserError(`got --runs ${runs}, need at most ${mostRuns}`);
  return {
    runs,
    faults: {
      slow: slowOf(slow, devices),
      degraded: degradedOf(degrade, devices),
      jitter: jitter === undefined ? 0 : number(jitter, { flag: `--jitter ${jitter}`, least: 0, most: 2 }),
      seed: flags.seed === undefined ? fallbackOf("seed") : parseNumberFlag("seed", flags.seed),
      run: 0,
    },
  };
}

function slowOf(text: string | undefined, devices: number): Map<number, number> {
  const slow = new Map<number, number>();
  for (const part of text?.split(",") ?? []) {
    const flag = `--slow ${part || '""'}`;
    const [, name, factor] = /^(\d+):(.+)$/.exec(part) ?? [];
    if (name === undefined) throw new UserError(`got ${flag}, need a device and a factor, such as 3:2.5`);
    const device = deviceNamed(name, { flag, devices });
    if (slow.has(device)) throw new UserError(`got ${flag}, and device ${device} before; need each device once`);
    slow.set(device, number(factor, { flag, least: leastFactor, most: mostFactor }));
  }
  return slow;
}

function degradedOf(text: string | undefined, devices: number): DegradedLink[] {
  const links: DegradedLink[] = [];
  for (const part of text?.split(",") ?? []) {
    const flag = `--degrade ${part || '""'}`;
    const [, a, b, factor, from = "0"] = /^(\d+)-(\d+):([^@]+)(?:@(.+))?$/.exec(part) ?? [];
    if (a === undefined)
      throw new UserError(
        `got ${flag}, need two devices, a factor and a second, such as 0-8:4@0.5 (or 0-8:4 from 0 on)`,
      );
    const ends = [deviceNamed(a, { flag, devices }), deviceNamed(b, { flag, devices })].sort((x, y) => x - y);
    if (ends[0] === ends[1]) throw new UserError(`got ${flag}, need two different devices`);
    const fromSeconds = number(from, { flag, least: 0, most: 1e9 });
    if (links.some((link) => `${link.devices}` === `${ends}` && link.fromSeconds === fromSeconds))
      throw new UserError(`got ${flag}, and the same link from the same second before; need one factor`);
    const times = number(factor, { flag, least: leastFactor, most: mostFactor });
    links.push({ devices: [ends[0], ends[1]], factor: times, fromSeconds });
  }
  return links;
}

/** Beyond these a factor is a slip. Below 1 a device or link is faster. */
const [leastFactor, mostFactor] = [1e-3, 1e6];

function deviceNamed(text: string, { flag, devices }: { flag: string; devices: number }): number {
  const device = Number(text);
  if (device < devices) return device;
  throw new UserError(`got ${flag}, need devices from 0 to ${devices - 1}: there are ${devices}`);
}

function number(text: string, { flag, least, most }: { flag: string; least: number; most: number }): number {
  const value = /^(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  throw new UserError(`got ${flag}: ${text} is no number from ${least} to ${most}; need one`);
}

/** Bins of the histogram. */
const bins = 12;

/** What faults do to a step that takes `seconds` with them. Where they differ from run to run, step times of all runs. */
export async function tellFaults(
  output: Output,
  run: { record: StepRecord; profile: Profile; devices: number; asked: AskedFaults; seconds: number },
): Promise<void> {
  const { record, profile, devices, asked, seconds } = run;
  const { faults, runs } = asked;
  const faultless = simulate(record, { profile, devices }).seconds;
  output.event({ event: "faults", seconds, faultlessSeconds: faultless });
  output.say(
    `without the faults the step takes ${secondsText(faultless)}; with them ${(seconds / faultless).toFixed(3)} times as long`,
  );
  if (runs === 1) return;
  const tell = everyTwoSeconds(output);
  const times = [seconds];
  while (times.length < runs) {
    times.push(simulate(record, { profile, devices, faults: { ...faults, run: times.length } }).seconds);
    await tell(() => `${countText(times.length)} of ${countText(runs)} runs`);
  }
  tellTimes(output, { times, seed: faults.seed });
}

/** As a person and as a program reads them. */
function tellTimes(output: Output, { times, seed }: { times: readonly number[]; seed: number }): void {
  const { min, median, p90, p99, max, mean } = distributionOf(times);
  const histogram = histogramOf(times, { bins });
  output.event({
    ...{ event: "distribution", runs: times.length, seed },
    ...{ minSeconds: min, medianSeconds: median, p90Seconds: p90, p99Seconds: p99, maxSeconds: max, meanSeconds: mean },
    histogram: histogram.map(({ from, to, count }) => ({ fromSeconds: from, toSeconds: to, runs: count })),
    runSeconds: times,
  });
  const named = { least: min, median, mean, "90% within": p90, "99% within": p99, most: max };
  const said = Object.entries(named).map(([name, value]) => `${name} ${secondsText(value)}`);
  output.say(`steps of ${countText(times.length)} runs: ${said.join(", ")}`);
  if (min === max) return;
  const most = Math.max(...histogram.map(({ count }) => count));
  // As many as tell two edges apart.
  const digits = Math.min(12, 2 + Math.ceil(Math.log10((bins * max) / (max - min))));
  for (const { from, to, count } of histogram) {
    const [first, last] = [from, to].map((edge) => secondsText(edge, { digits }).padStart(digits + 4));
    output.say(`  ${first} to ${last}  ${"#".repeat(Math.ceil((40 * count) / most)).padEnd(40)} ${countText(count)}`);
  }
}

// Where a command's words go: stdout is for people, or, with --json, for JSON lines and nothing else, while people
// read stderr.

import type { SimulationProgress } from "../plan/progress.ts";
import { reason } from "./files.ts";

export { bytesText, gibNumber, secondsText } from "../plan/units.ts";

export class Output {
  /** the stream people read */
  readonly human: NodeJS.WriteStream;
  constructor(readonly json: boolean) {
    this.human = json ? process.stderr : process.stdout;
    // A reader that went away (| head) wants no more: that is no failure.
    process.stdout.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EPIPE") process.exit(0);
      process.stderr.write(`error: stdout: ${reason(error)}; need room for what this command prints\n`);
      process.exit(1);
    });
    // Words for people that nobody reads are lost, and the events on stdout go on.
    process.stderr.on("error", () => {});
  }

  /** A line for people, or some. */
  say(line: string): void {
    this.human.write(`${harmless(line)}\n`);
  }

  /** One event for programs; nothing without --json. */
  event(event: object): void {
    if (this.json) process.stdout.write(`${JSON.stringify(event)}\n`);
  }
}

/** Without what would move a terminal's cursor, or more: other ranks and servers have written some of it. */
export const harmless = (text: string): string => text.replace(/[^\P{C}\n\t]/gu, " ");

/** A time span: 4.2 s, 3:07, 2:03:07. */
export function durationText(ms: number): string {
  if (!Number.isFinite(ms)) return "-";
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  const two = (n: number) => String(n).padStart(2, "0");
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

/** A count with thousands apart: 12,345. */
export const countText = (count: number): string => Math.round(count).toLocaleString("en-US");

/** Of what takes longer than two seconds: says how far it is, two seconds after it said so last, and lets Ctrl-C through. */
export function everyTwoSeconds(output: Output): (line: () => string) => Promise<void> {
  let last = performance.now();
  return async (line) => {
    if (performance.now() - last < 2000) return;
    last = performance.now();
    output.say(line());
    await new Promise((resolve) => setImmediate(resolve));
  };
}

/** How far a simulation is, as a line. */
export const progressText = ({ doing, done, all, kernels }: SimulationProgress): string =>
  `${countText(done)} of ${countText(all)} ${doingText[doing]}${kernels === undefined ? "" : `, kernel ${countText(kernels)} of the next`}`;

const doingText = {
  recording: "ranks have made their step",
  matching: "messages have found their receives",
  replaying: "ops have run on the simulated clock",
};

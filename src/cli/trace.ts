// `--trace`: a run's timeline as a file that ui.perfetto.dev opens, and what it says in a line.

import { resolve } from "node:path";
import { type Command, Option } from "commander";
import { UserError } from "../backend/errors.ts";
import type { StepRange } from "../cluster/tracer.ts";
import { chromeTrace } from "../trace/chrome.ts";
import { overlap } from "../trace/overlap.ts";
import type { Timeline } from "../trace/timeline.ts";
import { prepareOutput, writeWhole } from "./files.ts";
import { countText, type Output } from "./output.ts";

export interface TraceFlags {
  trace?: string;
  traceSteps?: string;
}

export const addTraceOption = (command: Command): Command =>
  command.option("--trace <file>", "writes when each rank computed, sent and received, for ui.perfetto.dev");

/** The first step compiles shaders, the second meets its buffers again: from the third on a step is like the others. */
const usual: StepRange = { from: 3, to: 5 };

export const addTraceStepsOption = (command: Command): Command =>
  command.addOption(
    new Option(
      "--trace-steps <range>",
      `with --trace: which steps, such as 20-22 (default: ${usual.from}-${usual.to})`,
    ),
  );

/** @param run its steps, the first `before` of which were taken in an earlier run
 *  @throws UserError for what is no range, or lies outside the run */
export function traceSteps({ traceSteps: text }: TraceFlags, run: { steps: number; before: number }): StepRange {
  const { steps, before } = run;
  const nearest = (step: number) => Math.min(before + step, steps);
  if (text === undefined) return { from: nearest(usual.from), to: nearest(usual.to) };
  const [, first, last = first] = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(text) ?? [];
  const range = { from: Number(first), to: Number(last) };
  if (range.from > before && range.from <= range.to && range.to <= steps) return range;
  throw new UserError(
    `got --trace-steps ${text || '""'}, need a step or a range such as 3-5 in this run's ${before + 1}-${steps}`,
  );
}

/** "steps 3 to 5" */
export const stepsText = ({ from, to }: StepRange): string => (from === to ? `step ${from}` : `steps ${from} to ${to}`);

/** Writes the timeline of a run whose trace file `prepareTrace` has looked at. */
export async function writeTrace(path: string, options: { timeline: Timeline; what: string; output: Output }) {
  const { timeline, what, output } = options;
  await writeWhole(path, chromeTrace(timeline, { what }));
  const { slices, dropped, withinUs } = timeline;
  const { underWayUs, computingUs } = overlap(slices);
  const hidden = underWayUs > 0 ? computingUs / underWayUs : undefined;
  output.event({ event: "trace", file: path, slices: slices.length, dropped, ...(hidden !== undefined && { hidden }) });
  const left = dropped > 0 ? `, ${countText(dropped)} more left out` : "";
  const clock = withinUs > 0 ? `, kernels' times to ${Math.ceil(withinUs)} us` : "";
  output.say(
    `trace: ${path}, ${countText(slices.length)} events of ${what}${left}${clock}; open it at ui.perfetto.dev`,
  );
  if (slices.length === 0) output.say(`trace: nothing to show, as the run ended before ${what}`);
  else if (!slices.some(({ track }) => track === "computing"))
    output.say("trace: no times of kernels: this adapter has no timestamp queries");
  else if (hidden !== undefined)
    output.say(`trace: ${Math.round(100 * hidden)}% of the time in which messages were under way, their rank computed`);
}

/** @throws UserError when the file cannot be written, or is one of the run's others */
export async function prepareTrace(flags: TraceFlags, others: readonly (string | undefined)[] = []): Promise<void> {
  const { trace, traceSteps: steps } = flags;
  if (trace !== undefined) {
    if (others.some((other) => other !== undefined && resolve(other) === resolve(trace)))
      throw new UserError(`got --trace ${trace}, which is another file of this run; use another name`);
    await prepareOutput(trace);
  } else if (steps !== undefined)
    throw new UserError(`got --trace-steps ${steps} without --trace; need --trace FILE with it`);
}

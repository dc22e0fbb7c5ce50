// `simulate --trace`: the timeline of a simulated step, of some of its ranks where they are many.

import type { Command } from "commander";
import { UserError } from "../backend/errors.ts";
import type { StepProgram } from "../plan/program.ts";
import type { OpWatch } from "../plan/recorder.ts";
import type { Watch } from "../plan/replay.ts";
import { OpNotes, StepTracer } from "../plan/trace.ts";
import { countText, type Output } from "./output.ts";
import { addTraceOption, prepareTrace, type TraceFlags, writeTrace } from "./trace.ts";

export interface SimulatedTraceFlags extends Pick<TraceFlags, "trace"> {
  traceRanks?: string;
}

/** A viewer's window shows the tracks of about as many. */
const usualRanks = 8;

export const addSimulatedTraceOptions = (command: Command): Command =>
  addTraceOption(command).option(
    "--trace-ranks <ranks>",
    `with --trace: which ranks, such as 0-3,16 (default: the first ${usualRanks})`,
  );

/** undefined without --trace.
 *  @throws UserError for ranks that are not there, or a file that cannot be written */
export async function traceOf(
  { trace, traceRanks }: SimulatedTraceFlags,
  { size }: { size: number },
): Promise<SimulatedTrace | undefined> {
  if (trace === undefined) {
    if (traceRanks === undefined) return undefined;
    throw new UserError(`got --trace-ranks ${traceRanks} without --trace; need --trace FILE with it`);
  }
  const first = Array.from({ length: Math.min(size, usualRanks) }, (_, rank) => rank);
  const ranks = traceRanks === undefined ? first : ranksOf(traceRanks, size);
  await prepareTrace({ trace });
  return new SimulatedTrace(trace, { ranks, size });
}

function ranksOf(text: string, size: number): number[] {
  const ranks = new Set<number>();
  for (const part of text.split(",")) {
    const [, from, to = from] = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(part) ?? [];
    const [first, last] = [Number(from), Number(to)];
    // Not a number is not below anything either.
    if (!(first <= last && last < size))
      throw new UserError(
        `got --trace-ranks ${text || '""'}, need ranks of this mesh, 0 to ${size - 1}, such as 0-3,16`,
      );
    for (let rank = first; rank <= last; rank++) ranks.add(rank);
  }
  return [...ranks].sort((a, b) => a - b);
}

/** From before the ranks make their step to the file. */
class SimulatedTrace {
  readonly #file: string;
  readonly #ranks: readonly number[];
  readonly #size: number;
  readonly #notes: OpNotes;
  #tracer: StepTracer | undefined;

  constructor(file: string, { ranks, size }: { ranks: readonly number[]; size: number }) {
    this.#file = file;
    this.#ranks = ranks;
    this.#size = size;
    this.#notes = new OpNotes(ranks);
  }

  get watchOf(): (rank: number) => OpWatch | undefined {
    return this.#notes.watchOf;
  }

  follow(program: StepProgram): Watch {
    this.#tracer = new StepTracer(program, { notes: this.#notes });
    return this.#tracer.watch;
  }

  /** After a replay of that many seconds. */
  async write(output: Output, seconds: number): Promise<void> {
    const tracer = this.#tracer;
    if (!tracer) return;
    const shown = tracer.ranks.length;
    const what = `a simulated step${shown < this.#size ? ` of ${countText(shown)} of ${countText(this.#size)} ranks` : ""}`;
    await writeTrace(this.#file, { timeline: tracer.timeline(seconds), what, output });
    const out = this.#ranks.length - shown;
    if (out > 0)
      output.say(
        `trace: ${countText(out)} of the ranks asked for are left out, rank ${this.#ranks[shown]} the first of them: more events than a viewer takes`,
      );
    else if (shown < this.#size) output.say("trace: --trace-ranks says which ranks it shows");
  }
}

// A step from model to figures in one call, and its record once more on another machine.

import type { Timeline } from "../trace/timeline.ts";
import type { Faults } from "./faults.ts";
import { figuresOf, type SimulatedStep, type StepFigures } from "./figures.ts";
import type { Profile } from "./profile.ts";
import type { TellProgress } from "./progress.ts";
import type { StepToRecord } from "./record-step.ts";
import { recordRanks, simulate } from "./simulate.ts";
import { OpNotes, StepTracer } from "./trace.ts";

/** Devices that are not there. */
export interface SimulatedDevices {
  readonly profile: Profile;
  /** over which ranks are spread evenly; one for each rank when absent */
  readonly devices?: number;
  readonly faults?: Faults;
}

/** With its record, of some 70 bytes an op, which is no plain data to be sent about; its figures are. */
export interface FiguredStep extends SimulatedStep {
  readonly figures: StepFigures;
}

/** One training step of a model on a mesh. traceRanks: whose timeline is kept, those of them that fit into a viewer
 *  @throws UserError when model, batch, mesh and devices do not fit each other, or what is counted is no longer exact */
export async function simulateStep(
  step: StepToRecord & SimulatedDevices & { traceRanks?: readonly number[] },
  progress: TellProgress = () => undefined,
): Promise<FiguredStep & { timeline?: Timeline }> {
  const { shape, config, parameters, profile, devices = shape.size, faults, traceRanks } = step;
  const notes = traceRanks && new OpNotes(traceRanks);
  const record = await recordRanks({ shape, config, parameters, watchOf: notes?.watchOf }, progress);
  const tracer = notes && new StepTracer(record.program, { notes });
  const run = simulate(record, { profile, devices, faults, watch: tracer?.watch, progress });
  const simulated = { shape, config, parameters, profile, devices, record, run };
  return { ...simulated, figures: figuresOf(simulated), timeline: tracer?.timeline(run.seconds) };
}

/** A step that was simulated before, on other devices: what its ranks do is not found out again.
 *  @throws UserError when ranks do not spread evenly over the devices */
export function replayStep(
  step: Omit<SimulatedStep, "run">,
  on: SimulatedDevices,
  progress?: TellProgress,
): FiguredStep {
  const { shape, config, parameters, record } = step;
  const { profile, devices = shape.size, faults } = on;
  const run = simulate(record, { profile, devices, faults, progress });
  const simulated = { shape, config, parameters, profile, devices, record, run };
  return { ...simulated, figures: figuresOf(simulated) };
}

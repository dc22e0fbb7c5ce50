// One training step of a model on a mesh of devices that are not there: the step's own code says what is computed, sent and held, a
// profile how long that takes.

import type { BytesByPurpose } from "../backend/memory.ts";
import type { LedgerEntry } from "../comm/ledger.ts";
import type { ModelConfig } from "../nn/config.ts";
import { shardedExtents } from "../nn/extents.ts";
import { modelFlops } from "../nn/flops.ts";
import { requireLegal } from "../parallel/shape.ts";
import type { TrainParameters } from "../train/events.ts";
import { assemble } from "./assemble.ts";
import { type Faults, withFaults } from "./faults.ts";
import { machineOf } from "./machine.ts";
import type { Profile } from "./profile.ts";
import { kernelOp, type StepProgram } from "./program.ts";
import { type RankProgress, recordEach, type WatchOf } from "./record-ranks.ts";
import type { StepToRecord } from "./record-step.ts";
import { type Replay, replay, type Watch } from "./replay.ts";

export interface StepRecord {
  readonly program: StepProgram;
  /** what each rank receives */
  readonly entries: readonly (readonly LedgerEntry[])[];
  /** each rank's peak */
  readonly peakBytes: readonly (BytesByPurpose & { total: number })[];
}

export interface Simulated extends Replay {
  /** of all ranks, as work.ts counts them, recomputation included */
  readonly flops: number;
}

/** Every rank's step, by the trainer itself. watchOf: who is told of a rank's ops
 *  progress: told after each rank, and may pause
 *  @throws UserError when model, batch and mesh do not fit each other */
export async function recordRanks(
  step: StepToRecord & { watchOf?: WatchOf },
  progress: RankProgress = () => undefined,
): Promise<StepRecord> {
  const { shape, config, parameters, watchOf } = step;
  const { batch, context } = parameters;
  requireLegal(shape, { ...shardedExtents(config), batch, context });
  const { ranks, works } = await recordEach({ shape, config, parameters }, { watchOf, progress });
  return {
    program: assemble(
      ranks.map(({ record }) => record),
      works,
    ),
    entries: ranks.map(({ entries }) => entries),
    peakBytes: ranks.map(({ peakBytes }) => peakBytes),
  };
}

/** A recorded step in time. devices: as many ranks on each */
export function simulate(
  { program }: Pick<StepRecord, "program">,
  { profile, devices, watch, faults }: { profile: Profile; devices: number; watch?: Watch; faults?: Faults },
): Simulated {
  const { ranks, works, kinds, what } = program;
  const machine = machineOf(profile, { ranks, devices, works });
  const times = replay(program, faults ? withFaults(machine, { program, faults }) : machine, watch);
  let flops = 0;
  for (let op = 0; op < kinds.length; op++) if (kinds[op] === kernelOp) flops += works[what[op]].flops;
  return { ...times, flops };
}

/** Model FLOPs utilization: of what the devices' products could do in the time, the part that the model needs. */
export function utilization(
  { config, parameters }: { config: ModelConfig; parameters: TrainParameters },
  { profile, devices, seconds }: { profile: Profile; devices: number; seconds: number },
): number {
  const { batch, context, accumulate, dtype = "f32" } = parameters;
  const peak = profile.device.products[dtype].flopsPerSecond.value;
  return (accumulate * modelFlops(config, { batch, context })) / (seconds * devices * peak);
}

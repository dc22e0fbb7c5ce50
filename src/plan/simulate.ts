// One training step of a model on a mesh of devices that are not there: the step's own code says what is computed, sent and held, a
// profile how long that takes.

import { UserError } from "../backend/errors.ts";
import type { BytesByPurpose } from "../backend/memory.ts";
import type { LedgerEntry } from "../comm/ledger.ts";
import { layersOf, type ModelConfig } from "../nn/config.ts";
import { shardedExtents } from "../nn/extents.ts";
import { modelFlops } from "../nn/flops.ts";
import { trainingBytes } from "../nn/footprint.ts";
import { requireLegal } from "../parallel/shape.ts";
import type { TrainParameters } from "../train/events.ts";
import { assemble } from "./assemble.ts";
import { type Faults, withFaults } from "./faults.ts";
import { machineOf } from "./machine.ts";
import { countsOf, type KernelParts, kernelParts } from "./parts.ts";
import type { Profile } from "./profile.ts";
import type { StepProgram } from "./program.ts";
import type { TellProgress } from "./progress.ts";
import { type RecordOptions, recordEach } from "./record-ranks.ts";
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
  /** of all ranks, as work.ts counts them, recomputation included; beyond 2^53 the nearest that a number can be */
  readonly flops: number;
  /** what a device computes, faults left out */
  readonly kernels: KernelParts;
}

/** Every rank's step, by the trainer itself. watchOf: who is told of a rank's ops; threads: where steps are many
 *  @throws UserError when model, batch and mesh do not fit each other */
export async function recordRanks(
  step: StepToRecord & Omit<RecordOptions, "progress">,
  progress: TellProgress = () => undefined,
): Promise<StepRecord> {
  const { shape, config, parameters, watchOf, threads } = step;
  const { batch, context } = parameters;
  if (batch * context > maxTokens)
    throw new UserError(`got ${batch} x ${context} tokens in a micro-batch, at most ${maxTokens} can be simulated`);
  requireLegal(shape, { ...shardedExtents(config), batch, context });
  requireBlocks(shape.size * layersOf(config) * parameters.accumulate);
  // Before kernels are asked for sizes that are no whole numbers any more.
  requireExact(trainingBytes(config, { ...parameters, shape }).total);
  const { ranks, works } = await recordEach({ shape, config, parameters }, { watchOf, threads, progress });
  for (const { peakBytes, entries } of ranks)
    requireExact(
      Math.max(
        peakBytes.total,
        entries.reduce((sum, each) => sum + each.bytes, 0),
      ),
    );
  return {
    program: assemble(
      ranks.map(({ record }) => record),
      works,
      progress,
    ),
    entries: ranks.map(({ entries }) => entries),
    peakBytes: ranks.map(({ peakBytes }) => peakBytes),
  };
}

/** Ids of a micro-batch are in memory, 4 bytes a token. */
const maxTokens = 2 ** 28;

/** Each has 30 ops and more, of at most 2^31. */
const maxBlocks = 2 ** 26;

/** @param blocks of all ranks and micro-batches
 *  @throws UserError for more than can be simulated */
export function requireBlocks(blocks: number): void {
  if (blocks > maxBlocks)
    throw new UserError(
      `got ${blocks} blocks, of all ranks and micro-batches together, at most ${maxBlocks} can be simulated; use fewer layers, ranks or micro-batches`,
    );
}

/** @throws UserError when bytes of a rank's memory or messages are no longer whole numbers that JavaScript can tell apart */
function requireExact(bytes: number): void {
  if (bytes > Number.MAX_SAFE_INTEGER)
    throw new UserError(
      `a rank would hold or receive ${bytes.toExponential(1)} bytes, more than 2^53 can be counted exactly; use a smaller model, or more ranks`,
    );
}

export interface SimulateOptions {
  profile: Profile;
  /** as many ranks on each */
  devices: number;
  watch?: Watch;
  faults?: Faults;
  progress?: TellProgress;
}

/** A recorded step in time. */
export function simulate(
  { program }: Pick<StepRecord, "program">,
  { profile, devices, watch, faults, progress }: SimulateOptions,
): Simulated {
  const { ranks, works, kinds } = program;
  const machine = machineOf(profile, { ranks, devices, works });
  const all = kinds.length;
  const told = progress && ((done: number) => void progress({ doing: "replaying", done, all }));
  const times = replay(program, faults ? withFaults(machine, { program, faults }) : machine, {
    kernel: watch?.kernel,
    message: watch?.message,
    progress: told,
  });
  const counts = countsOf(program);
  // Exact, and then rounded once: a thousand ranks go beyond 2^53.
  const flops = works.reduce((sum, work, i) => sum + BigInt(work.flops) * BigInt(counts[i]), 0n);
  return { ...times, flops: Number(flops), kernels: kernelParts(program, { counts, machine }) };
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

// What a simulated step comes to, in numbers for programs and people.

import type { FloatType } from "../backend/buffer.ts";
import type { BytesByPurpose } from "../backend/memory.ts";
import { layersOf, type ModelConfig } from "../nn/config.ts";
import { shardedExtents } from "../nn/extents.ts";
import type { MeshShape } from "../parallel/shape.ts";
import type { TrainParameters } from "../train/events.ts";
import { type StepSplit, splitOf } from "./parts.ts";
import type { Profile } from "./profile.ts";
import { type Simulated, type StepRecord, utilization } from "./simulate.ts";

export interface SimulatedStep {
  readonly shape: MeshShape;
  readonly config: ModelConfig;
  readonly parameters: TrainParameters;
  readonly profile: Profile;
  readonly devices: number;
  readonly record: StepRecord;
  readonly run: Simulated;
}

/** Which model and step they are, named as on the command line. */
export interface StepRun {
  readonly arch: ModelConfig["model_type"];
  readonly layers: number;
  readonly width: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly ffn: number;
  readonly vocab: number;
  readonly context: number;
  /** sequences in a micro-batch */
  readonly batch: number;
  readonly accumulate: number;
  readonly recompute: boolean;
  readonly dtype: FloatType;
  readonly wire: FloatType;
}

export function stepRun({ config, parameters }: Pick<SimulatedStep, "config" | "parameters">): StepRun {
  const { context, batch, accumulate, recompute, dtype = "f32", wire = "f32" } = parameters;
  return {
    ...{ arch: config.model_type, layers: layersOf(config) },
    ...{ ...shardedExtents(config), vocab: config.vocab_size },
    ...{ context, batch, accumulate, recompute, dtype, wire },
  };
}

/** What is received and held: by the rank with the most. */
export interface StepFigures extends StepRun, StepSplit {
  readonly layout: MeshShape["layout"];
  readonly dims: readonly number[];
  readonly ranks: number;
  readonly devices: number;
  readonly profile: string;
  readonly seconds: number;
  readonly bytesReceived: number;
  readonly wordsReceived: number;
  readonly messagesReceived: number;
  readonly flops: number;
  readonly memoryBytes: BytesByPurpose & { total: number };
  /** its ranks' memory into a device's */
  readonly fits: boolean;
  readonly mfu: number;
  readonly tokens: number;
  readonly tokensPerSecond: number;
}

export function figuresOf(step: SimulatedStep): StepFigures {
  const { shape, devices, record, run, profile, config, parameters } = step;
  const { batch, context, accumulate } = parameters;
  const { seconds, flops } = run;
  const received = record.entries.map((entries) => ({
    words: entries.reduce((sum, { words }) => sum + words, 0),
    bytes: entries.reduce((sum, { bytes }) => sum + bytes, 0),
    messages: entries.reduce((sum, { messages }) => sum + messages, 0),
  }));
  const most = (of: (each: (typeof received)[number]) => number) =>
    received.reduce((m, each) => Math.max(m, of(each)), 0);
  const tokens = batch * context * accumulate;
  return {
    ...stepRun(step),
    ...{ layout: shape.layout, dims: shape.dims, ranks: shape.size, devices, profile: profile.name, seconds },
    ...splitOf(run),
    ...{ bytesReceived: most(({ bytes }) => bytes), wordsReceived: most(({ words }) => words) },
    ...{ messagesReceived: most(({ messages }) => messages), flops, memoryBytes: worst(record) },
    fits: deviceBytes(step) <= profile.device.memoryBytes.value,
    mfu: utilization({ config, parameters }, { profile, devices, seconds }),
    ...{ tokens, tokensPerSecond: tokens / seconds },
  };
}

/** The peak of the rank that holds most. */
const worst = ({ peakBytes }: StepRecord): BytesByPurpose & { total: number } =>
  peakBytes.reduce((most, each) => (each.total > most.total ? each : most));

/** What a device holds: its ranks' peaks together. */
export const deviceBytes = ({ record, shape, devices }: Pick<SimulatedStep, "record" | "shape" | "devices">): number =>
  (worst(record).total * shape.size) / devices;

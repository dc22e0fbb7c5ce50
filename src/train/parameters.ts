// Whether a training run's parameters are such: a room's plan comes from whoever opened the room, a checkpoint from anywhere.

import type { TrainParameters } from "./events.ts";

type Check = (value: unknown) => boolean;

const whole =
  (least: number, most: number): Check =>
  (value) =>
    Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most;
const size = whole(1, 2 ** 31 - 1);
const count = whole(0, 2 ** 31 - 1);
const notNegative: Check = (value) => typeof value === "number" && value >= 0 && value < Number.POSITIVE_INFINITY;
const fraction: Check = (value) => notNegative(value) && (value as number) < 1;
const floatType: Check = (value) => value === "f32" || value === "f16";
const absent =
  (or: Check): Check =>
  (value) =>
    value === undefined || or(value);

/** The command line's limits, of which flags.ts tells. */
const checks: Readonly<Record<keyof TrainParameters, Check>> = {
  batch: size,
  context: size,
  steps: size,
  learningRate: notNegative,
  minLearningRate: notNegative,
  warmup: count,
  beta1: fraction,
  beta2: fraction,
  weightDecay: notNegative,
  clip: notNegative,
  dropout: fraction,
  accumulate: size,
  recompute: (value) => typeof value === "boolean",
  lossBlocks: absent(size),
  dtype: absent(floatType),
  wire: absent(floatType),
  lossScale: absent((value) => notNegative(value) && value !== 0),
  seed: whole(0, 2 ** 32 - 1),
  evalEvery: count,
  evalBatches: count,
  sampleTokens: count,
};

export function isTrainParameters(value: unknown): value is TrainParameters {
  if (typeof value !== "object" || value === null) return false;
  const fields = value as Readonly<Record<string, unknown>>;
  return Object.entries(checks).every(([name, check]) => check(Object.hasOwn(fields, name) ? fields[name] : undefined));
}

// What every benchmark shares: contestants that take turns, medians with their spread, ratios.

import type { CheckpointTensors } from "../src/nn/model.ts";
import type { Task } from "./tasks.ts";

/** Somebody who does a task: each run ends when its result is on the host. */
export interface Contestant {
  run(): Promise<ArrayLike<number>>;
  dispose?(): void;
}

/** An engine on one device. */
export interface Engine {
  readonly name: string;
  readonly version: string;
  /** the device in the engine's words */
  readonly adapter: string;
  /** undefined where the engine has no way to do the task. `weights`: what the step's model starts from */
  prepare(task: Task, weights: CheckpointTensors): Promise<Contestant | undefined>;
  close(): void;
}

export interface Timing {
  readonly medianMs: number;
  readonly fastestMs: number;
  readonly slowestMs: number;
  readonly rounds: number;
}

/** Of an even number of values the upper one. */
export function summary(ms: readonly number[]): Timing {
  const sorted = ms.toSorted((p, q) => p - q);
  return {
    medianMs: sorted[sorted.length >> 1],
    fastestMs: sorted[0],
    slowestMs: sorted[sorted.length - 1],
    rounds: ms.length,
  };
}

/** Some engines' threads spin for a while after their work, on the cores the next one needs. */
const pauseMs = 10;
/** Short tasks take more turns than asked for, until this much time is spent or they had four times as many. */
const enoughMs = 600;

/** Times contestants in turn, so that a disturbance of the machine meets all of them; every other round backwards, so that what one leaves
 *  behind (garbage, threads not yet asleep) does not always meet the same other. Everything must have run before. */
export async function interleave(
  contestants: readonly Pick<Contestant, "run">[],
  { repeats }: { repeats: number },
): Promise<Timing[]> {
  const entrants = contestants.map((contestant) => ({ contestant, times: [] as number[] }));
  let spent = 0;
  for (let round = 0; round < repeats || (round < 4 * repeats && spent < enoughMs); round++) {
    for (const { contestant, times } of round % 2 === 0 ? entrants : entrants.toReversed()) {
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
      const started = performance.now();
      await contestant.run();
      times.push(performance.now() - started);
      spent += times[round];
    }
  }
  return entrants.map(({ times }) => summary(times));
}

/** exp of the mean logarithm; NaN of nothing. */
export const geometricMean = (values: readonly number[]): number =>
  Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);

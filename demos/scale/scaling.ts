// The same model on more and more devices: with one batch (strong scaling), or with as many sequences for each device (weak).

import type { Profile } from "shardgrad/plan";
import type { Figures } from "./figures.ts";
import type { Step, Steps } from "./steps.ts";
import { bestOfLayouts } from "./sweep.ts";
import type { StillWanted } from "./turns.ts";

export type Growth = "strong" | "weak";

export interface ScalePoint {
  readonly devices: number;
  /** sequences of a step; undefined where they would be no whole number */
  readonly batch: number | undefined;
  /** of each layout that is legal there the fastest mesh, of those that fit if any does */
  readonly best: readonly Figures[];
}

/** Powers of two up to twice as many as are in question, where that does not take too long; and the number in question. */
export function countsFor(devices: number): number[] {
  const powers: number[] = [];
  for (let count = 1; count <= Math.max(16, Math.min(mostBeyond, 2 * devices)); count *= 2) powers.push(count);
  return [...new Set([...powers, devices])].sort((a, b) => a - b);
}

/** Some seconds of simulating. */
const mostBeyond = 256;

export async function scaling(
  { config, parameters, devices, growth }: Pick<Step, "config" | "parameters"> & { devices: number; growth: Growth },
  context: {
    steps: Steps;
    profile: Profile;
    stillWanted: StillWanted;
    tell: (devices: number) => void;
  },
): Promise<ScalePoint[]> {
  const points: ScalePoint[] = [];
  for (const count of countsFor(devices)) {
    context.tell(count);
    const batch = growth === "strong" ? parameters.batch : (parameters.batch * count) / devices;
    if (!Number.isInteger(batch)) {
      points.push({ devices: count, batch: undefined, best: [] });
      continue;
    }
    const best = await bestOfLayouts({ config, parameters: { ...parameters, batch }, devices: count }, (step) =>
      context.steps.figures(step, context),
    );
    points.push({ devices: count, batch: batch * parameters.accumulate, best });
  }
  return points;
}

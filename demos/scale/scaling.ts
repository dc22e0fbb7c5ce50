// The same model on more and more devices: with one batch (strong scaling), or with as many sequences for each device (weak).

import { type MeshShape, type Profile, shapesOf } from "shardgrad/plan";
import { whyIllegal } from "./problem.ts";
import type { Figures, Step, Steps } from "./steps.ts";
import type { StillWanted } from "./turns.ts";

export type Growth = "strong" | "weak";

export interface ScalePoint {
  readonly devices: number;
  /** sequences of a step; undefined where they would be no whole number */
  readonly batch: number | undefined;
  /** of each layout that is legal there the fastest mesh, of those that fit if any does */
  readonly best: readonly Figures[];
}

/** Powers of two, and the number of devices in question. */
export function countsFor(devices: number): number[] {
  const powers: number[] = [];
  for (let count = 1; count <= Math.max(16, devices); count *= 2) powers.push(count);
  return [...new Set([...powers, devices])].sort((a, b) => a - b);
}

const better = (a: Figures, b: Figures): Figures =>
  a.fits === b.fits ? (b.seconds < a.seconds ? b : a) : a.fits ? a : b;

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
    const best = new Map<MeshShape["layout"], Figures>();
    for (const shape of shapesOf(count)) {
      if (whyIllegal(shape, { config, batch, context: parameters.context }) !== undefined) continue;
      const step = { shape, config, parameters: { ...parameters, batch } };
      const figures = await context.steps.figures(step, context);
      const known = best.get(shape.layout);
      best.set(shape.layout, known ? better(known, figures) : figures);
    }
    points.push({ devices: count, batch: batch * parameters.accumulate, best: [...best.values()] });
  }
  return points;
}

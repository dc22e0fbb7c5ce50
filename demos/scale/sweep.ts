// The same step with a slower and a faster network: where another layout wins. What ranks do is recorded once, and replayed for each.

import { type MeshShape, shapesOf } from "shardgrad/plan";
import { better, type Figures } from "./figures.ts";
import { profileOf, whyIllegal } from "./problem.ts";
import type { Question } from "./question.ts";
import type { Step, Steps } from "./steps.ts";
import type { StillWanted } from "./turns.ts";

export interface SweepPoint {
  /** times the profile's bandwidth */
  readonly bandwidth: number;
  /** of each layout the fastest mesh, of those that fit if any does */
  readonly best: readonly Figures[];
}

/** From a four-thousandth of NVLink, which is a good line between homes, to where links no longer matter. */
const bandwidths = Array.from({ length: 9 }, (_, i) => 4 ** (i - 6));

/** Each layout's fastest mesh of so many devices. */
export async function bestOfLayouts(
  { config, parameters, devices }: Pick<Step, "config" | "parameters"> & { devices: number },
  figuresOf: (step: Step) => Promise<Figures>,
): Promise<Figures[]> {
  const best = new Map<MeshShape["layout"], Figures>();
  for (const shape of shapesOf(devices)) {
    if (whyIllegal(shape, { config, ...parameters }) !== undefined) continue;
    const figures = await figuresOf({ shape, config, parameters });
    const known = best.get(shape.layout);
    best.set(shape.layout, known ? better(known, figures) : figures);
  }
  return [...best.values()];
}

export async function sweep(
  question: Question,
  { step, steps, stillWanted }: { step: Pick<Step, "config" | "parameters">; steps: Steps; stillWanted: StillWanted },
): Promise<SweepPoint[]> {
  const points: SweepPoint[] = [];
  for (const bandwidth of [...new Set([...bandwidths, question.bandwidth])].sort((a, b) => a - b)) {
    const profile = profileOf({ ...question, bandwidth });
    const best = await bestOfLayouts({ ...step, devices: question.devices }, (each) =>
      steps.figures(each, { profile, stillWanted }),
    );
    points.push({ bandwidth, best });
  }
  return points;
}

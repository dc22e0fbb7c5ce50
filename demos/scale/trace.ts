// What the first ranks of a simulated step do when: spans to be drawn, those that touch put together.

import { type MeshShape, type Profile, simulateStep } from "shardgrad/plan";
import { type Figures, wholeFigures } from "./figures.ts";
import { withLayers } from "./problem.ts";
import type { Step } from "./steps.ts";
import type { StillWanted } from "./turns.ts";

/** Starts and ends, in seconds, one after another. */
export type Spans = Float64Array;

export interface RankTrace {
  readonly rank: number;
  readonly computing: Spans;
  readonly sending: Spans;
  readonly receiving: Spans;
}

export interface StepTrace {
  readonly layout: MeshShape["layout"];
  readonly dims: readonly number[];
  readonly ranks: readonly RankTrace[];
  readonly seconds: number;
  /** shown, of the model's: a deep model's step is too long to look at */
  readonly layers: number;
  /** of the step that is shown; the model's own where all its layers are */
  readonly figures: Figures;
}

/** Blocks of all ranks up to which a model is shown whole, and ranks that are shown. */
const [shownBlocks, shownRanks] = [256, 8];

export async function traceStep(
  { shape, config, parameters }: Step,
  { profile, stillWanted }: { profile: Profile; stillWanted: StillWanted },
): Promise<StepTrace> {
  const layers = config.model_type === "gpt2" ? config.n_layer : config.num_hidden_layers;
  const whole = shape.size * layers * parameters.accumulate <= shownBlocks;
  const shown = whole ? layers : Math.min(2, layers);
  const traceRanks = Array.from({ length: Math.min(shownRanks, shape.size) }, (_, rank) => rank);
  const step = { shape, config: withLayers(config, shown), parameters, profile, traceRanks };
  const { figures, timeline } = await simulateStep(step, ({ doing }) =>
    doing === "recording" ? stillWanted() : undefined,
  );
  const slices = timeline?.slices ?? [];
  // A three-thousandth of the step is less than a pixel.
  const gap = figures.seconds / 3000;
  const ranks = traceRanks.map((rank) => {
    const own = slices.filter((slice) => slice.rank === rank);
    const spans = (track: string) =>
      joined(
        own.filter((slice) => slice.track === track).map(({ startUs, endUs }) => [startUs / 1e6, endUs / 1e6] as const),
        gap,
      );
    return { rank, computing: spans("computing"), sending: spans("sending"), receiving: spans("receiving") };
  });
  const { layout, dims } = shape;
  return { layout, dims, ranks, seconds: figures.seconds, layers: shown, figures: wholeFigures(figures) };
}

/** In order; those with less than `gap` between them as one. */
function joined(spans: readonly (readonly [number, number])[], gap: number): Spans {
  const made: number[] = [];
  for (const [start, end] of spans.toSorted((a, b) => a[0] - b[0])) {
    const last = made.length - 1;
    if (last > 0 && start - made[last] <= gap) made[last] = Math.max(made[last], end);
    else made.push(start, end);
  }
  return Float64Array.from(made);
}

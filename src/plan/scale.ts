// How a training step scales over numbers of devices: one model and batch on more of them (strong), or what grows with them (weak).

import { UserError } from "../backend/errors.ts";
import { headWidth, type ModelConfig } from "../nn/config.ts";
import { shardedExtents } from "../nn/extents.ts";
import { type LayoutName, type MeshShape, requireLegal, shapesOf } from "../parallel/shape.ts";
import type { TrainParameters } from "../train/events.ts";
import { type StepFigures, type StepRun, stepRun } from "./figures.ts";
import type { Profile } from "./profile.ts";
import type { SimulationProgress } from "./progress.ts";
import { simulateStep } from "./simulate-step.ts";

/** What grows with P devices in weak scaling, and what of a device stays.
 *
 *  batch  sequences with P: the work, and the rows of activations
 *  width  width and heads with the square root of P, a head's width stays: the blocks' parameters, and their products' work
 *  both   width, heads and sequences each with the square root of P: the blocks' parameters and the activations; the work grows with the root
 *
 *  Layers, context and vocabulary stay. */
export const growths = ["batch", "width", "both"] as const;
export type Growth = (typeof growths)[number];

interface ScaleStep {
  readonly config: ModelConfig;
  readonly parameters: TrainParameters;
}

export interface ScaleProblem extends ScaleStep {
  /** ascending; model and batch are of the first */
  readonly devices: readonly number[];
  readonly layouts: readonly LayoutName[];
  /** undefined in strong scaling */
  readonly growth: Growth | undefined;
  readonly profile: Profile;
}

/** A legal mesh of a layout, simulated. */
export interface ScaleRow extends StepFigures {
  /** MFU over that of the fastest mesh on the fewest devices on which one fits; undefined for a mesh that does not fit. In strong scaling
   *  that is the speed-up over the ideal one; where a device's work stays, the time on the fewest devices over the time. */
  readonly efficiency: number | undefined;
  /** the fastest of its layout on as many devices, those that do not fit coming last */
  readonly best: boolean;
}

/** A layout, on one mesh or on all, that cannot be. */
export interface ScaleRefusal extends StepRun {
  readonly devices: number;
  readonly layout: LayoutName;
  readonly dims: readonly number[] | undefined;
  readonly why: string;
}

/** All legal meshes of a number of devices, after each other in the order of layouts. progress: told of which mesh, and how far its simulation is.
 *  @throws UserError for a model that cannot grow so */
export async function* scale(
  problem: ScaleProblem,
  progress: (mesh: MeshShape, how: SimulationProgress) => void | Promise<void> = () => undefined,
): AsyncGenerator<{ devices: number; rows: ScaleRow[]; refused: ScaleRefusal[] }> {
  const { devices: counts, layouts, profile } = problem;
  let base: number | undefined;
  for (const devices of counts) {
    const step = grown(problem, devices);
    const refused: ScaleRefusal[] = [];
    const refuse = (layout: LayoutName, { dims, why }: Pick<ScaleRefusal, "dims" | "why">) =>
      refused.push({ ...stepRun(step), devices, layout, dims, why });
    const found: StepFigures[] = [];
    for (const layout of layoutsOf(layouts, devices)) {
      const shapes = shapesOf(devices).filter((shape) => shape.layout === layout);
      if (shapes.length === 0) refuse(layout, { dims: undefined, why: noMesh(layout, devices) });
      for (const shape of shapes) {
        const why = illegal(shape, step);
        if (why === undefined)
          found.push((await simulateStep({ ...step, shape, profile }, (how) => progress(shape, how))).figures);
        else refuse(layout, { dims: shape.dims, why });
      }
    }
    const fitting = found.filter(({ fits }) => fits);
    base ??= fitting.length > 0 ? fitting.reduce(faster).mfu : undefined;
    const isBest = (each: StepFigures) => found.filter(({ layout }) => layout === each.layout).reduce(faster) === each;
    const rows = found.map((each) => ({
      ...{ ...each, best: isBest(each) },
      efficiency: each.fits && base !== undefined ? each.mfu / base : undefined,
    }));
    yield { devices, rows, refused };
  }
}

const faster = (a: StepFigures, b: StepFigures): StepFigures => {
  if (a.fits !== b.fits) return a.fits ? a : b;
  return b.seconds < a.seconds ? b : a;
};

/** One device is serial whatever layouts are asked for, and the only one that is. */
const layoutsOf = (layouts: readonly LayoutName[], devices: number): readonly LayoutName[] =>
  devices === 1 ? ["serial"] : layouts.filter((layout) => layout !== "serial");

const noMesh = (layout: LayoutName, devices: number): string =>
  `${devices} devices make no mesh of ${layout === "2d" ? "q x q with q from 2" : "q x q x d with q and d from 2"}`;

function illegal(shape: MeshShape, { config, parameters: { batch, context } }: ScaleStep): string | undefined {
  try {
    requireLegal(shape, { ...shardedExtents(config), batch, context });
    return undefined;
  } catch (error) {
    if (error instanceof UserError) return error.message;
    throw error;
  }
}

/** The model and batch of so many devices. What is then no whole number is rounded: heads to a multiple of the devices, sequences to one of
 *  half as many, which every mesh takes. */
function grown({ config, parameters, growth, devices: counts }: ScaleProblem, devices: number): ScaleStep {
  const ratio = devices / counts[0];
  if (growth === undefined || ratio === 1) return { config, parameters };
  const root = Math.sqrt(ratio);
  const { batch } = parameters;
  const sequences = { batch: ratio, width: 1, both: root }[growth];
  return {
    config: growth === "batch" ? config : wider(config, { factor: root, unit: devices }),
    parameters: { ...parameters, batch: times(batch, { factor: sequences, unit: Math.max(1, devices >> 1) }) },
  };
}

/** Where that is no whole number, the nearest multiple of the unit. */
function times(value: number, { factor, unit }: { factor: number; unit: number }): number {
  const exact = value * factor;
  return Number.isInteger(exact) ? exact : Math.max(1, Math.round(exact / unit)) * unit;
}

/** With more heads as wide as before, as many queries to each key and value, and the other widths in proportion. */
function wider(config: ModelConfig, by: { factor: number; unit: number }): ModelConfig {
  const { heads, kvHeads, ffn } = shardedExtents(config);
  const more = times(kvHeads, by);
  const factor = more / kvHeads;
  const inner = times(ffn, { ...by, factor });
  const width = headWidth(config) * (heads / kvHeads) * more;
  if (config.model_type === "gpt2") return { ...config, n_head: more, n_embd: width, n_inner: inner };
  return {
    ...{ ...config, num_attention_heads: (heads / kvHeads) * more, num_key_value_heads: more },
    ...{ hidden_size: width, intermediate_size: inner },
  };
}

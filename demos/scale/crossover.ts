// 2D against 2.5D over tokens for each column of the model: which moves fewer words for a block's linears, and which takes less time there.

import { type MeshShape, type ModelConfig, type Profile, shapesOf, trainingTraffic } from "shardgrad/plan";
import { whyIllegal, withLayers } from "./problem.ts";
import type { Step, Steps } from "./steps.ts";
import type { StillWanted } from "./turns.ts";

/** 2D over 2.5D: above 1 the latter moves fewer words, or is faster. */
export interface CrossoverPoint {
  readonly tokensPerColumn: number;
  /** in closed form */
  readonly words: number;
  /** counted in a simulated step */
  readonly simulatedWords?: number;
  readonly seconds?: number;
}

export interface Crossover {
  readonly flat: readonly number[];
  readonly deep: readonly number[];
  readonly ranks: number;
  /** the closed form alone, close together */
  readonly curve: readonly CrossoverPoint[];
  /** simulated, where the meshes are legal for the model */
  readonly points: readonly CrossoverPoint[];
  /** why none is */
  readonly why?: string;
  /** the model in question, on a micro-batch of its own */
  readonly here: CrossoverPoint;
}

/** What is shown for devices that have no 2D mesh, or no 2.5D one. */
const usualRanks = [64, 16] as const;

const curveFactors = Array.from({ length: 37 }, (_, i) => 2 ** (i / 4 - 3));
const pointFactors = [1, 2, 4, 8, 16, 32];

/** A 2D and a 2.5D mesh of as many ranks, the latter as deep as it is wide if possible. */
function meshesOf(devices: number): { flat: MeshShape; deep: MeshShape } {
  const shapes = shapesOf(devices);
  const flat = shapes.find(({ layout }) => layout === "2d");
  const deep = shapes.filter(({ layout }) => layout === "2.5d").at(-1);
  return flat && deep ? { flat, deep } : meshesOf(usualRanks.find((ranks) => ranks <= devices) ?? 16);
}

/** Of a block's linears and the sum of its gradients. */
const isCounted = (purpose: string): boolean =>
  purpose === "linear forward" || purpose === "linear backward" || purpose === "gradient sum";

/** The mean over ranks of what a second block adds, in closed form. */
function closedWords(config: ModelConfig, run: { shape: MeshShape; batch: number; context: number }): number {
  const of = (layers: number) =>
    trainingTraffic(withLayers(config, layers), { ...run, accumulate: 1, recompute: false }).words.reduce(
      (sum, each) =>
        sum + Object.entries(each).reduce((all, [purpose, words]) => all + (isCounted(purpose) ? words : 0), 0),
      0,
    );
  return (of(2) - of(1)) / run.shape.size;
}

/** Sequences of `context` tokens at most, as many as both meshes take. */
function runOf(tokens: number, { unit, context }: { unit: number; context: number }) {
  if (tokens < unit * context) return { batch: unit, context: Math.max(1, Math.round(tokens / unit)) };
  return { batch: unit * Math.max(1, Math.round(tokens / (unit * context))), context };
}

const multiple = (a: number, b: number): number => {
  let [x, y] = [a, b];
  while (y > 0) [x, y] = [y, x % y];
  return (a / x) * b;
};

export async function crossover(
  { config, parameters, devices }: Pick<Step, "config" | "parameters"> & { devices: number },
  { steps, profile, stillWanted }: { steps: Steps; profile: Profile; stillWanted: StillWanted },
): Promise<Crossover> {
  const { flat, deep } = meshesOf(devices);
  const width = config.model_type === "gpt2" ? config.n_embd : config.hidden_size;
  const unit = multiple(flat.q, deep.q * deep.d);
  const at = (tokens: number) => runOf(tokens, { unit, context: parameters.context });
  const closed = (run: { batch: number; context: number }): CrossoverPoint => ({
    tokensPerColumn: (run.batch * run.context) / width,
    words: closedWords(config, { ...run, shape: flat }) / closedWords(config, { ...run, shape: deep }),
  });
  /** What a second block adds. */
  const added = async (shape: MeshShape, run: { batch: number; context: number }) => {
    const of = async (layers: number) => {
      const step = {
        shape,
        config: withLayers(config.model_type === "gpt2" ? { ...config, n_positions: run.context } : config, layers),
        parameters: { ...parameters, ...run, accumulate: 1 },
      };
      const { record, figures } = await steps.simulated(step, { profile, stillWanted });
      const counted = record.entries.flat().filter(({ purpose }) => isCounted(purpose));
      return { words: counted.reduce((sum, { words }) => sum + words, 0), seconds: figures.seconds };
    };
    const [one, two] = [await of(1), await of(2)];
    return { words: two.words - one.words, seconds: two.seconds - one.seconds };
  };
  const curve: CrossoverPoint[] = [];
  for (const factor of curveFactors) {
    await stillWanted();
    curve.push(closed({ batch: unit, context: Math.max(1, Math.round((factor * width) / unit)) }));
  }
  const points: CrossoverPoint[] = [];
  const why = [flat, deep]
    .map((shape) => whyIllegal(shape, { config, batch: unit }))
    .find((text) => text !== undefined);
  for (const factor of pointFactors) {
    const run = at(factor * width);
    const point = closed(run);
    if (why !== undefined) points.push(point);
    else {
      const [a, b] = [await added(flat, run), await added(deep, run)];
      points.push({ ...point, simulatedWords: a.words / b.words, seconds: a.seconds / b.seconds });
    }
  }
  const here = closed({ batch: parameters.batch, context: parameters.context });
  return { flat: flat.dims, deep: deep.dims, ranks: flat.size, curve, points, why, here };
}

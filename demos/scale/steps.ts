// Steps in figures, fast enough for sliders. Blocks of a model are alike, and micro-batches too: those after the second take as long and
// send as much as the second, so one and two of each are simulated. What was recorded is kept: on another machine it is replayed.

import {
  type FiguredStep,
  type MeshShape,
  type ModelConfig,
  modelFlops,
  type Profile,
  replayStep,
  simulateStep,
  type TrainParameters,
  trainingBytes,
} from "shardgrad/plan";
import { type Figures, wholeFigures } from "./figures.ts";
import { withLayers } from "./problem.ts";
import type { StillWanted } from "./turns.ts";

export interface Step {
  readonly shape: MeshShape;
  readonly config: ModelConfig;
  readonly parameters: TrainParameters;
}

/** Blocks of all ranks and micro-batches up to which a step is simulated whole: some 50 ms. */
const wholeBlocks = 64;

/** Blocks whose records are kept at most: some 15 kB each. */
const keptBlocks = 8192;

/** Told how many of a step's ranks are recorded. */
export type TellRanks = (done: number, all: number) => void;

const layersOf = (config: ModelConfig): number =>
  config.model_type === "gpt2" ? config.n_layer : config.num_hidden_layers;

const blocksOf = ({ shape, config, parameters }: Step): number => shape.size * layersOf(config) * parameters.accumulate;

/** What of one and of two make n: the second once more for each beyond it. */
const shares = (n: number): [count: number, share: number][] =>
  n === 1
    ? [[1, 1]]
    : [
        [1, 2 - n],
        [2, n - 1],
      ];

/** Figures that add up block by block. */
const sums = [
  ...(["seconds", "computingSeconds", "hiddenSeconds", "exposedSeconds", "idleSeconds"] as const),
  ...(["bytesReceived", "messagesReceived"] as const),
];

export class Steps {
  readonly #kept = new Map<string, FiguredStep>();
  #blocks = 0;

  /** A step on a machine of one device for each rank. */
  async figures(
    step: Step,
    { profile, stillWanted, tell = () => undefined }: { profile: Profile; stillWanted: StillWanted; tell?: TellRanks },
  ): Promise<Figures> {
    const { config, parameters, shape } = step;
    const at = (part: Step) => this.simulated(part, { profile, stillWanted, tell });
    if (blocksOf(step) <= wholeBlocks) return wholeFigures((await at(step)).figures);
    const { accumulate, batch, context, dtype = "f32" } = parameters;
    const total = Object.fromEntries(sums.map((name) => [name, 0])) as Record<(typeof sums)[number], number>;
    for (const [micro, microShare] of shares(accumulate))
      for (const [layers, share] of shares(layersOf(config))) {
        if (share === 0 || microShare === 0) continue;
        const part = { shape, config: withLayers(config, layers), parameters: { ...parameters, accumulate: micro } };
        const { figures } = await at(part);
        for (const name of sums) total[name] += share * microShare * figures[name];
      }
    for (const name of sums) total[name] = Math.max(0, total[name]);
    // A peak is no sum over blocks: where in the step it is depends on how many there are.
    const { total: memoryBytes } = trainingBytes(config, { ...parameters, shape });
    const { value: peak } = profile.device.products[dtype].flopsPerSecond;
    return {
      ...{ ...total, layout: shape.layout, dims: shape.dims, memoryBytes, whole: false },
      fits: memoryBytes <= profile.device.memoryBytes.value,
      mfu: (accumulate * modelFlops(config, { batch, context })) / (total.seconds * shape.size * peak),
      tokensPerSecond: (accumulate * batch * context) / total.seconds,
    };
  }

  /** A step as it is, whole. */
  async simulated(
    step: Step,
    { profile, stillWanted, tell = () => undefined }: { profile: Profile; stillWanted: StillWanted; tell?: TellRanks },
  ): Promise<FiguredStep> {
    const { shape, config, parameters } = step;
    const key = JSON.stringify([shape.layout, shape.dims, config, parameters]);
    await stillWanted();
    const known = this.#kept.get(key);
    if (known) {
      // The one that was wanted last goes last.
      this.#kept.delete(key);
      this.#kept.set(key, known);
      return replayStep(known, { profile });
    }
    const made = await simulateStep({ shape, config, parameters, profile }, ({ doing, done, all }) => {
      if (doing !== "recording") return;
      tell(done, all);
      return stillWanted();
    });
    this.#keep(key, made);
    return made;
  }

  #keep(key: string, step: FiguredStep): void {
    this.#kept.set(key, step);
    this.#blocks += blocksOf(step);
    for (const [old, each] of this.#kept) {
      if (this.#blocks <= keptBlocks || old === key) break;
      this.#kept.delete(old);
      this.#blocks -= blocksOf(each);
    }
  }
}

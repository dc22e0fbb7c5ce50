// Which layout on which mesh, in how many micro-batches, with or without recomputation: every legal one is looked at, and those that fit
// are simulated.

import { UserError } from "../backend/errors.ts";
import type { ModelConfig } from "../nn/config.ts";
import { shardedExtents } from "../nn/extents.ts";
import { trainingBytes } from "../nn/footprint.ts";
import { type MeshShape, requireLegal, shapesOf } from "../parallel/shape.ts";
import type { TrainParameters } from "../train/events.ts";
import type { Profile } from "./profile.ts";
import { recordStep, spreadCorpus } from "./record-step.ts";
import { Works } from "./recorder.ts";
import { recordRanks, simulate } from "./simulate.ts";

export interface PlanProblem {
  readonly config: ModelConfig;
  /** but for batch, accumulate and recompute, which are searched */
  readonly parameters: TrainParameters;
  /** sequences of an optimizer step: those to choose from */
  readonly batches: readonly number[];
  /** each holds one rank */
  readonly devices: number;
  /** of one device */
  readonly memoryBytes: number;
  readonly profile: Profile;
}

/** A way to train. */
export interface PlanChoice {
  readonly shape: MeshShape;
  readonly batch: number;
  /** micro-batches of the batch, one after another */
  readonly accumulate: number;
  readonly recompute: boolean;
  /** of a step */
  readonly seconds: number;
  readonly tokensPerSecond: number;
  /** a rank's peak */
  readonly memoryBytes: number;
}

/** A way that is none. */
export interface PlanRefusal {
  readonly shape: MeshShape;
  readonly batch: number;
  readonly why: string;
  /** the least memory it would take, where that is what is missing */
  readonly leastBytes?: number;
}

export interface PlanResult {
  /** the fastest first, by tokens a second */
  readonly choices: readonly PlanChoice[];
  readonly refused: readonly PlanRefusal[];
}

/** progress: told what is simulated next
 *  @throws UserError when nothing is legal */
export async function searchPlan(
  problem: PlanProblem,
  progress: (what: string) => void | Promise<void> = () => undefined,
): Promise<PlanResult> {
  const choices: PlanChoice[] = [];
  const refused: PlanRefusal[] = [];
  for (const batch of problem.batches)
    for (const shape of shapesOf(problem.devices)) {
      await progress(`${shape.layout} ${shape.dims.join("x")}, ${batch} sequences`);
      const found = await new ShapeSearch(problem, { shape, batch }).run();
      if ("why" in found) refused.push({ shape, batch, ...found });
      else choices.push(...found.choices);
    }
  if (choices.length === 0 && refused.every(({ leastBytes }) => leastBytes === undefined))
    throw new UserError(
      `no layout of ${problem.devices} ranks is legal for this model and batch: ${refused.map(({ shape, why }) => `${shape.layout} ${why}`).join("; ")}`,
    );
  return { choices: choices.sort((a, b) => b.tokensPerSecond - a.tokensPerSecond), refused };
}

/** The closed form is a tenth above or below what a step takes: beyond this factor it is trusted. */
const slack = 1.25;

type Micro = Pick<PlanChoice, "accumulate" | "recompute">;

/** One layout on one mesh, for one batch. */
class ShapeSearch {
  readonly #problem: PlanProblem;
  readonly #shape: MeshShape;
  readonly #batch: number;
  readonly #seconds = new Map<string, number>();

  constructor(problem: PlanProblem, { shape, batch }: { shape: MeshShape; batch: number }) {
    this.#problem = problem;
    this.#shape = shape;
    this.#batch = batch;
  }

  async run(): Promise<{ choices: PlanChoice[] } | Pick<PlanRefusal, "why" | "leastBytes">> {
    const legal: number[] = [];
    let why = "";
    for (let accumulate = 1; accumulate <= this.#batch; accumulate++) {
      if (this.#batch % accumulate !== 0) continue;
      const illegal = this.#illegal(accumulate);
      if (illegal === undefined) legal.push(accumulate);
      else if (accumulate === 1) why = illegal;
    }
    if (legal.length === 0) return { why };
    const choices: PlanChoice[] = [];
    for (const recompute of [false, true]) {
      // The fewest micro-batches that fit: each sends the weights again, and makes smaller products.
      for (const accumulate of legal) {
        const micro = { accumulate, recompute };
        if (this.#formula(micro) > slack * this.#problem.memoryBytes) continue;
        const memoryBytes = await this.#peak(micro);
        if (memoryBytes > this.#problem.memoryBytes) continue;
        choices.push({ ...(await this.#choice({ accumulate, recompute })), memoryBytes });
        break;
      }
      // Computing less with as few micro-batches is faster.
      if (choices.at(0)?.accumulate === legal[0]) break;
    }
    if (choices.length > 0) return { choices };
    const ways = [false, true].flatMap((recompute) => legal.map((accumulate) => ({ accumulate, recompute })));
    return { why: "does not fit", leastBytes: await this.#least(ways) };
  }

  /** The least peak of several ways. */
  async #least(ways: readonly Micro[]): Promise<number> {
    const near = slack * Math.min(...ways.map((way) => this.#formula(way)));
    let least = Number.POSITIVE_INFINITY;
    for (const way of ways) if (this.#formula(way) <= near) least = Math.min(least, await this.#peak(way));
    return least;
  }

  #illegal(accumulate: number): string | undefined {
    const { config, parameters } = this.#problem;
    const batch = this.#batch / accumulate;
    try {
      requireLegal(this.#shape, { ...shardedExtents(config), batch, context: parameters.context });
      return undefined;
    } catch (error) {
      if (error instanceof UserError) return error.message;
      throw error;
    }
  }

  #parameters({ accumulate, recompute }: Micro): TrainParameters {
    return { ...this.#problem.parameters, batch: this.#batch / accumulate, accumulate, recompute };
  }

  /** A rank's peak, by the closed form. */
  #formula(micro: Micro): number {
    return trainingBytes(this.#problem.config, { ...this.#parameters(micro), shape: this.#shape }).total;
  }

  /** A rank's peak, by some ranks' own step. */
  async #peak(micro: Micro): Promise<number> {
    const { config } = this.#problem;
    const shape = this.#shape;
    const parameters = this.#parameters(micro);
    const step = { shape, config, parameters: { ...parameters, accumulate: Math.min(2, micro.accumulate) } };
    const corpus = spreadCorpus(parameters, config.vocab_size);
    let peak = 0;
    for (const rank of new Set([0, 1, shape.q, shape.size >> 1, shape.size - 1])) {
      if (rank >= shape.size) continue;
      const { peakBytes } = await recordStep(rank, { step, works: new Works(), corpus });
      peak = Math.max(peak, peakBytes.total);
    }
    return peak;
  }

  async #choice(micro: Micro): Promise<Omit<PlanChoice, "memoryBytes">> {
    const seconds = await this.#time(micro);
    const tokens = this.#batch * this.#problem.parameters.context;
    return { shape: this.#shape, batch: this.#batch, ...micro, seconds, tokensPerSecond: tokens / seconds };
  }

  /** Blocks and micro-batches after the second take as long as the second. */
  async #time({ accumulate, recompute }: Micro): Promise<number> {
    const layers = layersOf(this.#problem.config);
    const at = (blocks: number, micros: number) => this.#simulated(blocks, { micros, accumulate, recompute });
    const byBlocks = async (micros: number) => {
      const one = await at(1, micros);
      return layers === 1 ? one : one + (layers - 1) * ((await at(2, micros)) - one);
    };
    const one = await byBlocks(1);
    return accumulate === 1 ? one : one + (accumulate - 1) * ((await byBlocks(2)) - one);
  }

  async #simulated(blocks: number, { micros, accumulate, recompute }: Micro & { micros: number }): Promise<number> {
    const key = `${blocks} ${micros} ${accumulate} ${recompute}`;
    let seconds = this.#seconds.get(key);
    if (seconds === undefined) {
      const { profile, devices } = this.#problem;
      const config = withLayers(this.#problem.config, blocks);
      const parameters = { ...this.#parameters({ accumulate, recompute }), accumulate: micros };
      const record = await recordRanks({ shape: this.#shape, config, parameters });
      seconds = simulate(record, { profile, devices }).seconds;
      this.#seconds.set(key, seconds);
    }
    return seconds;
  }
}

const layersOf = (config: ModelConfig): number =>
  config.model_type === "gpt2" ? config.n_layer : config.num_hidden_layers;

const withLayers = (config: ModelConfig, layers: number): ModelConfig =>
  config.model_type === "gpt2" ? { ...config, n_layer: layers } : { ...config, num_hidden_layers: layers };

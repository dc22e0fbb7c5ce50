// Which layout on which mesh, in how many micro-batches, with or without recomputation: every legal one is looked at, and those that fit
// are simulated.

import { UserError } from "../backend/errors.ts";
import { layersOf, type ModelConfig } from "../nn/config.ts";
import { shardedExtents } from "../nn/extents.ts";
import { trainingBytes } from "../nn/footprint.ts";
import { type MeshShape, requireLegal, shapesOf } from "../parallel/shape.ts";
import { isGrid } from "../parallel/volume.ts";
import type { TrainParameters } from "../train/events.ts";
import type { Profile } from "./profile.ts";
import { recordStep, type StepToRecord, spreadCorpus } from "./record-step.ts";
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
      const what = `${shape.layout} ${shape.dims.join("x")}, ${batch} sequences`;
      await progress(what);
      const found = await new ShapeSearch(problem, { shape, batch, progress: () => progress(what) }).run();
      if ("why" in found) refused.push({ shape, batch, ...found });
      else choices.push(...found.choices);
    }
  if (choices.length === 0 && refused.every(({ leastBytes }) => leastBytes === undefined))
    throw new UserError(
      `no layout of ${problem.devices} ranks is legal for this model and batch: ${refused.map(({ shape, why }) => `${shape.layout} ${why}`).join("; ")}`,
    );
  return { choices: await confirmed(choices, { problem, progress }), refused };
}

/** Choices that are so near the best, in so few of these, are simulated whole. */
const [nearBest, mostConfirmed] = [1.08, 3];
/** Blocks of ranks and micro-batches beyond which a step takes too long to be simulated whole. */
const mostBlocks = 2048;

const faster = (a: PlanChoice, b: PlanChoice): number => b.tokensPerSecond - a.tokensPerSecond;

/** The fastest first. What may be the best is looked at once more: whole, where that does not take long, and for the memory of every rank. */
async function confirmed(
  choices: readonly PlanChoice[],
  { problem, progress }: { problem: PlanProblem; progress: (what: string) => void | Promise<void> },
): Promise<PlanChoice[]> {
  const made: PlanChoice[] = [];
  const rest = choices.toSorted(faster);
  for (let next = rest.at(0); next; next = rest.at(0)) {
    const best = made.toSorted(faster).at(0);
    if (best && (made.length === mostConfirmed || next.tokensPerSecond * nearBest < best.tokensPerSecond)) break;
    rest.shift();
    const again = await lookedAtAgain(next, { problem, progress });
    if (again.memoryBytes <= problem.memoryBytes) made.push(again);
  }
  return [...made, ...rest].sort(faster);
}

async function lookedAtAgain(
  choice: PlanChoice,
  { problem, progress }: { problem: PlanProblem; progress: (what: string) => void | Promise<void> },
): Promise<PlanChoice> {
  const { config, profile, devices } = problem;
  const { shape, batch, accumulate } = choice;
  const tell = () => progress(`${shape.layout} ${shape.dims.join("x")}, ${batch} sequences, whole`);
  const parameters = parametersOf(problem, choice);
  const step = { shape, config, parameters };
  if (shape.size * layersOf(config) * accumulate > mostBlocks)
    return { ...choice, memoryBytes: await peakOf(step, { ranks: differentRanks(shape), tell }) };
  const record = await recordRanks(step, tell);
  const { seconds } = simulate(record, { profile, devices });
  const memoryBytes = Math.max(...record.peakBytes.map(({ total }) => total));
  return { ...choice, seconds, tokensPerSecond: (batch * parameters.context) / seconds, memoryBytes };
}

/** The most that any of these ranks holds; the second micro-batch is as the others. */
async function peakOf(
  step: StepToRecord,
  { ranks, tell }: { ranks: Iterable<number>; tell: () => void | Promise<void> },
): Promise<number> {
  const { parameters, config } = step;
  const brief = { ...step, parameters: { ...parameters, accumulate: Math.min(2, parameters.accumulate) } };
  const corpus = spreadCorpus(parameters, config.vocab_size);
  let peak = 0;
  for (const rank of ranks) {
    await tell();
    const { peakBytes } = await recordStep(rank, { step: brief, works: new Works(), corpus });
    peak = Math.max(peak, peakBytes.total);
  }
  return peak;
}

/** The closed form is a tenth above or below what a step takes: beyond this factor it is trusted. */
const slack = 1.25;

type Micro = Pick<PlanChoice, "accumulate" | "recompute">;

/** Of a step of so many sequences. */
const parametersOf = (
  { parameters }: PlanProblem,
  { batch, accumulate, recompute }: Micro & { batch: number },
): TrainParameters => ({ ...parameters, batch: batch / accumulate, accumulate, recompute });

/** One layout on one mesh, for one batch. */
class ShapeSearch {
  readonly #problem: PlanProblem;
  readonly #shape: MeshShape;
  readonly #batch: number;
  readonly #progress: () => void | Promise<void>;

  constructor(
    problem: PlanProblem,
    { shape, batch, progress }: { shape: MeshShape; batch: number; progress: () => void | Promise<void> },
  ) {
    this.#problem = problem;
    this.#shape = shape;
    this.#batch = batch;
    this.#progress = progress;
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
        choices.push({ ...(await this.#choice(micro)), memoryBytes });
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

  #parameters(micro: Micro): TrainParameters {
    return parametersOf(this.#problem, { batch: this.#batch, ...micro });
  }

  /** A rank's peak, by the closed form. */
  #formula(micro: Micro): number {
    return trainingBytes(this.#problem.config, { ...this.#parameters(micro), shape: this.#shape }).total;
  }

  /** A rank's peak, by some ranks' own step: where trees have many roots others may hold a tenth more. */
  #peak(micro: Micro): Promise<number> {
    const shape = this.#shape;
    const ranks = new Set([0, 1, shape.q, shape.size >> 1, shape.size - 1].filter((rank) => rank < shape.size));
    const step = { shape, config: this.#problem.config, parameters: this.#parameters(micro) };
    return peakOf(step, { ranks, tell: this.#progress });
  }

  async #choice(micro: Micro): Promise<Omit<PlanChoice, "memoryBytes">> {
    const seconds = await this.#time(micro);
    const tokens = this.#batch * this.#problem.parameters.context;
    return { shape: this.#shape, batch: this.#batch, ...micro, seconds, tokensPerSecond: tokens / seconds };
  }

  /** Blocks and micro-batches after the second take as long as the second. */
  async #time(micro: Micro): Promise<number> {
    const { config, profile, devices } = this.#problem;
    const { accumulate } = micro;
    const layers = layersOf(config);
    const at = async (blocks: number, micros: number): Promise<number> => {
      const parameters = { ...this.#parameters(micro), accumulate: micros };
      const step = { shape: this.#shape, config: withLayers(config, blocks), parameters };
      return simulate(await recordRanks(step, this.#progress), { profile, devices }).seconds;
    };
    const byBlocks = async (micros: number) => {
      const one = await at(1, micros);
      return layers === 1 ? one : one + (layers - 1) * ((await at(2, micros)) - one);
    };
    const one = await byBlocks(1);
    return accumulate === 1 ? one : one + (accumulate - 1) * ((await byBlocks(2)) - one);
  }
}

/** Ranks of which one holds most: trees have other roots for each row and column of a plane, planes and lines are alike. */
function differentRanks(shape: MeshShape): Set<number> {
  const plane = isGrid(shape) ? shape.q ** 2 : 1;
  return new Set([...Array.from({ length: plane }, (_, rank) => rank), shape.size - 1]);
}

const withLayers = (config: ModelConfig, layers: number): ModelConfig =>
  config.model_type === "gpt2" ? { ...config, n_layer: layers } : { ...config, num_hidden_layers: layers };

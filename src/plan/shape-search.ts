// The ways to train with one layout on one mesh: how many micro-batches fit, and what a step of them takes.

import { UserError } from "../backend/errors.ts";
import { layersOf, type ModelConfig } from "../nn/config.ts";
import { shardedExtents } from "../nn/extents.ts";
import { trainingBytes } from "../nn/footprint.ts";
import { type MeshShape, requireLegal } from "../parallel/shape.ts";
import type { TrainParameters } from "../train/events.ts";
import { extended, partsOf, type StepParts } from "./parts.ts";
import { peakOf, someRanks } from "./peaks.ts";
import type { Profile } from "./profile.ts";
import type { RecordThreads } from "./record-in-threads.ts";
import type { StepToRecord } from "./record-step.ts";
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
export interface PlanWay {
  readonly shape: MeshShape;
  readonly batch: number;
  /** micro-batches of the batch, one after another */
  readonly accumulate: number;
  readonly recompute: boolean;
  /** of a step */
  readonly seconds: number;
  readonly tokensPerSecond: number;
  /** what the seconds are spent on, by the same simulations */
  readonly parts: StepParts;
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

export type Micro = Pick<PlanWay, "accumulate" | "recompute">;

/** What a way is to be recorded. */
export const stepOf = (
  { config, parameters }: PlanProblem,
  { shape, batch, accumulate, recompute }: Micro & Pick<PlanWay, "shape" | "batch">,
): StepToRecord => ({
  ...{ shape, config },
  parameters: { ...parameters, batch: batch / accumulate, accumulate, recompute },
});

/** What was found out before, by what it was asked of: batches have micro-batches in common. */
export class Known {
  readonly #answers = new Map<string, Promise<unknown>>();

  of<T>(question: readonly unknown[], find: () => Promise<T>): Promise<T> {
    const key = question.join();
    if (!this.#answers.has(key)) this.#answers.set(key, find());
    return this.#answers.get(key) as Promise<T>;
  }
}

/** What searches have in common. */
export interface SearchMeans {
  readonly known: Known;
  readonly threads: RecordThreads | undefined;
  /** told what of the layout and mesh is looked at */
  readonly progress: (what: string) => void | Promise<void>;
}

/** One layout on one mesh, for one batch. */
export class ShapeSearch {
  readonly #problem: PlanProblem;
  readonly #shape: MeshShape;
  readonly #batch: number;
  readonly #with: SearchMeans;

  constructor(problem: PlanProblem, { shape, batch, ...means }: { shape: MeshShape; batch: number } & SearchMeans) {
    this.#problem = problem;
    this.#shape = shape;
    this.#batch = batch;
    this.#with = means;
  }

  async run(): Promise<{ choices: PlanWay[] } | Pick<PlanRefusal, "why" | "leastBytes">> {
    const { legal, why } = this.#legal();
    if (legal.length === 0) return { why };
    const choices: PlanWay[] = [];
    for (const recompute of [false, true]) {
      const choice = await this.first({ recompute });
      if (choice) choices.push(choice);
      // Computing less with as few micro-batches is faster.
      if (choice?.accumulate === legal[0]) break;
    }
    return choices.length > 0 ? { choices } : this.tooLarge();
  }

  /** The fewest micro-batches that fit, more than `beyond`: each sends the weights again, and makes smaller products. */
  async first({ recompute, beyond = 0 }: { recompute: boolean; beyond?: number }): Promise<PlanWay | undefined> {
    const { memoryBytes: room } = this.#problem;
    for (const accumulate of this.#legal().legal) {
      const micro = { accumulate, recompute };
      if (accumulate <= beyond || this.#bounds(micro).least > room) continue;
      const memoryBytes = await this.#peak(micro);
      if (memoryBytes <= room) return { ...(await this.#choice(micro)), memoryBytes };
    }
    return undefined;
  }

  /** The least that any way takes. */
  async tooLarge(): Promise<Pick<PlanRefusal, "why" | "leastBytes">> {
    const ways = [false, true]
      .flatMap((recompute) => this.#legal().legal.map((accumulate) => ({ accumulate, recompute })))
      .map((way) => ({ way, ...this.#bounds(way) }))
      .sort((a, b) => a.formula - b.formula);
    let leastBytes = Number.POSITIVE_INFINITY;
    for (const { way, formula, least } of ways) {
      if (least >= leastBytes) continue;
      // Beyond whole numbers there is no step to be made.
      leastBytes = Math.min(leastBytes, formula > Number.MAX_SAFE_INTEGER ? least : await this.#peak(way));
    }
    return { why: "does not fit", leastBytes };
  }

  #legal(): { legal: number[]; why: string } {
    const legal: number[] = [];
    let why = "";
    for (let accumulate = 1; accumulate <= this.#batch; accumulate++) {
      if (this.#batch % accumulate !== 0) continue;
      const illegal = this.#illegal(accumulate);
      if (illegal === undefined) legal.push(accumulate);
      else if (accumulate === 1) why = illegal;
    }
    return { legal, why };
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

  #step(micro: Micro): StepToRecord {
    return stepOf(this.#problem, { shape: this.#shape, batch: this.#batch, ...micro });
  }

  /** A rank's peak by the closed form, and the least that it may really be. */
  #bounds(micro: Micro): { formula: number; least: number } {
    const { config, parameters, shape } = this.#step(micro);
    const { weights, gradients, optimizer, total } = trainingBytes(config, { ...parameters, shape });
    const fixed = weights + gradients + optimizer;
    const least = Math.max(total / slack, fixed + (total - fixed) / varyingSlack);
    return { formula: total, least };
  }

  /** A rank's peak, by some ranks' own step. */
  #peak(micro: Micro): Promise<number> {
    const { accumulate, recompute } = micro;
    const question = ["peak", this.#shape.layout, this.#shape.dims, this.#batch / accumulate, recompute];
    const { known, threads, progress } = this.#with;
    const tell = () => progress(`memory with ${waysText(micro)}`);
    return known.of([...question, Math.min(2, accumulate)], () =>
      peakOf(this.#step(micro), { ranks: someRanks(this.#shape), threads, tell }),
    );
  }

  async #choice(micro: Micro): Promise<Omit<PlanWay, "memoryBytes">> {
    const parts = await this.#parts(micro);
    const { seconds } = parts;
    const tokensPerSecond = (this.#batch * this.#problem.parameters.context) / seconds;
    return { shape: this.#shape, batch: this.#batch, ...micro, parts, seconds, tokensPerSecond };
  }

  /** Blocks and micro-batches after the second take as long as the second. */
  async #parts(micro: Micro): Promise<StepParts> {
    const layers = layersOf(this.#problem.config);
    const byBlocks = async (micros: number) => {
      const [one, two] = await this.#each([1, 2].slice(0, layers), (blocks) =>
        this.#simulated(micro, { blocks, micros }),
      );
      return two ? extended(one, two, layers - 1) : one;
    };
    const [one, two] = await this.#each([1, 2].slice(0, micro.accumulate), byBlocks);
    return two ? extended(one, two, micro.accumulate - 1) : one;
  }

  /** While one is replayed, threads write down the next. */
  async #each(counts: readonly number[], work: (count: number) => Promise<StepParts>): Promise<StepParts[]> {
    if (this.#with.threads) return Promise.all(counts.map(work));
    const parts: StepParts[] = [];
    for (const count of counts) parts.push(await work(count));
    return parts;
  }

  /** So many blocks and micro-batches of the step. */
  #simulated(micro: Micro, { blocks, micros }: { blocks: number; micros: number }): Promise<StepParts> {
    const { profile, devices, config } = this.#problem;
    const { shape, parameters } = this.#step(micro);
    const question = ["parts", shape.layout, shape.dims, parameters.batch, parameters.recompute, blocks, micros];
    const { known, threads, progress } = this.#with;
    return known.of(question, async () => {
      const step = { shape, config: withLayers(config, blocks), parameters: { ...parameters, accumulate: micros } };
      const tell = () => progress(`time with ${waysText(micro)} (${blocks} by ${micros} blocks and micro-batches)`);
      return partsOf(simulate(await recordRanks({ ...step, threads }, tell), { profile, devices }));
    });
  }
}

/** The closed form is a tenth above or below what a step takes: beyond the first factor it is trusted, and beyond the second in what is
 *  not weights, gradients and the optimizer's, which it knows exactly. */
const [slack, varyingSlack] = [1.25, 1.6];

const waysText = ({ accumulate, recompute }: Micro): string =>
  `${accumulate} ${accumulate === 1 ? "micro-batch" : "micro-batches"}${recompute ? ", recomputed" : ""}`;

const withLayers = (config: ModelConfig, layers: number): ModelConfig =>
  config.model_type === "gpt2" ? { ...config, n_layer: layers } : { ...config, num_hidden_layers: layers };

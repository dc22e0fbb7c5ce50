// What a run has said of its learning, as columns that a chart draws and figures are read from.

import type { PlotData } from "../kit/plot.tsx";
import type { EvalRow, StepRow } from "./news.ts";

/** The smoothed loss looks back over about so many steps. */
const smoothedSteps = 10;
/** Step times of which the median counts. */
const timedSteps = 15;

export class Curve {
  readonly #steps: number[] = [];
  readonly #losses: number[] = [];
  readonly #smoothed: number[] = [];
  readonly #train: (number | null)[] = [];
  readonly #validation: (number | null)[] = [];
  readonly #durations: number[] = [];
  #mean = 0;
  #weight = 0;
  last: StepRow | undefined;
  lastEval: EvalRow | undefined;

  addSteps(rows: readonly StepRow[]): void {
    const keep = 1 - 1 / smoothedSteps;
    for (const row of rows) {
      const [step, loss, , durationMs] = row;
      // An exponential mean, corrected for its start as Adam's moments are.
      this.#mean = keep * this.#mean + (1 - keep) * loss;
      this.#weight = keep * this.#weight + (1 - keep);
      this.#steps.push(step);
      this.#losses.push(loss);
      this.#smoothed.push(this.#mean / this.#weight);
      this.#train.push(null);
      this.#validation.push(null);
      this.#durations.push(durationMs);
      if (this.#durations.length > timedSteps) this.#durations.shift();
      this.last = row;
    }
  }

  addEvals(rows: readonly EvalRow[]): void {
    for (const row of rows) {
      // Evaluations come behind their step, and soon.
      const index = this.#steps.lastIndexOf(row[0]);
      if (index < 0) continue;
      this.#train[index] = row[1];
      this.#validation[index] = row[2];
      this.lastEval = row;
    }
  }

  /** Batches' loss, the same smoothed, evaluations on training and validation text. New lists each time, so that a chart sees a change. */
  get data(): PlotData {
    return [this.#steps, this.#losses, this.#smoothed, this.#train, this.#validation];
  }

  get losses(): readonly number[] {
    return this.#losses;
  }

  /** Of the last steps, the median. */
  get stepMs(): number | undefined {
    const sorted = this.#durations.toSorted((a, b) => a - b);
    return sorted[Math.floor(sorted.length / 2)];
  }
}

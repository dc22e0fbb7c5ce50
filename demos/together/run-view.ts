// A run as this device sees it: steps, losses and bytes, batched so that the page draws once for all that came together.

import { batch, signal } from "@preact/signals";
import type { PlotData } from "../kit/plot.tsx";
import type { News } from "./engine.ts";

export interface StepRow {
  step: number;
  loss: number;
  durationMs: number;
  tokensPerSecond: number;
  received: number;
  closedForm: number;
}

export class RunView {
  readonly rank: number;
  /** by rank */
  readonly names: readonly string[];
  readonly note = signal("");
  readonly last = signal<StepRow | undefined>(undefined);
  /** newest first */
  readonly rows = signal<readonly StepRow[]>([]);
  readonly plot = signal<PlotData>([[], [], []]);
  readonly validationLoss = signal<number | undefined>(undefined);
  readonly sample = signal("");
  readonly done = signal(false);
  /** why it ended before its time */
  readonly ended = signal<string | undefined>(undefined);
  /** every step so far received what the closed form says */
  readonly exact = signal(true);
  #steps: number[] = [];
  #losses: (number | null)[] = [];
  #validation: (number | null)[] = [];

  constructor({ rank, names }: { rank: number; names: readonly string[] }) {
    this.rank = rank;
    this.names = names;
  }

  take(list: readonly News[]): void {
    const rows: StepRow[] = [];
    batch(() => {
      for (const { event, received, closedForm } of list) {
        if (event.event === "step") {
          const { step, loss, durationMs, tokensPerSecond } = event;
          rows.unshift({ step, loss, durationMs, tokensPerSecond, received, closedForm });
          this.#point(step, { loss });
          if (received !== closedForm) this.exact.value = false;
        }
        if (event.event === "eval" || event.event === "done") {
          const { validationLoss } = event;
          this.validationLoss.value = validationLoss;
          this.#point(event.event === "eval" ? event.step : event.steps, { validation: validationLoss });
        }
        if (event.event === "sample") this.sample.value = event.text;
        if (event.event === "done") this.done.value = true;
      }
      if (rows.length > 0) {
        this.note.value = "";
        this.last.value = rows[0];
        this.rows.value = [...rows, ...this.rows.value].slice(0, 8);
      }
      this.plot.value = [[...this.#steps], [...this.#losses], [...this.#validation]];
    });
  }

  end(why: string | undefined): void {
    if (!this.done.value && why !== undefined) this.ended.value ??= why;
    this.note.value = "";
  }

  #point(step: number, { loss, validation }: { loss?: number; validation?: number }): void {
    if (this.#steps.at(-1) !== step) {
      this.#steps.push(step);
      this.#losses.push(null);
      this.#validation.push(null);
    }
    if (loss !== undefined) this.#losses[this.#losses.length - 1] = loss;
    if (validation !== undefined) this.#validation[this.#validation.length - 1] = validation;
  }
}

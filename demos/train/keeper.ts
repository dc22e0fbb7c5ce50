// When a run's checkpoints are kept, and what is told of it.

import { notKeptOf, notShownOf } from "./failure.ts";
import { type KeptText, keepRecord, keepRun } from "./keep.ts";
import type { History, Kept, News, RunRecord } from "./news.ts";
import type { Settings } from "./settings.ts";

/** Until the first checkpoint: who leaves early loses little. */
const firstKeepMs = 1000;
/** Between two checkpoints that are kept; longer where keeping one takes long. */
const keepEveryMs = 10_000;
/** Time spent on checkpoints: at most one part in so many. */
const keepShare = 10;

export class Keeper {
  readonly #run: { id: string; settings: Settings; text: KeptText };
  readonly #tell: (news: News) => void;
  #textKept = false;
  #keeping: Promise<void> | undefined;
  #nextMs = Number.POSITIVE_INFINITY;
  /** of the checkpoint that is kept; undefined before there is one of this page */
  #step: number | undefined;

  constructor(run: { id: string; settings: Settings; text: KeptText }, tell: (news: News) => void) {
    this.#run = run;
    this.#tell = tell;
  }

  /** The checkpoint of this step is kept from before. */
  keeps(step: number): void {
    this.#step = step;
  }

  begin(): void {
    this.#nextMs = performance.now() + firstKeepMs;
  }

  /** whether it is time for another checkpoint */
  get due(): boolean {
    return performance.now() >= this.#nextMs && !this.#keeping;
  }

  /** Of the run so far: what came of later steps is left out. */
  keep(checkpoint: { step: number; bytes: Uint8Array }, history: History): void {
    this.#nextMs = performance.now() + keepEveryMs;
    // One behind the other: what is on its way to the disk is whole there before the next.
    const keeping = (this.#keeping ?? Promise.resolve()).then(() => this.#keep(checkpoint, history));
    this.#keeping = keeping;
    void keeping.then(() => {
      if (this.#keeping === keeping) this.#keeping = undefined;
    });
  }

  async #keep({ step, bytes }: { step: number; bytes: Uint8Array }, history: History): Promise<void> {
    const startedMs = performance.now();
    const { id, settings, text } = this.#run;
    const about: Kept = { id, step, savedAtMs: Date.now(), textName: text.facts.name, settings };
    const { steps, evals, samples } = history;
    const until = {
      steps: steps.filter(([of]) => of <= step),
      evals: evals.filter(([of]) => of <= step),
      samples: samples.filter((each) => each.step <= step),
    };
    try {
      await keepRun({ about, checkpoint: bytes, history: until }, this.#textKept ? undefined : text);
      this.#textKept = true;
      this.#step = step;
      this.#tell({ kept: about, notKept: undefined });
    } catch (error) {
      this.#tell({ notKept: notKeptOf(error, step) });
    }
    this.#nextMs = performance.now() + Math.max(keepEveryMs, keepShare * (performance.now() - startedMs));
  }

  /** Once the run is over and its last checkpoint on the disk: what is shown of it. Nothing where that checkpoint is not there. */
  async keepRecord(record: RunRecord): Promise<void> {
    await this.#keeping;
    if (record.failed || record.finished === undefined || record.finished.steps !== this.#step) return;
    try {
      await keepRecord(this.#run.id, record);
    } catch (error) {
      this.#tell({ notKept: notShownOf(error) });
    }
  }
}

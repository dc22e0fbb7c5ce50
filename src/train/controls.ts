// What is asked of a run while it goes, kept until the run takes it up between two steps. Knows no run: the loop takes from its own
// controls, and ranks elsewhere get what was asked with the reply to an event, each into controls of its own.

/** What was asked for and not taken up yet. */
interface Wishes {
  /** tokens of a sample */
  sample?: number;
  checkpoint?: boolean;
  /** steps of a trace */
  trace?: number;
}

/** The same with what holds on: plain data, which crosses to ranks elsewhere. */
export interface Asked extends Wishes {
  learningRateFactor: number;
}

/** Steers a run while it goes. What is asked for is taken up between two steps, by all ranks after the same one; what is asked for twice
 *  before that is done once, as asked for last. One object steers one run. */
export class TrainControls {
  #factor = 1;
  #wishes: Wishes = {};

  /** What the schedule's learning rate is multiplied by from the next step on; 1 at first.
   *  @throws RangeError when set to what is no finite number from 0 */
  get learningRateFactor(): number {
    return this.#factor;
  }

  set learningRateFactor(factor: number) {
    if (!(factor >= 0 && factor < Number.POSITIVE_INFINITY))
      throw new RangeError(
        `got a learning rate factor of ${factor}, need a finite number from 0; 1 leaves the schedule as it is`,
      );
    this.#factor = factor;
  }

  /** A "sample" event of so many tokens, and their "token" events before it, after the step under way.
   *  @throws RangeError for what is no whole number from 1 */
  sample(tokens: number): void {
    this.#wishes.sample = positive(tokens, "tokens of a sample");
  }

  /** A "checkpoint" event after the step under way. */
  checkpoint(): void {
    this.#wishes.checkpoint = true;
  }

  /** Ranks note what they do in the next `steps` steps; a "timeline" event follows them, or the run's last step where that comes first.
   *  Asked for while another trace is under way it begins behind that one. An evaluation or a sample before one of the steps is in it, and
   *  a traced step takes longer.
   *  @throws RangeError for what is no whole number from 1 */
  trace(steps: number): void {
    this.#wishes.trace = positive(steps, "steps of a trace");
  }

  /** For who runs: what was asked for of this kind since it was last taken. */
  take<K extends keyof Wishes>(kind: K): Wishes[K] {
    const wish = this.#wishes[kind];
    this.#wishes[kind] = undefined;
    return wish;
  }

  /** For who passes it on to ranks: everything. */
  takeAll(): Asked {
    const wishes = this.#wishes;
    this.#wishes = {};
    return { ...wishes, learningRateFactor: this.#factor };
  }

  /** For who gets it passed on. */
  ask({ learningRateFactor, ...wishes }: Asked): void {
    this.#factor = learningRateFactor;
    this.#wishes = { ...this.#wishes, ...wishes };
  }
}

function positive(count: number, what: string): number {
  if (Number.isSafeInteger(count) && count >= 1) return count;
  throw new RangeError(`got ${count} ${what}, need a whole number from 1`);
}

// Newer questions end older ones: a long computation asks now and then whether it is still wanted, and lets the newer one come through.

class Superseded extends Error {}

/** How long a computation may keep the thread: a question that waits this long still feels immediate. */
const breathMs = 40;

/** To be awaited now and then; throws when a newer question has come. */
export type StillWanted = () => Promise<void>;

/** Where one computation waits for the one before: those that share a thread at once would all end late. */
export class Lane {
  #last: Promise<unknown> = Promise.resolve();

  run<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => undefined);
    return result;
  }
}

/** Of one kind of question, the latest alone is answered. */
export class Turns {
  #latest = 0;
  readonly #lane: Lane;

  /** lane: shared with other kinds that can wait for this one */
  constructor(lane = new Lane()) {
    this.#lane = lane;
  }

  /** @returns what `work` does, or undefined when a newer question came meanwhile */
  async answer<T>(work: (stillWanted: StillWanted) => Promise<T>): Promise<T | undefined> {
    const own = ++this.#latest;
    const check = () => {
      if (own !== this.#latest) throw new Superseded();
    };
    let lastMs = performance.now();
    const stillWanted = async () => {
      if (performance.now() - lastMs < breathMs) return;
      // Messages are tasks: promises alone would not let them in.
      await new Promise((resolve) => setTimeout(resolve));
      lastMs = performance.now();
      check();
    };
    try {
      return await this.#lane.run(() => {
        check();
        return work(stillWanted);
      });
    } catch (error) {
      if (error instanceof Superseded) return undefined;
      throw error;
    }
  }
}

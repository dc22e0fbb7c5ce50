// Newer questions end older ones: a long computation asks now and then whether it is still wanted, and lets the newer one come through.

class Superseded extends Error {}

/** How long a computation may keep the thread: a question that waits this long still feels immediate. */
const breathMs = 40;

/** To be awaited now and then; throws when a newer question has come. */
export type StillWanted = () => Promise<void>;

/** Of one kind of question, the latest alone is answered. */
export class Turns {
  #latest = 0;

  /** @returns what `work` does, or undefined when a newer question came meanwhile */
  async answer<T>(work: (stillWanted: StillWanted) => Promise<T>): Promise<T | undefined> {
    const own = ++this.#latest;
    let lastMs = performance.now();
    const stillWanted = async () => {
      if (performance.now() - lastMs < breathMs) return;
      // Messages are tasks: promises alone would not let them in.
      await new Promise((resolve) => setTimeout(resolve));
      lastMs = performance.now();
      if (own !== this.#latest) throw new Superseded();
    };
    try {
      return await work(stillWanted);
    } catch (error) {
      if (error instanceof Superseded) return undefined;
      throw error;
    }
  }
}

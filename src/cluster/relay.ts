// Where the ranks of a run meet with what they have to tell: the n-th item of each becomes the n-th of the run, when all have come and
// somebody asks for it. Until then every rank waits.

export class Relay<T, R> implements AsyncIterable<T[]> {
  readonly #size: number;
  readonly #replyTo: (goOn: boolean) => R;
  #items: T[] = [];
  #given = 0;
  #resume: ((reply: R) => void)[] = [];
  #asked: { resolve: (result: IteratorResult<T[]>) => void; reject: (error: unknown) => void } | undefined;
  #ready: T[] | undefined;
  #ended = false;
  #failure: { error: unknown } | undefined;
  #stopped = false;

  /** reply: what all ranks are told when the reader asks for what comes after their items; goOn is false when it wants no more */
  constructor(size: number, reply: (goOn: boolean) => R) {
    this.#size = size;
    this.#replyTo = reply;
  }

  /** A rank's next item. Resolves when the reader asks for the one after it, with the same reply for all. */
  give(rank: number, item: T): Promise<R> {
    if (this.#stopped) return Promise.resolve(this.#replyTo(false));
    this.#items[rank] = item;
    const resumed = new Promise<R>((resolve) => this.#resume.push(resolve));
    if (++this.#given === this.#size) {
      this.#ready = this.#items;
      this.#items = [];
      this.#given = 0;
      this.#answer();
    }
    return resumed;
  }

  /** Every rank has ended. */
  end(): void {
    this.#ended = true;
    this.#answer();
  }

  fail(error: unknown): void {
    this.#failure = { error };
    this.#answer();
  }

  /** The reader goes: ranks that wait here, and those that come, are told. */
  stop(): void {
    this.#stopped = true;
    this.#release(false);
  }

  [Symbol.asyncIterator](): AsyncIterator<T[]> {
    let first = true;
    return {
      next: () =>
        new Promise((resolve, reject) => {
          this.#asked = { resolve, reject };
          if (!first) this.#release(true);
          first = false;
          this.#answer();
        }),
    };
  }

  #release(goOn: boolean): void {
    const waiting = this.#resume;
    if (waiting.length === 0) return;
    this.#resume = [];
    const reply = this.#replyTo(goOn);
    for (const resume of waiting) resume(reply);
  }

  #answer(): void {
    const asked = this.#asked;
    if (!asked) return;
    if (this.#ready) asked.resolve({ done: false, value: this.#ready });
    else if (this.#failure) asked.reject(this.#failure.error);
    else if (this.#ended) asked.resolve({ done: true, value: undefined });
    else return;
    this.#asked = undefined;
    this.#ready = undefined;
  }
}

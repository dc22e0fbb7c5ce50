// What the maker of a room on NATS keeps there for its members, for as long as it is there itself: put there again where strangers or a new server
// have emptied the store, and before it would expire. Killed, it leaves sealed bytes that the server forgets.

import type { NatsObjects } from "./nats-objects.ts";

/** Beside the bytes themselves, twice where they are replaced, room for heads and what each message costs the server: 1% of chunks of 128 KB */
const roomFor = (bytes: number): number => Math.ceil(2.1 * bytes) + (1 << 20);

export class Keeper {
  readonly #kept: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
  readonly #made: { mostBytes: number; ttlMs: number };
  readonly #open: (made: { mostBytes: number; ttlMs: number }) => Promise<NatsObjects>;
  readonly #failed: (error: Error) => void;
  /** when each was put there, and its id there */
  readonly #there = new Map<string, { id: string; putMs: number }>();
  #timer: ReturnType<typeof setInterval> | undefined;
  #looking: Promise<void> | undefined;

  constructor(options: {
    kept: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
    ttlMs: number;
    open: (made: { mostBytes: number; ttlMs: number }) => Promise<NatsObjects>;
    /** what it did not succeed in, to be tried again */
    failed: (error: Error) => void;
  }) {
    const { kept, ttlMs, open, failed } = options;
    this.#kept = kept;
    this.#open = open;
    this.#failed = failed;
    const bytes = [...kept.values()].reduce((sum, { length }) => sum + length, 0);
    this.#made = { mostBytes: roomFor(bytes), ttlMs };
  }

  /** Puts everything there, then looks after it.
   *  @param checkMs how often
   *  @throws RendezvousError when the server does not take it */
  async begin(checkMs: number): Promise<void> {
    if (this.#kept.size === 0) return;
    // What a room before left there, under another secret, in a store of another size.
    await this.#open(this.#made).then((objects) => objects.destroy());
    await this.#look();
    this.#timer = setInterval(() => {
      this.#looking ??= this.#look()
        .catch(this.#failed)
        .finally(() => {
          this.#looking = undefined;
        });
    }, checkMs);
  }

  /** Nothing is kept from now on, unless the server cannot be reached: it forgets by itself. */
  async end(): Promise<void> {
    clearInterval(this.#timer);
    if (!this.#timer) return;
    await this.#looking;
    await this.#open(this.#made)
      .then((objects) => objects.destroy())
      .catch(() => undefined);
  }

  async #look(): Promise<void> {
    const objects = await this.#open(this.#made);
    for (const [name, bytes] of this.#kept) {
      const there = this.#there.get(name);
      const nowMs = performance.now();
      const fresh = there && nowMs - there.putMs < this.#made.ttlMs / 2;
      if (fresh && there.id === (await objects.idOf(name))) continue;
      this.#there.set(name, { id: await objects.put(name, bytes), putMs: nowMs });
    }
  }
}

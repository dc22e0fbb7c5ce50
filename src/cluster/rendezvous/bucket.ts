// A token bucket: so much at once, so much a second from then on.

export interface Rate {
  perSecond: number;
  /** at once, after a time of nothing */
  burst: number;
}

export class Bucket {
  readonly #rate: Rate;
  #tokens: number;
  #filledMs: number;

  /** Times are of any clock that does not run backwards. */
  constructor(rate: Rate, nowMs: number) {
    this.#rate = rate;
    this.#tokens = rate.burst;
    this.#filledMs = nowMs;
  }

  /** Whether there were so many, which then are gone. */
  take(count: number, nowMs: number): boolean {
    this.#fill(nowMs);
    if (this.#tokens < count) return false;
    this.#tokens -= count;
    return true;
  }

  /** Nothing was taken for so long that a new bucket would be the same. */
  full(nowMs: number): boolean {
    this.#fill(nowMs);
    return this.#tokens === this.#rate.burst;
  }

  #fill(nowMs: number): void {
    const { perSecond, burst } = this.#rate;
    this.#tokens = Math.min(burst, this.#tokens + (perSecond * Math.max(0, nowMs - this.#filledMs)) / 1000);
    this.#filledMs = Math.max(nowMs, this.#filledMs);
  }
}

// Dynamic loss scaling (Micikevicius et al., arXiv 1710.03740): gradients below what f16 can hold are lost, so the loss's gradient starts as
// large as none of them overflows. By the rule of PyTorch's GradScaler.

import { UserError } from "../backend/errors.ts";

/** PyTorch's default. Too large costs a skipped step each time it halves. */
const start = 2 ** 16;
/** Steps without overflow after which twice as much is tried: PyTorch's default. */
const growEvery = 2000;
/** Beyond it even gradients of 2^-48 would be normal numbers: nothing is left to gain. */
const largest = 2 ** 24;

/** Plain data. */
export interface LossScaleState {
  value: number;
  skipped: number;
  /** steps without overflow since the value last changed */
  good: number;
}

export class LossScale {
  /** what the loss's gradient starts from: a power of two, so that nothing is rounded by it */
  value: number;
  /** steps whose gradient overflowed, and which changed nothing */
  skipped = 0;
  #good = 0;

  /** @throws UserError unless it starts from a power of two, 1 to 2^24 */
  constructor(from: number = start) {
    this.value = checked(from);
  }

  /** With it another one goes on as this one would.
   *  @throws UserError when set to a value that is no power of two, 1 to 2^24 */
  get state(): LossScaleState {
    return { value: this.value, skipped: this.skipped, good: this.#good };
  }

  set state({ value, skipped, good }: LossScaleState) {
    this.value = checked(value);
    this.skipped = skipped;
    this.#good = good;
  }

  /** After a step, told whether its gradient was finite. False when there is no smaller scale to try: then it is not the scale. */
  next(finite: boolean): boolean {
    if (finite) {
      if (++this.#good < growEvery) return true;
      this.value = Math.min(largest, 2 * this.value);
    } else {
      if (this.value === 1) return false;
      this.skipped++;
      this.value /= 2;
    }
    this.#good = 0;
    return true;
  }
}

function checked(value: number): number {
  if (value >= 1 && value <= largest && Number.isInteger(Math.log2(value))) return value;
  throw new UserError(`got a loss scale of ${value}, need a power of two from 1 to ${largest}`);
}

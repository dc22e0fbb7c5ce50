// The dropout masks that kernels.ts defines, from Philox words.

import type { DropoutArgs } from "../../kernels.ts";
import { philox } from "../../philox.ts";

/** Factors of dropout, 0 or 1 / (1 - probability), by (row, col) of the whole. */
export class DropoutMask {
  readonly #counter: Uint32Array;
  readonly #key: Uint32Array;
  readonly #words = new Uint32Array(4);
  readonly #threshold: number;
  readonly #kept: number;

  constructor({ probability, seed, stream, step }: DropoutArgs) {
    this.#counter = Uint32Array.of(0, 0, step, stream);
    this.#key = Uint32Array.of(seed, 0);
    this.#threshold = Math.floor(probability * 2 ** 32);
    this.#kept = 1 / (1 - probability);
  }

  /** factors[j] = the factor of (row, firstCol + j), for every j of `factors`. */
  row({ row, firstCol }: { row: number; firstCol: number }, factors: Float32Array): void {
    this.#counter[1] = row;
    for (let j = 0; j < factors.length; j++) {
      const word = (firstCol + j) % 4;
      if (word === 0 || j === 0) {
        this.#counter[0] = Math.floor((firstCol + j) / 4);
        philox({ counter: this.#counter, key: this.#key }, this.#words);
      }
      factors[j] = this.#words[word] < this.#threshold ? 0 : this.#kept;
    }
  }
}

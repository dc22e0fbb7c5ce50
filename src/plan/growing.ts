// Arrays of numbers that grow: millions of ops take a few bytes each.

export class Growing<A extends Uint8Array | Uint16Array | Int32Array | Float64Array> {
  length = 0;
  #items: A;
  readonly #make: (length: number) => A;

  /** make: an array of so many zeros */
  constructor(make: (length: number) => A) {
    this.#make = make;
    this.#items = make(256);
  }

  /** @returns its place */
  push(value: number): number {
    if (this.length === this.#items.length) {
      const longer = this.#make(2 * this.length);
      longer.set(this.#items);
      this.#items = longer;
    }
    this.#items[this.length] = value;
    return this.length++;
  }

  get(at: number): number {
    return this.#items[at];
  }

  /** What was pushed, a copy. */
  get items(): A {
    return this.#items.slice(0, this.length) as A;
  }
}

export const ints = (): Growing<Int32Array> => new Growing((length) => new Int32Array(length));
export const bytes = (): Growing<Uint8Array> => new Growing((length) => new Uint8Array(length));
export const numbers = (): Growing<Float64Array> => new Growing((length) => new Float64Array(length));

// One growable linear memory and the list of its free pieces: where every buffer of the cpu backend lives, so that
// WebAssembly kernels can reach them all. First fit, coalescing (Knuth, TAOCP 1, 2.5). It knows bytes, not buffers.

import { OutOfMemoryError } from "../errors.ts";

export const pageBytes = 65536;
/** A vector register of WebAssembly SIMD. */
const alignment = 16;
/** 32-bit WebAssembly addresses. */
export const addressableBytes = 2 ** 32;

const alignUp = (bytes: number): number => Math.ceil(bytes / alignment) * alignment;

/** A WebAssembly.Memory, or what stands for another thread's. */
export interface Growable {
  readonly buffer: { readonly byteLength: number };
  /** @throws RangeError when it cannot */
  grow(pages: number): unknown;
}

export class LinearMemory {
  readonly maxBytes: number;
  readonly #memory: Growable;
  // Free pieces by ascending start; neighbours never touch.
  readonly #starts: number[] = [];
  readonly #lengths: number[] = [];

  /** @param base where buffers begin; what is below is somebody else's */
  constructor({ maxBytes, memory, base = 0 }: { maxBytes: number; memory: Growable; base?: number }) {
    this.maxBytes = maxBytes;
    this.#memory = memory;
    if (this.byteLength > base) this.#insert(base, this.byteLength - base);
  }

  /** A memory of this thread's, and what keeps account of it.
   *  @throws RangeError when maxBytes is less than a page, or more than there are addresses */
  static create(maxBytes: number): { memory: WebAssembly.Memory; linear: LinearMemory } {
    const maximum = Math.floor(maxBytes / pageBytes);
    if (!(maximum >= 1 && maxBytes <= addressableBytes)) {
      throw new RangeError(
        `maxBytes is ${maxBytes}, needs ${pageBytes} (one page) to ${addressableBytes} (32-bit addresses)`,
      );
    }
    const memory = new WebAssembly.Memory({ initial: 1, maximum });
    return { memory, linear: new LinearMemory({ maxBytes: maximum * pageBytes, memory }) };
  }

  get byteLength(): number {
    return this.#memory.buffer.byteLength;
  }

  get freeBytes(): number {
    return this.#lengths.reduce((sum, length) => sum + length, 0);
  }

  /** Start of a piece of at least `byteLength` bytes, a multiple of 16. Contents are undefined.
   *  @throws OutOfMemoryError when no piece is long enough and the memory cannot grow */
  allocate(byteLength: number): number {
    const length = alignUp(byteLength);
    let at = this.#lengths.findIndex((free) => free >= length);
    if (at < 0) {
      this.#grow(length);
      at = this.#lengths.length - 1;
    }
    const start = this.#starts[at];
    if (this.#lengths[at] === length) {
      this.#starts.splice(at, 1);
      this.#lengths.splice(at, 1);
    } else {
      this.#starts[at] += length;
      this.#lengths[at] -= length;
    }
    return start;
  }

  /** As `allocate`, where one can do without: undefined when there is no such piece. */
  tryAllocate(byteLength: number): number | undefined {
    try {
      return this.allocate(byteLength);
    } catch (error) {
      if (error instanceof OutOfMemoryError) return undefined;
      throw error;
    }
  }

  /** Gives back what `allocate(byteLength)` gave at `start`. */
  free(start: number, byteLength: number): void {
    this.#insert(start, alignUp(byteLength));
  }

  /** Makes the last free piece at least `length` bytes long. */
  #grow(length: number): void {
    const end = this.byteLength;
    const last = this.#starts.length - 1;
    const tail = last >= 0 && this.#starts[last] + this.#lengths[last] === end ? this.#lengths[last] : 0;
    const needed = Math.ceil((length - tail) / pageBytes) * pageBytes;
    // A half more than there is: the number of times that every view must be made again stays logarithmic.
    const generous = Math.min(Math.max(needed, Math.ceil(end / 2 / pageBytes) * pageBytes), this.maxBytes - end);
    if (needed > this.maxBytes - end || !(this.#tryGrow(generous) || this.#tryGrow(needed))) {
      throw new OutOfMemoryError(
        `allocate: asked for ${length} bytes, but the cpu backend holds ${end} of at most ${this.maxBytes} bytes, ${this.freeBytes} of them free ` +
          `(longest piece ${Math.max(0, ...this.#lengths)}), and cannot grow; use a smaller batch, context or model`,
        "allocate",
      );
    }
    this.#insert(end, this.byteLength - end);
  }

  #tryGrow(byteLength: number): boolean {
    try {
      this.#memory.grow(byteLength / pageBytes);
      return true;
    } catch (error) {
      if (error instanceof RangeError) return false;
      throw error;
    }
  }

  #insert(start: number, length: number): void {
    let at = 0;
    for (let end = this.#starts.length; at < end; ) {
      const middle = (at + end) >> 1;
      if (this.#starts[middle] < start) at = middle + 1;
      else end = middle;
    }
    const joinsPrevious = at > 0 && this.#starts[at - 1] + this.#lengths[at - 1] === start;
    const joinsNext = at < this.#starts.length && start + length === this.#starts[at];
    if (joinsPrevious) {
      this.#lengths[at - 1] += length + (joinsNext ? this.#lengths[at] : 0);
      if (joinsNext) {
        this.#starts.splice(at, 1);
        this.#lengths.splice(at, 1);
      }
    } else if (joinsNext) {
      this.#starts[at] = start;
      this.#lengths[at] += length;
    } else {
      this.#starts.splice(at, 0, start);
      this.#lengths.splice(at, 0, length);
    }
  }
}

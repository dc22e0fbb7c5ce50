// Host memory that goes round: arrays that a message was read into, put together in or copied from serve for those to come, as most
// messages of a run are like others before. A fresh array's pages take longer than to copy what goes into them.

/** What of another thread's is not needed here goes back there. */
export interface Home {
  giveBack(memory: ArrayBuffer): void;
}

/** Arrays of one size. */
interface Shelf {
  readonly arrays: ArrayBuffer[];
  /** How many are kept: as many as there were once too few. So memory stays where it is sent from, not where it comes to. */
  wanted: number;
}

/** Shorter arrays an engine has at hand. */
const shortestBytes = 4096;
/** Of all arrays kept: three messages of 16 MB, or a layer's of small ones. */
const mostBytes = 64 << 20;

/** Sizes of memory: eight steps to each power of two, so that no more than an eighth is for nothing. */
function sizeFor(bytes: number): number {
  const step = Math.max(shortestBytes, 2 ** Math.floor(Math.log2(bytes)) / 8);
  return Math.ceil(bytes / step) * step;
}

export class Spare {
  readonly #shelves = new Map<number, Shelf>();
  readonly #homes = new WeakMap<ArrayBuffer, Home>();
  #bytes = 0;
  /** how often there was none, and memory was allocated */
  misses = 0;

  /** An array with anything in it, at the beginning of memory of its own. */
  take(length: number): Uint8Array<ArrayBuffer> {
    if (length < shortestBytes) return new Uint8Array(length);
    const size = sizeFor(length);
    const shelf = this.#shelves.get(size);
    const memory = shelf?.arrays.pop();
    if (memory) {
      this.#bytes -= size;
      return new Uint8Array(memory, 0, length);
    }
    this.misses++;
    if (shelf) shelf.wanted++;
    else this.#shelves.set(size, { arrays: [], wanted: 1 });
    return new Uint8Array(new ArrayBuffer(size), 0, length);
  }

  /** Where the memory of a message came from. A message that does not lie at its beginning has memory from elsewhere, which no thread has
   *  a use for again. */
  comes({ buffer, byteOffset }: Uint8Array<ArrayBuffer>, from: Home): void {
    if (byteOffset === 0 && buffer.byteLength >= shortestBytes) this.#homes.set(buffer, from);
  }

  /** Takes memory that nobody reads any more, whoever allocated it. */
  give(memory: ArrayBuffer): void {
    const { byteLength } = memory;
    if (byteLength < shortestBytes) return;
    const shelf = this.#shelves.get(byteLength);
    if (shelf && shelf.arrays.length < shelf.wanted && this.#bytes + byteLength <= mostBytes) {
      this.#bytes += byteLength;
      shelf.arrays.push(memory);
      return;
    }
    const home = this.#homes.get(memory);
    if (home) home.giveBack(memory);
    else if (shelf) this.#exchange(shelf, memory);
  }

  /** One that another thread lacks goes there, and this one stays in its place. */
  #exchange({ arrays }: Shelf, memory: ArrayBuffer): void {
    const at = arrays.findIndex((each) => this.#homes.has(each));
    if (at < 0) return;
    this.#homes.get(arrays[at])?.giveBack(arrays[at]);
    arrays[at] = memory;
  }

  /** Lets go of everything: the next run's messages are others. */
  clear(): void {
    this.#shelves.clear();
    this.#bytes = 0;
  }
}

/** One for all links of a thread: a rank receives from others than it sends to. */
export const spare = new Spare();

// Pieces of the shared memory into which the caller's thread writes what the first thread is to copy to its place: a message's copy
// would be made in fresh pages, which take longer than the bytes.

import type { LinearMemory } from "../cpu/memory.ts";

/** Shortest piece. Lengths are powers of two: few classes, and pages that nobody writes to cost nothing. */
const shortest = 65_536;
/** Bytes of all pieces: what a rank's neighbours may have under way to it. */
const mostBytes = 32 << 20;

/** A piece that is free once the first thread has come to position `until`. */
interface Piece {
  readonly start: number;
  until: number;
}

export class Staging {
  readonly #linear: LinearMemory;
  readonly #pieces = new Map<number, Piece[]>();
  #bytes = 0;

  constructor(linear: LinearMemory) {
    this.#linear = linear;
  }

  /** A piece of so many bytes that nobody reads or writes any more; undefined when there is none yet.
   *  @param options.passed whether the first thread has come to a position
   *  @param options.head what was asked for last: the memory of a new piece may be in use until then */
  find(bytes: number, { passed, head }: { passed(position: number): boolean; head: number }): Piece | undefined {
    const size = Math.max(shortest, 2 ** Math.ceil(Math.log2(bytes)));
    let pieces = this.#pieces.get(size);
    if (!pieces) this.#pieces.set(size, (pieces = []));
    const free = pieces.find(({ until }) => passed(until));
    if (free || this.#bytes + size > mostBytes) return free;
    const start = this.#linear.tryAllocate(size);
    if (start === undefined) return undefined;
    this.#bytes += size;
    const piece = { start, until: head };
    pieces.push(piece);
    return passed(head) ? piece : undefined;
  }
}

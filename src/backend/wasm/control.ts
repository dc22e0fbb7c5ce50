// The first 64 KiB of the linear memory: where the threads that compute meet. Behind it come the binary's own page, the ring of commands,
// each thread's scratch, and the buffers.

import { nowUs } from "../clock.ts";

/** Words (i32) of the control block. Those that several threads write lie a cache line apart. */
export const control = {
  /** changes with every pass that is shared out: what sleeping threads wait for */
  epoch: 0,
  /** the pass threads may join, an epoch; 0 while there is none */
  open: 16,
  /** threads that may be at the open pass */
  active: 32,
  /** the first thread sleeps until there are none */
  waiting: 33,
  /** the next chunk nobody has taken */
  next: 48,
  sleeping: 64,
  /** a thread's pass threw */
  failed: 80,
  /** where the open pass's record is */
  record: 96,
  /** changes with everything the caller asks for: what the first thread sleeps on */
  asked: 112,
  /** the caller's position in the ring */
  head: 113,
  /** messages the caller has posted that come behind what is in the ring */
  posted: 114,
  /** the first thread's position in the ring; it wakes who waits for it when it runs out of work */
  done: 128,
  /** of the posted messages those obeyed */
  taken: 129,
  /** the first thread sleeps, or is about to */
  resting: 144,
} as const;

export const controlWords = 1024;
/** bytes: a record that did not come through the ring */
const recordAt = 4 * controlWords;
const ringAt = 2 * 65536;
/** f64s, a power of two: a step of a small model is 3,000 on one rank, 50,000 on eight. */
export const ringLength = 131_072;
/** Index of the ring's first number. */
export const ringStart = ringAt / 8;
const scratchAt = ringAt + 8 * ringLength;
export const scratchBytes = 256 * 1024;

export const scratchOf = (thread: number): number => scratchAt + thread * scratchBytes;

/** Where the buffers begin. */
export const heapAt = (threads: number): number => scratchOf(threads);

export type PassFunction = (args: number, begin: number, end: number, scratch: number) => void;

/** Numbers of a record before its arguments: [pass, items, grain, count of arguments]. */
export const recordHead = 4;

/** Looks at a word this often before a thread sleeps: some 50 microseconds, more than lies between two passes of a step, far less than
 *  anyone notices of a busy core. */
export const spins = 5_000;

/** One thread that computes. */
export class Crew {
  readonly #control: Int32Array;
  /** what lies before the first scratch */
  numbers: Float64Array;
  /** when each pass began and ended, while somebody wants to know */
  times: number[] | undefined;

  constructor(
    readonly passes: readonly PassFunction[],
    readonly memory: WebAssembly.Memory,
    /** 0 leads, the others join */
    readonly thread: number,
    readonly threads: number,
  ) {
    this.#control = new Int32Array(memory.buffer, 0, controlWords);
    this.numbers = new Float64Array(memory.buffer, 0, scratchAt / 8);
  }

  /** Makes the memory larger: one that is not shared gets new views, and needs this one only. */
  grow(pages: number): void {
    this.memory.grow(pages);
    this.numbers = new Float64Array(this.memory.buffer, 0, scratchAt / 8);
  }

  /** Runs the passes of a message one after another. */
  runAll(records: Float64Array): void {
    for (let at = 0; at < records.length; ) {
      const end = at + recordHead + records[at + 3];
      this.numbers.set(records.subarray(at, end), recordAt / 8);
      this.run(recordAt / 8);
      at = end;
    }
  }

  /** Runs the pass whose record begins at that index of `numbers`. */
  run(at: number): void {
    this.times?.push(nowUs());
    this.#run(at);
    this.times?.push(nowUs());
  }

  #run(at: number): void {
    const items = this.numbers[at + 1];
    if (this.threads === 1 || items <= this.numbers[at + 2]) {
      this.passes[this.numbers[at]](8 * (at + recordHead), 0, items, scratchOf(this.thread));
      return;
    }
    const words = this.#control;
    words[control.record] = at;
    Atomics.store(words, control.next, 0);
    const epoch = Atomics.add(words, control.epoch, 1) + 1 || 1;
    Atomics.store(words, control.open, epoch);
    if (Atomics.load(words, control.sleeping) > 0) Atomics.notify(words, control.epoch);
    this.#takeChunks();
    Atomics.store(words, control.open, 0);
    // Whoever joined before the pass was closed is waited for; whoever comes now finds it closed.
    let left = spins;
    for (let active = 0; (active = Atomics.load(words, control.active)) > 0; ) {
      if (--left > 0) continue;
      // Its thread has lost its core, perhaps to this one.
      Atomics.store(words, control.waiting, 1);
      Atomics.wait(words, control.active, active);
      Atomics.store(words, control.waiting, 0);
    }
    if (Atomics.load(words, control.failed) !== 0) throw new Error(`a pass failed on another thread`);
  }

  /** What threads other than the first do, for ever. */
  join(): never {
    const words = this.#control;
    for (;;) {
      const epoch = Atomics.load(words, control.epoch);
      if (Atomics.load(words, control.open) !== 0) {
        Atomics.add(words, control.active, 1);
        try {
          if (Atomics.load(words, control.open) !== 0) this.#takeChunks();
        } catch (error) {
          Atomics.store(words, control.failed, 1);
          throw error;
        } finally {
          const last = Atomics.sub(words, control.active, 1) === 1;
          if (last && Atomics.load(words, control.waiting) === 1) Atomics.notify(words, control.active);
        }
      }
      let left = spins;
      while (left > 0 && Atomics.load(words, control.epoch) === epoch) left--;
      if (left > 0) continue;
      Atomics.add(words, control.sleeping, 1);
      Atomics.wait(words, control.epoch, epoch);
      Atomics.sub(words, control.sleeping, 1);
    }
  }

  #takeChunks(): void {
    const words = this.#control;
    const at = words[control.record];
    const [run, items, grain] = [this.numbers[at], this.numbers[at + 1], this.numbers[at + 2]];
    for (;;) {
      const begin = Atomics.add(words, control.next, 1) * grain;
      if (begin >= items) return;
      this.passes[run](8 * (at + recordHead), begin, Math.min(begin + grain, items), scratchOf(this.thread));
    }
  }
}

// The first 64 KiB of the linear memory: where the threads that compute meet, and the arguments of the pass they are at. Behind it come
// the binary's own page, each thread's scratch, and the buffers.

/** Words (i32) of the control block. Those that several threads write lie a cache line apart. */
export const control = {
  /** changes with every pass that is shared out: what sleeping threads wait for */
  epoch: 0,
  /** the pass threads may join, an epoch; 0 while there is none */
  open: 16,
  /** threads that may be at the open pass */
  active: 32,
  /** the next chunk nobody has taken */
  next: 48,
  sleeping: 64,
  /** a thread's pass threw */
  failed: 80,
  run: 96,
  items: 97,
  grain: 98,
} as const;

/** bytes */
export const argsAt = 4096;
export const maxArgs = 256;
const scratchAt = 2 * 65536;
export const scratchBytes = 256 * 1024;

export const scratchOf = (thread: number): number => scratchAt + thread * scratchBytes;

/** Where the buffers begin. */
export const heapAt = (threads: number): number => scratchOf(threads);

export type PassFunction = (args: number, begin: number, end: number, scratch: number) => void;

/** Looks at the open pass this often before a thread sleeps: some 50 microseconds, more than lies between two passes of a step, far less
 *  than anyone notices of a busy core. */
const spins = 5_000;

/** One thread that computes. */
export class Crew {
  readonly #control: Int32Array;
  #args: Float64Array;

  constructor(
    readonly passes: readonly PassFunction[],
    readonly memory: WebAssembly.Memory,
    /** 0 leads, the others join */
    readonly thread: number,
    readonly threads: number,
  ) {
    this.#control = new Int32Array(memory.buffer, 0, argsAt / 4);
    this.#args = new Float64Array(memory.buffer, argsAt, maxArgs);
  }

  /** Makes the memory larger: one that is not shared gets new views, and needs them for its arguments only. */
  grow(pages: number): void {
    this.memory.grow(pages);
    this.#args = new Float64Array(this.memory.buffer, argsAt, maxArgs);
  }

  /** Runs passes one after another; a record is [pass, items, grain, count of arguments, arguments]. */
  runAll(records: Float64Array): void {
    for (let at = 0; at < records.length; ) {
      const count = records[at + 3];
      this.#args.set(records.subarray(at + 4, at + 4 + count));
      this.#run(records[at], { items: records[at + 1], grain: records[at + 2] });
      at += 4 + count;
    }
  }

  #run(run: number, { items, grain }: { items: number; grain: number }): void {
    if (this.threads === 1 || items <= grain) {
      this.passes[run](argsAt, 0, items, scratchOf(this.thread));
      return;
    }
    const words = this.#control;
    words[control.run] = run;
    words[control.items] = items;
    words[control.grain] = grain;
    Atomics.store(words, control.next, 0);
    const epoch = Atomics.add(words, control.epoch, 1) + 1 || 1;
    Atomics.store(words, control.open, epoch);
    if (Atomics.load(words, control.sleeping) > 0) Atomics.notify(words, control.epoch);
    this.#takeChunks();
    Atomics.store(words, control.open, 0);
    // Whoever joined before the pass was closed is waited for; whoever comes now finds it closed.
    let left = spins;
    for (let active = 0; (active = Atomics.load(words, control.active)) > 0; ) {
      // Its thread may have lost its core.
      if (--left < 0) Atomics.wait(words, control.active, active, 0.1);
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
          Atomics.sub(words, control.active, 1);
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
    const [run, items, grain] = [words[control.run], words[control.items], words[control.grain]];
    for (;;) {
      const begin = Atomics.add(words, control.next, 1) * grain;
      if (begin >= items) return;
      this.passes[run](argsAt, begin, Math.min(begin + grain, items), scratchOf(this.thread));
    }
  }
}

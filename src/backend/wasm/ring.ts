// Commands in shared memory: the caller writes records behind each other into a ring, the first thread obeys them in order, and neither
// pays for a message. What does not fit goes as a message, which comes behind all that is in the ring; the caller writes into the ring
// again once the thread has taken every message. So there is one order, and the caller never waits.

import { control, controlWords, recordHead, ringLength, ringStart, spins } from "./control.ts";

/** A record begins with four numbers: what to do, two more, and how many follow. What is not a pass's number: */
export const commands = {
  /** [copyIn, address, bytes, n], and n numbers that hold the bytes */
  copyIn: -1,
  /** [copy, from, bytes, 2, to, tell]: of bytes to another address. The caller is woken then; by a message where `tell` is 1 */
  copy: -2,
  /** go on at the ring's start */
  wrap: -3,
} as const;

/** ECMAScript 2024. */
type WaitAsync = (words: Int32Array, index: number, value: number) => { value: Promise<string> | string };

const mask = ringLength - 1;
/** Positions are counted on for ever, modulo 2^32. */
const ahead = (head: number, done: number): number => (head - done) | 0;

/** The caller's side. */
export class RingWriter {
  /** the memory before the buffers as numbers: where `room` says one may write */
  readonly numbers: Float64Array;
  readonly #words: Int32Array;
  readonly #waitAsync = (Atomics as unknown as { waitAsync?: WaitAsync }).waitAsync;
  #head = 0;
  #posted = 0;
  /** nobody has woken the other threads since the first was found asleep */
  #alone = true;

  constructor(memory: WebAssembly.Memory) {
    this.#words = new Int32Array(memory.buffer, 0, controlWords);
    this.numbers = new Float64Array(memory.buffer, 0, ringStart + ringLength);
  }

  /** Whether all that was asked for is done. */
  get idle(): boolean {
    return this.#open && Atomics.load(this.#words, control.done) === this.#head;
  }

  /** no message comes first */
  get #open(): boolean {
    return Atomics.load(this.#words, control.taken) === this.#posted;
  }

  /** Index in `numbers` where a record of `length` numbers may be written; undefined when it has to be a message. */
  room(length: number): number | undefined {
    if (!this.#open) return undefined;
    const at = this.#head & mask;
    const skipped = at + length > ringLength ? ringLength - at : 0;
    const used = ahead(this.#head, Atomics.load(this.#words, control.done));
    if (used + skipped + length > ringLength) return undefined;
    if (skipped === 0) return ringStart + at;
    this.numbers[ringStart + at] = commands.wrap;
    this.#head = (this.#head + skipped) | 0;
    return ringStart;
  }

  /** Where the next record will be: the first thread is there when all before it is done. */
  get head(): number {
    return this.#head;
  }

  /** Whether the first thread has come to a position. */
  passed(position: number): boolean {
    return ahead(position, Atomics.load(this.#words, control.done)) <= 0;
  }

  /** Hands over the record of `length` numbers just written. `shared`: a pass that several threads will do. */
  publish(length: number, { shared }: { shared: boolean }): void {
    this.#head = (this.#head + length) | 0;
    Atomics.store(this.#words, control.head, this.#head);
    this.#wake();
    if (!shared || !this.#alone) return;
    // At once, not when the first thread, itself still waking, comes to it.
    this.#alone = false;
    if (Atomics.load(this.#words, control.sleeping) > 0) Atomics.notify(this.#words, control.epoch);
  }

  /** To be called before a message is posted. */
  announceMessage(): void {
    Atomics.store(this.#words, control.posted, ++this.#posted);
    this.#wake();
  }

  /** Whether `changed` can be asked: older engines cannot wait without blocking. */
  get canWait(): boolean {
    return this.#waitAsync !== undefined;
  }

  /** The first thread's position: to be taken before one looks what is done, and waited on when that is not enough. */
  get done(): number {
    return Atomics.load(this.#words, control.done);
  }

  /** Resolves when the first thread has gone on from `done`, and copied something or run out of work. */
  async changed(done: number): Promise<void> {
    await this.#waitAsync?.call(Atomics, this.#words, control.done, done).value;
  }

  /** Ends every wait for it. */
  endWaits(): void {
    Atomics.notify(this.#words, control.done);
  }

  #wake(): void {
    Atomics.add(this.#words, control.asked, 1);
    if (Atomics.load(this.#words, control.resting) === 0 || Atomics.exchange(this.#words, control.resting, 0) === 0)
      return;
    Atomics.notify(this.#words, control.asked);
    this.#alone = true;
  }
}

/** The first thread's side. */
export class RingReader {
  readonly #numbers: Float64Array;
  readonly #words: Int32Array;
  #done = 0;

  constructor(memory: WebAssembly.Memory) {
    this.#words = new Int32Array(memory.buffer, 0, controlWords);
    this.#numbers = new Float64Array(memory.buffer, 0, ringStart + ringLength);
  }

  /** Index of the next record's first number, once there is one; undefined when a message comes first. */
  next(): number | undefined {
    const words = this.#words;
    for (;;) {
      const asked = Atomics.load(words, control.asked);
      if (this.#done !== Atomics.load(words, control.head)) {
        const at = this.#done & mask;
        if (this.#numbers[ringStart + at] !== commands.wrap) return ringStart + at;
        this.#done = (this.#done + ringLength - at) | 0;
      } else if (Atomics.load(words, control.posted) !== Atomics.load(words, control.taken)) return undefined;
      else this.#rest(asked);
    }
  }

  /** The record at that index is done with. */
  finish(at: number): void {
    this.#done = (this.#done + recordHead + this.#numbers[at + 3]) | 0;
    Atomics.store(this.#words, control.done, this.#done);
  }

  /** Wakes the caller, who waits for what was done last. */
  tell(): void {
    Atomics.notify(this.#words, control.done);
  }

  finishMessage(): void {
    Atomics.add(this.#words, control.taken, 1);
  }

  /** Until something is asked for since `asked` was. */
  #rest(asked: number): void {
    const words = this.#words;
    Atomics.notify(words, control.done);
    for (let left = spins; left > 0; left--) if (Atomics.load(words, control.asked) !== asked) return;
    Atomics.store(words, control.resting, 1);
    Atomics.wait(words, control.asked, asked);
    Atomics.store(words, control.resting, 0);
  }
}

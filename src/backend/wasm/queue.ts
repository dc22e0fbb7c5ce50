// What the caller's thread asks of the threads that compute, in order: passes, bytes to write, bytes to read. Through a ring where memory
// is shared (ring.ts), by messages where it is not, or where the ring is too small.

import type { LinearMemory } from "../cpu/memory.ts";
import { deferred } from "../deferred.ts";
import { nextTurn } from "../turn.ts";
import { recordHead } from "./control.ts";
import type { Request } from "./messages.ts";
import { grainOf, type Pass } from "./plan.ts";
import { arrayFor, type Copied, type Open, type Range, type Waiting } from "./reads.ts";
import { commands, RingWriter } from "./ring.ts";
import { Staging } from "./staging.ts";
import type { Thread } from "./threads.ts";

/** Passes gathered into one message: it costs both sides some 10 microseconds, and the threads wait for the first. */
const passesInMessage = 16;
/** Bytes that are copied into the ring at most: a part of it. */
const copiedBytes = 32_768;
/** Bytes read at most through a copy in shared memory, which is taken from the buffers' for a while. */
const mostCopied = 4 << 20;
export class Queue {
  readonly #memory: WebAssembly.Memory | undefined;
  readonly #ring: RingWriter | undefined;
  readonly #threads: number;
  #linear: LinearMemory | undefined;
  #staging: Staging | undefined;
  #leader: Thread | undefined;
  /** reads that a message answers, by id */
  readonly #waiting = new Map<number, Waiting>();
  #open: Open[] = [];
  #copied: Copied[] = [];
  /** who asked for times, in turn */
  #timings: Waiting<Float64Array>[] = [];
  #watching = false;
  #nextRead = 1;
  /** passes for the next message */
  #records: number[] = [];
  #gathered = 0;

  /** memory: undefined where it is not shared */
  constructor({ memory, threads }: { memory: WebAssembly.Memory | undefined; threads: number }) {
    this.#memory = memory;
    this.#ring = memory && new RingWriter(memory);
    this.#threads = threads;
  }

  /** Whom it all goes to; nothing may be asked for before. */
  set leader(leader: Thread) {
    this.#leader = leader;
  }

  /** Where buffers are, and copies of what is read or written can be. */
  set linear(linear: LinearMemory) {
    this.#linear = linear;
    this.#staging = new Staging(linear);
  }

  /** A pass by its number. */
  run(number: number, pass: Pass): void {
    if (this.#open.length > 0) this.#closeReads();
    const { items, args } = pass;
    const grain = grainOf(pass);
    const length = recordHead + args.length;
    let at = this.#room(length);
    if (at === undefined) {
      this.#records.push(number, items, grain, args.length, ...args);
      // Whoever waits for something else, such as another rank's message, does not say so: they are not kept longer than a turn.
      if (++this.#gathered === 1) nextTurn(() => this.#flush());
      if (this.#gathered === passesInMessage) this.#flush();
      return;
    }
    const ring = this.#ring!;
    const { numbers } = ring;
    numbers[at++] = number;
    numbers[at++] = items;
    numbers[at++] = grain;
    numbers[at++] = args.length;
    for (const value of args) numbers[at++] = value;
    ring.publish(length, { shared: this.#threads > 1 && items > grain });
  }

  /** Copies `data`, which the caller may change at once, to an address. */
  write(to: number, data: Uint8Array): void {
    if (this.#open.length > 0) this.#closeReads();
    const bytes = data.byteLength;
    if (this.#idle) {
      new Uint8Array(this.#memory!.buffer, to, bytes).set(data);
      return;
    }
    const count = Math.ceil(bytes / 8);
    if (bytes > copiedBytes && this.#stage(to, data)) return;
    const at = bytes <= copiedBytes ? this.#room(recordHead + count) : undefined;
    if (at === undefined) {
      const copy = new Uint8Array(data);
      this.#post({ do: "write", at: to, data: copy }, [copy.buffer]);
      return;
    }
    const ring = this.#ring!;
    ring.numbers.set([commands.copyIn, to, bytes, count], at);
    new Uint8Array(this.#memory!.buffer, 8 * (at + recordHead), bytes).set(data);
    ring.publish(recordHead + count, { shared: false });
  }

  /** Bytes as everything asked for so far leaves them. */
  read(range: Range): Promise<Uint8Array<ArrayBuffer>> {
    const { promise, resolve, reject } = deferred<Uint8Array<ArrayBuffer>>();
    this.#leader?.hold(true);
    const inRing = this.#room(0) !== undefined;
    const to = inRing && range.bytes <= mostCopied ? this.#linear?.tryAllocate(range.bytes || 1) : undefined;
    const read = { ...range, data: arrayFor(range), to, resolve, reject };
    if (inRing && this.#ring?.canWait) {
      this.#open.push(read);
      void this.#watch();
    } else this.#ask(read);
    return promise;
  }

  /** The times of the passes asked for since this was last asked; on: of those that follow some time. */
  times(on: boolean): Promise<Float64Array> {
    const { promise, resolve, reject } = deferred<Float64Array>();
    // Reads that wait for the ring to be idle would not see that a message is.
    if (this.#open.length > 0) this.#closeReads();
    this.#leader?.hold(true);
    this.#timings.push({ resolve, reject });
    this.#post({ do: "times", on }, []);
    return promise;
  }

  takeTimes(times: Float64Array): void {
    this.#timings.shift()?.resolve(times);
    this.#letGo();
  }

  /** Makes a memory that is not shared larger. */
  grow(pages: number): void {
    this.#post({ do: "grow", pages }, []);
  }

  /** What a message of the first thread brings. */
  take(id: number, data: Uint8Array<ArrayBuffer>): void {
    this.#waiting.get(id)?.resolve(data);
    this.#waiting.delete(id);
    this.#letGo();
  }

  /** To be called when a message says that something was copied. */
  look(): void {
    this.#takeCopied();
    this.#letGo();
  }

  /** Ends every read. */
  fail(error: Error): void {
    for (const { reject } of [...this.#waiting.values(), ...this.#open, ...this.#copied, ...this.#timings])
      reject(error);
    this.#waiting.clear();
    this.#open = [];
    this.#copied = [];
    this.#timings = [];
    this.#ring?.endWaits();
    this.#letGo();
  }

  get #idle(): boolean {
    return this.#gathered === 0 && this.#ring?.idle === true;
  }

  /** Where the ring takes so many numbers, if it does. */
  #room(length: number): number | undefined {
    return this.#gathered === 0 ? this.#ring?.room(length) : undefined;
  }

  /** Gives reads their bytes: open ones once everything is done, copied ones when they are. */
  async #watch(): Promise<void> {
    const ring = this.#ring;
    if (this.#watching || !ring?.canWait) return;
    this.#watching = true;
    for (;;) {
      const { done } = ring;
      if (this.#open.length > 0) this.#settle();
      this.#takeCopied();
      if (this.#open.length + this.#copied.length === 0) break;
      await ring.changed(done);
    }
    this.#watching = false;
    this.#letGo();
  }

  #takeCopied(): void {
    while (this.#copied.length > 0 && this.#ring?.passed(this.#copied[0].position)) {
      const read = this.#copied.shift()!;
      this.#give(read, read.to);
    }
  }

  /** Bytes that nothing changes now. */
  #give(read: Open, from: number): void {
    const { bytes, room, data, resolve } = read;
    data.set(new Uint8Array(this.#memory!.buffer, from, bytes), room);
    this.#freeCopy(read);
    resolve(data);
  }

  /** Whoever has its memory next writes to it after what was asked for so far. */
  #freeCopy({ to, bytes }: Open): void {
    if (to !== undefined) this.#linear?.free(to, bytes || 1);
  }

  /** Copies what open reads ask for, if everything is done; false where it is not. */
  #settle(): boolean {
    if (!this.#idle) return false;
    const ended = this.#open;
    this.#open = [];
    for (const each of ended) this.#give(each, each.from);
    this.#letGo();
    return true;
  }

  /** Something is about to be asked for that may write where open reads look: they get their bytes now, or else from the first thread,
   *  which copies them in their turn. */
  #closeReads(): void {
    if (this.#settle()) return;
    const open = this.#open;
    this.#open = [];
    for (const each of open) this.#ask(each);
  }

  /** Has the first thread copy bytes in their turn: to other memory, or where there is none, or a message comes first, into the array, which
   *  goes there and back. */
  #ask(read: Open): void {
    const { from, bytes, room, data, to } = read;
    if (to !== undefined && this.#room(recordHead + 2) !== undefined) {
      const position = this.#copy(from, { to, bytes, tell: !this.#ring!.canWait });
      this.#copied.push({ ...read, to, position });
      void this.#watch();
      return;
    }
    this.#freeCopy(read);
    const id = this.#nextRead++;
    this.#waiting.set(id, read);
    this.#post({ do: "read", id, at: from, bytes, room, data }, [data.buffer]);
  }

  /** Puts bytes where the first thread can copy them from in their turn, if there is such a place now. */
  #stage(to: number, data: Uint8Array): boolean {
    const ring = this.#ring;
    if (!ring || this.#room(recordHead + 2) === undefined) return false;
    const piece = this.#staging?.find(data.byteLength, {
      passed: (position) => ring.passed(position),
      head: ring.head,
    });
    if (!piece) return false;
    new Uint8Array(this.#memory!.buffer, piece.start, data.byteLength).set(data);
    piece.until = this.#copy(piece.start, { to, bytes: data.byteLength, tell: false });
    return true;
  }

  /** Only where the ring has room. @returns the position at which it is done */
  #copy(from: number, { to, bytes, tell }: { to: number; bytes: number; tell: boolean }): number {
    const ring = this.#ring!;
    ring.numbers.set([commands.copy, from, bytes, 2, to, Number(tell)], this.#room(recordHead + 2)!);
    ring.publish(recordHead + 2, { shared: false });
    return ring.head;
  }

  #letGo(): void {
    if (this.#open.length + this.#copied.length + this.#waiting.size + this.#timings.length === 0)
      this.#leader?.hold(false);
  }

  #flush(): void {
    if (this.#gathered === 0) return;
    const records = Float64Array.from(this.#records);
    this.#records = [];
    this.#gathered = 0;
    this.#send({ do: "run", records }, [records.buffer]);
  }

  #post(request: Request, transfer: readonly ArrayBuffer[]): void {
    this.#flush();
    this.#send(request, transfer);
  }

  #send(request: Request, transfer: readonly ArrayBuffer[]): void {
    this.#ring?.announceMessage();
    this.#leader?.post(request, transfer);
  }
}

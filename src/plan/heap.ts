// Events in the order of their times, first come first where these are equal: so that a simulation is the same in every run.

export class EventHeap {
  #times = new Float64Array(1024);
  #orders = new Float64Array(1024);
  #events = new Int32Array(1024);
  #length = 0;
  #pushed = 0;
  /** of the event popped last */
  time = 0;

  get size(): number {
    return this.#length;
  }

  push(time: number, event: number): void {
    if (this.#length === this.#times.length) this.#grow();
    const order = this.#pushed++;
    let at = this.#length++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#later(parent, time, order)) break;
      this.#move(parent, at);
      at = parent;
    }
    this.#set(at, { time, order, event });
  }

  /** Of the earliest event; Infinity when there is none. */
  get next(): number {
    return this.#length > 0 ? this.#times[0] : Number.POSITIVE_INFINITY;
  }

  /** The earliest event; its time is `time`. The heap must not be empty. */
  pop(): number {
    const event = this.#events[0];
    this.time = this.#times[0];
    const last = --this.#length;
    const time = this.#times[last];
    const order = this.#orders[last];
    const moved = this.#events[last];
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= last) break;
      if (child + 1 < last && this.#later(child, this.#times[child + 1], this.#orders[child + 1])) child++;
      if (this.#later(child, time, order)) break;
      this.#move(child, at);
      at = child;
    }
    this.#set(at, { time, order, event: moved });
    return event;
  }

  /** Whether the entry at `at` comes after (time, order). */
  #later(at: number, time: number, order: number): boolean {
    return this.#times[at] > time || (this.#times[at] === time && this.#orders[at] > order);
  }

  #move(from: number, to: number): void {
    this.#times[to] = this.#times[from];
    this.#orders[to] = this.#orders[from];
    this.#events[to] = this.#events[from];
  }

  #set(at: number, { time, order, event }: { time: number; order: number; event: number }): void {
    this.#times[at] = time;
    this.#orders[at] = order;
    this.#events[at] = event;
  }

  #grow(): void {
    const length = 2 * this.#times.length;
    const copy = <T extends Float64Array | Int32Array>(to: T, from: T): T => {
      to.set(from);
      return to;
    };
    this.#times = copy(new Float64Array(length), this.#times);
    this.#orders = copy(new Float64Array(length), this.#orders);
    this.#events = copy(new Int32Array(length), this.#events);
  }
}

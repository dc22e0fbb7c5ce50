// One device of a simulation: the kernels it could run, the messages it could send, and what it is busy with since when.

/** How a device spent the step, in seconds; the four add up to it. */
export interface DeviceTimes {
  /** computing, and no message under way */
  computing: number;
  /** computing, while a message was under way: that message's time is hidden */
  hidden: number;
  /** a message under way, nothing to compute */
  exposed: number;
  /** neither */
  idle: number;
}

export class Device {
  readonly times: DeviceTimes = { computing: 0, hidden: 0, exposed: 0, idle: 0 };
  /** ready to run: those of its programs that come first, first */
  readonly kernels = new OpQueue();
  /** messages that are ready to be sent, in the order in which they became so */
  readonly outbox: number[] = [];
  /** devices that would send to this one */
  wantedBy: number[] = [];
  /** by the thread that asks for its kernels: when it has asked for the last one that began */
  askedUntil = 0;
  /** when another device's message came last */
  heardAt = 0;
  /** when it is looked at again */
  wakesAt = -1;
  /** looked at before the clock goes on */
  touched = false;
  #computing = false;
  #sending = false;
  #receiving = false;
  #since = 0;

  get computing(): boolean {
    return this.#computing;
  }

  get sending(): boolean {
    return this.#sending;
  }

  get receiving(): boolean {
    return this.#receiving;
  }

  /** From now on it computes, or no longer does. */
  compute(now: number, busy: boolean): void {
    this.account(now);
    this.#computing = busy;
  }

  send(now: number, busy: boolean): void {
    this.account(now);
    this.#sending = busy;
  }

  receive(now: number, busy: boolean): void {
    this.account(now);
    this.#receiving = busy;
  }

  /** Adds the time since the last change to what it was spent on. */
  account(now: number): void {
    const spent = now - this.#since;
    const moving = this.#sending || this.#receiving;
    if (this.#computing) this.times[moving ? "hidden" : "computing"] += spent;
    else this.times[moving ? "exposed" : "idle"] += spent;
    this.#since = now;
  }
}

/** Numbers, the least first. */
export class OpQueue {
  readonly #heap: number[] = [];

  push(op: number): void {
    const heap = this.#heap;
    let at = heap.push(op) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (heap[parent] < op) break;
      heap[at] = heap[parent];
      at = parent;
    }
    heap[at] = op;
  }

  get first(): number | undefined {
    return this.#heap[0];
  }

  pop(): number | undefined {
    const heap = this.#heap;
    const first = heap.at(0);
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1] < heap[child]) child++;
      if (heap[child] > last) break;
      heap[at] = heap[child];
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

// A step's program in time: ranks compute and send as soon as what they need is there. A device runs one kernel at a time, in the order of
// its programs but past those that still wait for a message; it sends one message at a time and receives one (the one-port model, full
// duplex), and both go on beside its kernels unless the machine says otherwise. Times in seconds.

import { Device, type DeviceTimes } from "./device.ts";
import { EventHeap } from "./heap.ts";
import { goOnOp, kernelOp, type StepProgram, sendOp } from "./program.ts";
import { tellEvery } from "./progress.ts";

/** How a message gets from one device to another: it holds both ports for alpha + bytes / bytesPerSecond. */
export interface Route {
  readonly alpha: number;
  readonly bytesPerSecond: number;
  /** links that other devices use too: each passes one message after another, at its own rate */
  readonly shared: readonly { readonly link: number; readonly bytesPerSecond: number }[];
}

export interface Machine {
  readonly devices: number;
  readonly sharedLinks: number;
  /** where each rank is; several may be on one device */
  readonly deviceOf: ArrayLike<number>;
  /** of program.works[work] */
  kernelSeconds(work: number, device: number): number;
  /** of a message between ranks on one device, which takes it: a reference's handling */
  readonly localSeconds: number;
  /** of the thread that asks for a device's kernels and hands its references over: it goes ahead of the device, one after another */
  readonly hostKernelSeconds: number;
  readonly hostMessageSeconds: number;
  /** never asked for a device and itself */
  route(from: number, to: number): Route;
  /** messages may be under way while their devices compute */
  readonly overlap: boolean;
  /** a kernel takes so many times as long, by its op: stragglers, jitter */
  slowdown?(device: number, op: number): number;
  /** a message takes so many times as long, by when its devices begin with it */
  congestion?(message: number, at: { from: number; to: number; seconds: number }): number;
}

export interface Replay {
  readonly seconds: number;
  readonly devices: readonly DeviceTimes[];
}

/** Told of what happens when. */
export interface Watch {
  kernel?(op: number, span: { device: number; start: number; end: number }): void;
  message?(message: number, span: { start: number; end: number }): void;
  /** now and then, of how many ops have ended */
  progress?(ops: number): void;
}

/** @throws Error when ops are left that wait for each other */
export const replay = (program: StepProgram, machine: Machine, watch: Watch = {}): Replay =>
  new Run(program, machine, watch).toEnd();

class Run {
  readonly #program: StepProgram;
  readonly #machine: Machine;
  readonly #watch: Watch;
  readonly #events = new EventHeap();
  readonly #waits: Uint16Array;
  readonly #devices: Device[];
  /** ops that have ended, of which nobody was told yet, each followed by its rank */
  readonly #ended: number[] = [];
  /** devices that may have something to begin */
  readonly #touched: number[] = [];
  /** of shared links: when each is free again */
  readonly #freeAt: Float64Array;
  /** whether a message on one device takes anything */
  readonly #localCost: boolean;
  #now = 0;
  #done = 0;

  constructor(program: StepProgram, machine: Machine, watch: Watch) {
    this.#program = program;
    this.#machine = machine;
    this.#watch = watch;
    this.#waits = program.waits.slice();
    this.#devices = Array.from({ length: machine.devices }, () => new Device());
    this.#freeAt = new Float64Array(machine.sharedLinks);
    this.#localCost = machine.localSeconds > 0 || machine.hostMessageSeconds > 0;
  }

  toEnd(): Replay {
    const { first, ranks, kinds } = this.#program;
    for (let rank = 0; rank < ranks; rank++)
      for (let op = first[rank]; op < first[rank + 1]; op++) if (this.#program.waits[op] === 0) this.#ready(op, rank);
    this.#tell();
    for (let device = 0; device < this.#devices.length; device++) this.#touch(device);
    this.#begin();
    for (let untold = tellEvery; this.#events.size > 0; untold--) {
      if (untold === 0) {
        untold = tellEvery;
        this.#watch.progress?.(this.#done);
      }
      const event = this.#events.pop();
      this.#now = this.#events.time;
      if (event >= kinds.length) this.#touch(event - kinds.length);
      else if (event >= 0) this.#kernelEnds(event);
      else this.#messageEnds(~event);
      // All that ends now has ended before anything begins: who comes first is not decided by who is looked at first.
      if (this.#events.next > this.#now) this.#begin();
    }
    const left = kinds.length - this.#done;
    if (left > 0) throw new Error(`${left} of ${kinds.length} ops never start: they wait for each other`);
    for (const device of this.#devices) device.account(this.#now);
    return { seconds: this.#now, devices: this.#devices.map(({ times }) => times) };
  }

  /** Nothing is missing that an op waits for. (A receive waits for its message alone.) */
  #ready(op: number, rank: number): void {
    const { kinds, what, messages } = this.#program;
    const from = this.#machine.deviceOf[rank];
    if (kinds[op] === kernelOp) this.#devices[from].kernels.push(op);
    else if (kinds[op] === sendOp) {
      this.#done++;
      const message = what[op];
      if (this.#machine.deviceOf[messages.to[message]] !== from) this.#devices[from].outbox.push(message);
      else if (this.#localCost) this.#devices[from].kernels.push(op);
      else this.#ended.push(messages.receive[message], messages.to[message]);
    } else if (kinds[op] === goOnOp) this.#ended.push(op, rank);
  }

  #complete(op: number, rank: number): void {
    this.#ended.push(op, rank);
    this.#tell();
  }

  /** Those that wait for what has ended, of what is done at once too. */
  #tell(): void {
    const { dependents, dependentsFrom, kinds } = this.#program;
    const ended = this.#ended;
    while (ended.length > 0) {
      const rank = ended.pop() as number;
      const op = ended.pop() as number;
      this.#done++;
      if (kinds[op] === goOnOp) {
        // Who asks has waited for other devices' messages too.
        const state = this.#devices[this.#machine.deviceOf[rank]];
        state.askedUntil = Math.max(state.askedUntil, state.heardAt);
      }
      const to = dependentsFrom[op + 1];
      for (let i = dependentsFrom[op]; i < to; i++)
        if (--this.#waits[dependents[i]] === 0) this.#ready(dependents[i], rank);
    }
  }

  #kernelEnds(op: number): void {
    const rank = rankOf(op, this.#program);
    const device = this.#machine.deviceOf[rank];
    this.#devices[device].compute(this.#now, false);
    const { kinds, what, messages } = this.#program;
    if (kinds[op] === sendOp) this.#complete(messages.receive[what[op]], messages.to[what[op]]);
    else this.#complete(op, rank);
    this.#touch(device);
  }

  #messageEnds(message: number): void {
    const { messages } = this.#program;
    const { deviceOf } = this.#machine;
    const receiver = messages.to[message];
    const from = deviceOf[messages.from[message]];
    const to = deviceOf[receiver];
    this.#devices[from].send(this.#now, false);
    this.#devices[to].receive(this.#now, false);
    this.#devices[to].heardAt = this.#now;
    this.#complete(messages.receive[message], receiver);
    this.#touch(from);
    this.#touch(to);
  }

  /** A device may be able to begin something, and so may those that want to send to it. */
  #touch(device: number): void {
    const state = this.#devices[device];
    if (!state.touched) this.#touched.push(device);
    state.touched = true;
    if (state.wantedBy.length > 0) for (const sender of state.wantedBy.splice(0)) this.#touch(sender);
  }

  /** Messages first, on all devices: where these exclude kernels, it is not the number of a device that decides. */
  #begin(): void {
    const touched = this.#touched.splice(0);
    for (const device of touched) this.#startMessage(device);
    for (const device of touched) {
      this.#devices[device].touched = false;
      this.#startKernel(device);
    }
  }

  /** Looks at a device again at that time. */
  #wake(device: number, time: number): void {
    const state = this.#devices[device];
    if (state.wakesAt === time) return;
    state.wakesAt = time;
    this.#events.push(time, this.#program.kinds.length + device);
  }

  #startKernel(device: number): void {
    const { computing, sending, receiving, kernels } = this.#devices[device];
    if (computing || (!this.#machine.overlap && (sending || receiving))) return;
    const op = kernels.first;
    if (op === undefined) return;
    const { kinds, what } = this.#program;
    // Handing a reference over is the only other thing that a device does.
    const local = kinds[op] === sendOp;
    const { localSeconds, hostKernelSeconds, hostMessageSeconds } = this.#machine;
    const state = this.#devices[device];
    const asked = state.askedUntil + (local ? hostMessageSeconds : hostKernelSeconds);
    if (asked > this.#now) {
      this.#wake(device, asked);
      return;
    }
    kernels.pop();
    state.askedUntil = asked;
    const seconds = local ? localSeconds : this.#machine.kernelSeconds(what[op], device);
    const end = this.#now + (this.#machine.slowdown?.(device, op) ?? 1) * seconds;
    state.compute(this.#now, true);
    this.#events.push(end, op);
    if (!local) this.#watch.kernel?.(op, { device, start: this.#now, end });
  }

  /** The first message of its outbox that its receiver and the links on its way can take. */
  #startMessage(from: number): void {
    const { overlap, deviceOf } = this.#machine;
    const sender = this.#devices[from];
    if (sender.sending || (!overlap && sender.computing)) return;
    const { outbox } = sender;
    let free = Number.POSITIVE_INFINITY;
    for (let i = 0; i < outbox.length; i++) {
      const message = outbox[i];
      const to = deviceOf[this.#program.messages.to[message]];
      const receiver = this.#devices[to];
      if (receiver.receiving || (!overlap && receiver.computing)) {
        if (!receiver.wantedBy.includes(from)) receiver.wantedBy.push(from);
        continue;
      }
      const linksFree = this.#freeAt.length > 0 ? this.#freeFrom(this.#machine.route(from, to)) : 0;
      if (linksFree > this.#now) {
        free = Math.min(free, linksFree);
        continue;
      }
      outbox.splice(i, 1);
      sender.send(this.#now, true);
      receiver.receive(this.#now, true);
      const end = this.#now + this.#messageSeconds(message, from, to);
      this.#events.push(end, ~message);
      this.#watch.message?.(message, { start: this.#now, end });
      return;
    }
    if (free < Number.POSITIVE_INFINITY) this.#wake(from, free);
  }

  /** When all links that a route shares with others are free. */
  #freeFrom({ shared }: Route): number {
    let free = 0;
    for (const { link } of shared) free = Math.max(free, this.#freeAt[link]);
    return free;
  }

  /** From now on; takes the links it shares with others. */
  #messageSeconds(message: number, from: number, to: number): number {
    const { alpha, bytesPerSecond, shared } = this.#machine.route(from, to);
    const bytes = this.#program.messages.bytes[message];
    const factor = this.#machine.congestion?.(message, { from, to, seconds: this.#now }) ?? 1;
    for (const { link, bytesPerSecond: rate } of shared) this.#freeAt[link] = this.#now + (factor * bytes) / rate;
    return factor * (alpha + bytes / bytesPerSecond);
  }
}

/** Whose program has the op. */
export function rankOf(op: number, { first, ranks }: Pick<StepProgram, "first" | "ranks">): number {
  let low = 0;
  let high = ranks - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (first[middle] <= op) low = middle;
    else high = middle - 1;
  }
  return low;
}

// One rank's program, written down while it runs on shapes alone. Its link never waits: what others send is known by its shape, so that a
// rank runs by itself, and thousands one after another. What waits for what follows from the memory that kernels read and write, and from
// the calls that the program has waited for before it goes on.

import type { DeviceBuffer } from "../backend/buffer.ts";
import type { KernelArgs, KernelName } from "../backend/kernels.ts";
import { MetaBackend, MetaBuffer } from "../backend/meta/backend.ts";
import { workOf, written } from "../backend/work.ts";
import { inner } from "../comm/ledger.ts";
import type { Call, Link, Payload } from "../comm/link.ts";
import { type Shape, Storage, Tensor } from "../tensor/tensor.ts";
import { bytes, ints, numbers } from "./growing.ts";
import { goOnOp, type KernelWork, kernelOp, receiveOp, sendOp } from "./program.ts";
import { tellEvery } from "./progress.ts";

/** The different kernels of all ranks, each once. */
export class Works {
  readonly all: KernelWork[] = [];
  /** by kernel, flops, bytes and a product's m and n */
  readonly #index = new Map<KernelName, Map<number, Map<number, Map<number, Map<number, number>>>>>();

  indexOf<K extends KernelName>(kernel: K, args: KernelArgs[K]): number {
    const { flops, bytes } = workOf(kernel, args);
    const product = kernel === "matmul" ? (args as KernelArgs["matmul"]) : undefined;
    const index = this.#known({ kernel, flops, bytes, product }).get(form(product));
    return index ?? this.add({ kernel, flops, bytes, ...(product && { product: extentsOf(product) }) });
  }

  /** Its number, an old one where it is known. */
  add(work: KernelWork): number {
    const known = this.#known(work);
    const key = form(work.product);
    const index = known.get(key);
    if (index !== undefined) return index;
    known.set(key, this.all.length);
    return this.all.push(work) - 1;
  }

  #known({ kernel, flops, bytes, product }: Omit<KernelWork, "product"> & { product?: { m: number } }) {
    return inner(inner(inner(inner(this.#index, kernel), flops), bytes), product?.m ?? 0);
  }
}

/** A product's n and batch; its k follows, and its type from the bytes. */
const form = (product: { n: number; batch: number } | undefined): number =>
  product ? product.n + product.batch * 2 ** 31 : 0;

/** Of a product's work. */
const extentsOf = ({ a, batch, m, n, k }: KernelArgs["matmul"]) => ({ dtype: a.dtype, batch, m, n, k });

/** A rank's ops as they were called for, with messages by name: which call of which group, which part of it, and with whom. */
export interface RankRecord {
  readonly kinds: Uint8Array;
  /** a kernel's work; a send's or receive's place among this rank's messages of that kind */
  readonly what: Int32Array;
  /** op i waits for needs[needsFrom[i]] to needs[needsFrom[i + 1] - 1]: earlier ops of this rank */
  readonly needsFrom: Int32Array;
  readonly needs: Int32Array;
  readonly sends: Messages;
  readonly receives: Messages;
  /** names of groups, by their number in messages */
  readonly groups: readonly string[];
}

/** Columns of a table. */
export interface Messages {
  /** the other rank */
  readonly peer: Int32Array;
  readonly group: Int32Array;
  readonly which: Int32Array;
  readonly part: Int32Array;
  readonly bytes: Float64Array;
}

class MessageTable {
  readonly peer = ints();
  readonly group = ints();
  readonly which = ints();
  readonly part = ints();
  readonly bytes = numbers();

  /** @returns its place */
  push(message: { peer: number; group: number; which: number; part: number; bytes: number }): number {
    this.group.push(message.group);
    this.which.push(message.which);
    this.part.push(message.part);
    this.bytes.push(message.bytes);
    return this.peer.push(message.peer);
  }

  get columns(): Messages {
    const { peer, group, which, part, bytes } = this;
    return { peer: peer.items, group: group.items, which: which.items, part: part.items, bytes: bytes.items };
  }
}

/** Told of what a rank's ops are, by their numbers in its record. */
export interface OpWatch {
  /** bytesHeld: by the rank when its program came to the kernel */
  kernel(op: number, what: { kernel: KernelName; args: object; bytesHeld: number }): void;
  /** Sent or received. shape: undefined for a message without elements */
  message(op: number, what: { call: Call; shape: Shape | undefined }): void;
}

export interface RecorderOptions {
  rank: number;
  size: number;
  works: Works;
  watch?: OpWatch;
  progress?: (kernels: number) => void;
}

/** A rank's link and backend. Nothing is written down before `begin`. */
export class Recorder implements Link {
  readonly rank: number;
  readonly size: number;
  readonly backend: MetaBackend;
  readonly #works: Works;
  readonly #watch: OpWatch | undefined;
  readonly #progress: (ops: number) => void;
  readonly #kinds = bytes();
  readonly #what = ints();
  readonly #needsFrom = ints();
  readonly #needs = ints();
  readonly #sends = new MessageTable();
  readonly #receives = new MessageTable();
  readonly #groups = new Map<string, number>();
  /** calls that the program has entered and not yet left */
  readonly #calls = new Map<Call, { after: number; receives: number[] }>();
  /** receives of these calls: what the call came after */
  readonly #open = new Map<number, number>();
  /** the op that all later ones come after; -1 at first */
  #after = -1;
  #recording = false;
  /** kernels, those before the step too */
  #kernels = 0;

  /** progress: told now and then of how many kernels there were, those before the step too */
  constructor({ rank, size, works, watch, progress = () => {} }: RecorderOptions) {
    this.rank = rank;
    this.size = size;
    this.#works = works;
    this.#watch = watch;
    this.#progress = progress;
    this.backend = new MetaBackend({ onKernel: (kernel, args) => this.#kernel(kernel, args) });
  }

  /** What is in memory now is there when the step begins. */
  begin(): void {
    this.#recording = true;
  }

  end(): RankRecord {
    this.#recording = false;
    for (const [{ group, which }, { receives }] of this.#calls)
      if (receives.length > 0)
        throw new Error(`nobody has waited for call ${which} of ${group}: nothing comes after it`);
    this.#needsFrom.push(this.#needs.length);
    return {
      kinds: this.#kinds.items,
      what: this.#what.items,
      needsFrom: this.#needsFrom.items,
      needs: this.#needs.items,
      sends: this.#sends.columns,
      receives: this.#receives.columns,
      groups: [...this.#groups.keys()],
    };
  }

  enter(call: Call): void {
    if (this.#recording) this.#calls.set(call, { after: this.#after, receives: [] });
  }

  leave(calls: readonly Call[]): void {
    if (!this.#recording) return;
    const receives: number[] = [];
    for (const call of calls) {
      for (const op of this.#calls.get(call)?.receives ?? []) {
        receives.push(op);
        this.#open.delete(op);
      }
      this.#calls.delete(call);
    }
    this.#goOnAfter(receives);
  }

  #goOnAfter(receives: readonly number[]): void {
    if (receives.length === 0) return;
    const op = this.#op(goOnOp, 0);
    for (const need of [this.#after, ...receives]) this.#need(need, op);
    this.#after = op;
  }

  send(to: number, { call, part, tensor }: { call: Call; part: number; tensor?: Tensor }): void {
    if (!this.#recording) return;
    const place = this.#sends.push(this.#message(to, { call, part, bytes: tensor ? bytesIn(tensor) : 0 }));
    const op = this.#op(sendOp, place);
    const entered = this.#calls.get(call);
    this.#need(entered?.after ?? this.#after, op);
    if (tensor) this.#need(noteOf(tensor.buffer), op);
    // What says only how far a rank has come says what it has heard.
    else for (const heard of entered?.receives ?? []) this.#need(heard, op);
    this.#watch?.message(op, { call, shape: tensor?.shape });
  }

  async receive(
    from: number,
    { call, part, payload }: { call: Call; part: number; payload?: Payload },
  ): Promise<Tensor | undefined> {
    const tensor = payload && this.#allocate(payload);
    if (!this.#recording) return tensor;
    const place = this.#receives.push(this.#message(from, { call, part, bytes: 0 }));
    const op = this.#op(receiveOp, place);
    const entered = this.#calls.get(call);
    if (entered) {
      entered.receives.push(op);
      this.#open.set(op, entered.after);
    } else this.#goOnAfter([op]);
    if (tensor) (tensor.buffer as MetaBuffer).note = op;
    this.#watch?.message(op, { call, shape: payload?.shape });
    return tensor;
  }

  fail(cause: unknown): void {
    throw cause;
  }

  #allocate({ shape, dtype }: Payload): Tensor {
    return new Tensor(Storage.allocate(this.backend, { shape, dtype, purpose: "scratch" }), { shape });
  }

  #message(peer: number, { call, part, bytes }: { call: Call; part: number; bytes: number }) {
    const tagged = typeof call.which === "string";
    // A message between two ranks is a group's only call.
    const group = tagged ? `${call.group} ${call.which}` : call.group;
    let number = this.#groups.get(group);
    if (number === undefined) {
      number = this.#groups.size;
      this.#groups.set(group, number);
    }
    return { peer, group: number, which: tagged ? 0 : (call.which as number), part, bytes };
  }

  #kernel<K extends KernelName>(kernel: K, args: KernelArgs[K]): void {
    if (++this.#kernels % tellEvery === 0) this.#progress(this.#kernels);
    if (!this.#recording) return;
    const op = this.#op(kernelOp, this.#works.indexOf(kernel, args));
    this.#watch?.kernel(op, { kernel, args, bytesHeld: this.backend.memory.total });
    const named = args as unknown as Record<string, unknown>;
    let after = this.#after;
    for (const name in named) {
      const value = named[name];
      if (!(value instanceof MetaBuffer)) continue;
      this.#need(value.note, op);
      // A sum inside a call that is still open is the call's, and waits for nothing that the program has waited for meanwhile.
      after = this.#open.get(value.note) ?? after;
    }
    this.#need(after, op);
    for (const name of written[kernel]) {
      const output = named[name];
      if (output instanceof MetaBuffer) output.note = op;
    }
  }

  #op(kind: number, what: number): number {
    this.#needsFrom.push(this.#needs.length);
    this.#what.push(what);
    this.#kinds.push(kind);
    return this.#kinds.length - 1;
  }

  /** op, the last one, comes after an earlier one, if that is one. */
  #need(earlier: number, op: number): void {
    if (earlier < 0) return;
    for (let i = this.#needsFrom.get(op); i < this.#needs.length; i++) if (this.#needs.get(i) === earlier) return;
    this.#needs.push(earlier);
  }
}

/** The op that wrote it last. */
const noteOf = (buffer: DeviceBuffer): number => (buffer as MetaBuffer).note;

const bytesIn = ({ size, dtype }: Tensor): number => (dtype === "f16" ? 2 : 4) * size;

// Some ranks that act together, in an order of their own: rows, columns, depths of a mesh, or all. Collectives on tensors, counted
// in the ledger; which messages they consist of is collectives.ts. Not differentiable: gradients are the callers' business.
// On a wire of f16 all f32 travels so but what a call says is exact: statistics of rows, losses, norms and what leaves the run, which are few
// numbers that others are computed from. Activations, weights and gradients are many, each a small term of what becomes of it.

import type { FloatType } from "../backend/buffer.ts";
import { invariant, UserError } from "../backend/errors.ts";
import { bringWireShaders } from "../backend/webgpu/wire-shaders.ts";
import type { Shape, Tensor } from "../tensor/tensor.ts";
import { sizeOf } from "../tensor/tensor.ts";
import { type Algorithm, type AlgorithmOf, algorithms, chooseAlgorithm, type Op } from "./algorithms.ts";
import * as collectives from "./collectives.ts";
import { type Combine, handle } from "./collectives.ts";
import { type Count, GroupCall, type Received, type What } from "./group-call.ts";
import type { Ledger } from "./ledger.ts";
import { type Call, type Link, sameShape, shapesText } from "./link.ts";

/** What every collective is told. */
export interface CallOptions {
  /** what for: the ledger's word */
  purpose: string;
  /** instead of the one chosen by group size and bytes */
  algorithm?: Algorithm;
  /** Every bit arrives, whatever the group's wire. */
  exact?: boolean;
  /** The caller does not wait for this call now, but later, with others: see Ahead. */
  ahead?: Ahead;
}

/** Calls that a program has begun and goes on without, until it waits for them. */
export class Ahead {
  #calls: Call[] = [];
  #link: Link | undefined;

  add(call: Call, link: Link): void {
    this.#calls.push(call);
    this.#link = link;
  }

  /** To be called by whoever has waited for them. */
  leave(): void {
    this.#link?.leave?.(this.#calls);
    this.#calls = [];
  }
}

export class ProcessGroup {
  readonly name: string;
  /** ranks of the link, in the group's order */
  readonly ranks: readonly number[];
  /** this rank's place in `ranks` */
  readonly index: number;
  readonly #link: Link;
  readonly #ledger: Ledger | undefined;
  readonly #wire: FloatType;
  readonly #fail = (error: unknown): void => this.#link.fail(error);
  readonly #counted: Count = (message) => this.#count(message);
  #calls = 0;

  /** name: the same on all of the group's ranks and on no other group, e.g. "row(0, 1)".
   *  wire: how f32 travels in calls that are not exact, the same on all ranks; f32 when absent. In f16 all ranks, the sender too, go on with
   *  the same rounded values */
  constructor(options: { name: string; ranks: readonly number[]; link: Link; ledger?: Ledger; wire?: FloatType }) {
    this.name = options.name;
    this.ranks = options.ranks;
    this.#link = options.link;
    this.#ledger = options.ledger;
    this.#wire = options.wire ?? "f32";
    if (this.#wire === "f16") bringWireShaders();
    this.index = options.ranks.indexOf(options.link.rank);
    invariant(this.index >= 0, `rank ${options.link.rank} is not in group ${options.name}`);
  }

  get size(): number {
    return this.ranks.length;
  }

  /** x, given on the rank at `root`, on every rank: a handle that the caller disposes and nobody writes to. On a wire of f16 ranks that give
   *  nothing take it for f32: other types they give too, or say that the call is exact. */
  broadcast(x: Tensor | undefined, options: CallOptions & { root: number; shape: Shape }): Promise<Tensor> {
    return this.#guarded(async () => {
      const { root, shape, purpose } = options;
      const from = this.#rankAt(root, "broadcast");
      const mine = this.index === root ? x : undefined;
      if (this.index === root && !sameShape(mine?.shape, shape))
        invariant(false, `broadcast of [${shape}]: the root gives ${mine ? `[${mine.shape}]` : "nothing"}`);
      if (this.size === 1) return handle(mine as Tensor);
      const algorithm = this.#choose("broadcast", { words: sizeOf(shape), asked: options.algorithm });
      const how = this.#how(x, options);
      const at = this.#enter({ op: "broadcast", shapes: [shape], root: from, algorithm, purpose, ...how });
      return this.#left(at, collectives.broadcast(at, { root, algorithm, x: mine, shape }), options);
    });
  }

  /** x of every rank combined into the x of the rank at `root`, in place (nobody else may hold it); the others' x are given away. */
  reduce(x: Tensor, options: CallOptions & { root: number; combine?: Combine }): Promise<void> {
    return this.#guarded(async () => {
      const { root, purpose, combine = "sum" } = options;
      const to = this.#rankAt(root, "reduce");
      if (this.size === 1) return;
      const algorithm = this.#choose("reduce", { words: x.size, asked: options.algorithm });
      const how = this.#how(x, options);
      const at = this.#enter({ op: "reduce", combine, shapes: [x.shape], root: to, algorithm, purpose, ...how });
      return this.#left(at, collectives.reduce(at, { root, algorithm, x, combine }), options);
    });
  }

  /** x of every rank combined, on every rank, the same bits; x stays as it is. */
  allReduce(x: Tensor, options: CallOptions & { combine?: Combine }): Promise<Tensor> {
    return this.#guarded(async () => {
      const { purpose, combine = "sum" } = options;
      if (this.size === 1) return handle(x);
      const algorithm = this.#choose("allReduce", { words: x.size, asked: options.algorithm });
      const how = this.#how(x, options);
      const at = this.#enter({ op: "allReduce", combine, shapes: [x.shape], algorithm, purpose, ...how });
      return this.#left(at, collectives.allReduce(at, { algorithm, x, combine }), options);
    });
  }

  /** Everyone's x, in the group's order: handles that the caller disposes. shapes: each rank's, when they differ. */
  allGather(x: Tensor, options: CallOptions & { shapes?: readonly Shape[] }): Promise<Tensor[]> {
    return this.#guarded(async () => {
      if (this.size === 1) return [handle(x)];
      const { shapes = [x.shape], purpose } = options;
      const own = options.shapes ? shapes[this.index] : x.shape;
      if (!sameShape(own, x.shape)) invariant(false, `allGather of ${shapesText(shapes)}: got [${x.shape}]`);
      const words = options.shapes ? shapes.reduce((sum, shape) => sum + sizeOf(shape), 0) : this.size * x.size;
      const algorithm = this.#choose("allGather", { words, asked: options.algorithm });
      const at = this.#enter({ op: "allGather", shapes, algorithm, purpose, ...this.#how(x, options) });
      const each = options.shapes ?? new Array<Shape>(this.size).fill(x.shape);
      return this.#left(at, collectives.allGather(at, { algorithm, x, shapes: each }) as Promise<Tensor[]>, options);
    });
  }

  /** The combination of every rank's parts[this rank's place]. The parts are given away; nobody else may hold them. */
  reduceScatter(parts: readonly Tensor[], options: CallOptions & { combine?: Combine }): Promise<Tensor> {
    return this.#guarded(async () => {
      const { purpose, combine = "sum" } = options;
      this.#requireParts("reduceScatter", parts);
      if (this.size === 1) return parts[0];
      const words = parts.reduce((sum, part) => sum + part.size, 0);
      const algorithm = this.#choose("reduceScatter", { words, asked: options.algorithm });
      const shapes = parts.map((part) => part.shape);
      const how = this.#how(parts[0], options);
      const at = this.#enter({ op: "reduceScatter", combine, shapes, algorithm, purpose, ...how });
      const sum = collectives.reduceScatter(at, { algorithm, parts: [...parts], combine }) as Promise<Tensor>;
      return this.#left(at, sum, options);
    });
  }

  /** parts[r] to the rank at r; returns what each rank sent here, own part included, as handles. The parts are given away.
   *  Shapes may differ by receiver, but are the same from every sender. */
  allToAll(parts: readonly Tensor[], options: CallOptions): Promise<Tensor[]> {
    return this.#guarded(async () => {
      this.#requireParts("allToAll", parts);
      if (this.size === 1) return [parts[0]];
      const words = parts.reduce((sum, part) => sum + part.size, 0);
      const algorithm = this.#choose("allToAll", { words, asked: options.algorithm });
      const shapes = parts.map((part) => part.shape);
      const how = this.#how(parts[0], options);
      const at = this.#enter({ op: "allToAll", shapes, algorithm, purpose: options.purpose, ...how });
      return this.#left(at, this.#exchanged(at, parts), options);
    });
  }

  /** Resolves when every rank of the group has come here. */
  barrier({ purpose }: { purpose: string }): Promise<void> {
    return this.#guarded(async () => {
      if (this.size === 1) return;
      const at = this.#enter({ op: "barrier", shapes: [], purpose, dtype: "f32", halved: false });
      // Dissemination: after round r a rank has heard, directly or not, of the 2^r ranks before it.
      for (let distance = 1, round = 0; distance < this.size; distance *= 2, round++) {
        at.send((this.index + distance) % this.size, { part: round, tensor: undefined });
        await at.hear((this.index - distance + this.size) % this.size, round);
      }
      this.#link.leave?.([at]);
    });
  }

  /** Between two ranks of the group, exactly; the other one receives in a call of its own, with the same tag. Messages that are under way
   *  between the two at the same time need different tags. */
  send(x: Tensor, options: { to: number; tag: string; purpose: string }): void {
    const call = this.#pairCall(options.tag, x.shape);
    this.#link.send(this.#rankAt(options.to, "send"), { call, part: 0, tensor: x });
  }

  receive(options: { from: number; tag: string; shape: Shape; purpose: string }): Promise<Tensor> {
    return this.#guarded(async () => {
      const { tag, shape, purpose } = options;
      const from = this.#rankAt(options.from, "receive");
      const tensor = await this.#link.receive(from, {
        call: this.#pairCall(tag, shape),
        part: 0,
        payload: { shape, dtype: "f32" },
      });
      invariant(tensor, "a message without a tensor");
      this.#count({ from, op: "send", purpose, words: tensor.size, dtype: tensor.dtype });
      return tensor;
    });
  }

  /** All sent, each to another rank first, then all received. */
  async #exchanged(at: GroupCall, parts: readonly Tensor[]): Promise<Tensor[]> {
    const { size, index } = this;
    for (let step = 1; step < size; step++) {
      const to = (index + step) % size;
      at.give(to, { part: 0, tensor: parts[to] });
      parts[to].dispose();
    }
    const received: Tensor[] = [];
    const own = parts[index];
    for (let from = 0; from < size; from++)
      received.push(from === index ? own : await at.take(from, { part: 0, shape: own.shape }));
    return received;
  }

  /** The result of a call, which the link is told when the caller goes on with it: at once, or when it says so. */
  #left<T>(at: GroupCall, result: Promise<T>, { ahead }: CallOptions): Promise<T> {
    const link = this.#link;
    if (ahead) ahead.add(at, link);
    else if (link.leave)
      return result.then((value) => {
        link.leave?.([at]);
        return value;
      });
    return result;
  }

  /** A rank that fails in a call ends the run at once, and not when its caller comes to wait for the result. */
  #guarded<T>(call: () => Promise<T>): Promise<T> {
    const result = call();
    result.catch(this.#fail);
    return result;
  }

  /** Whose purposes may differ: the receiver's alone is counted. */
  #pairCall(tag: string, shape: Shape): Call {
    return { group: this.name, which: tag, members: 2, op: "send", shapes: [shape] };
  }

  /** The type of what a call is about, f32 where there is no x, and whether it is sent as f16. */
  #how(x: Tensor | undefined, { exact = false }: CallOptions): Pick<What, "dtype" | "halved"> {
    const dtype = x?.dtype ?? "f32";
    return { dtype, halved: this.#wire === "f16" && !exact && dtype === "f32" };
  }

  #enter(what: What): GroupCall {
    const { name, ranks, index } = this;
    const [which, link, count] = [this.#calls++, this.#link, this.#counted];
    const call = new GroupCall(what, { group: name, which, ranks, index, link, count });
    this.#link.enter(call);
    return call;
  }

  /** from: a rank of the link */
  #count({ from, purpose, op, words, dtype }: Received): void {
    // Named one by one: a spread takes as long as the look-up.
    this.#ledger?.record({ from, to: this.#link.rank, purpose, op, words, dtype });
  }

  #choose<O extends Op>(op: O, call: { words: number; asked: Algorithm | undefined }): AlgorithmOf<O> {
    const { words, asked } = call;
    const known: readonly Algorithm[] = algorithms[op];
    if (asked && !known.includes(asked))
      throw new UserError(`${op} has no algorithm ${asked}; use one of ${known.join(", ")}`);
    return (asked as AlgorithmOf<O> | undefined) ?? chooseAlgorithm(op, { size: this.size, words });
  }

  #requireParts(op: string, parts: readonly Tensor[]): void {
    if (parts.length !== this.size)
      throw new UserError(`${op} in ${this.name}: got ${parts.length} parts for ${this.size} ranks; give one for each`);
  }

  /** @throws UserError for a place that the group has not: the message would wait for ever, or be nobody's */
  #rankAt(place: number, op: string): number {
    const rank = this.ranks[place];
    if (rank === undefined)
      throw new UserError(`${op} in ${this.name}: got place ${place}, need one from 0 to ${this.size - 1}`);
    return rank;
  }
}

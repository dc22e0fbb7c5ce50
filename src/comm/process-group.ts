// Some ranks that act together, in an order of their own: rows, columns, depths of a mesh, or all. Collectives on tensors, counted
// in the ledger; which messages they consist of is collectives.ts. Not differentiable: gradients are the callers' business.

import { invariant, UserError } from "../backend/errors.ts";
import type { Shape, Tensor } from "../tensor/tensor.ts";
import { sizeOf } from "../tensor/tensor.ts";
import { type Algorithm, type AlgorithmOf, algorithms, chooseAlgorithm, type Op } from "./algorithms.ts";
import * as collectives from "./collectives.ts";
import { type Combine, type Exchange, handle } from "./collectives.ts";
import type { Ledger } from "./ledger.ts";
import type { Call, Link } from "./link.ts";

/** What every collective is told. */
export interface CallOptions {
  /** what for: the ledger's word */
  purpose: string;
  /** instead of the one chosen by group size and bytes */
  algorithm?: Algorithm;
}

export class ProcessGroup {
  readonly name: string;
  /** ranks of the link, in the group's order */
  readonly ranks: readonly number[];
  /** this rank's place in `ranks` */
  readonly index: number;
  readonly #link: Link;
  readonly #ledger: Ledger | undefined;
  #calls = 0;

  /** name: the same on all of the group's ranks and on no other group, e.g. "row(0, 1)". */
  constructor(options: { name: string; ranks: readonly number[]; link: Link; ledger?: Ledger }) {
    this.name = options.name;
    this.ranks = options.ranks;
    this.#link = options.link;
    this.#ledger = options.ledger;
    this.index = options.ranks.indexOf(options.link.rank);
    invariant(this.index >= 0, `rank ${options.link.rank} is not in group ${options.name}`);
  }

  get size(): number {
    return this.ranks.length;
  }

  /** x, given on the rank at `root`, on every rank: a handle that the caller disposes and nobody writes to. */
  broadcast(x: Tensor | undefined, options: CallOptions & { root: number; shape: Shape }): Promise<Tensor> {
    return this.#guarded(async () => {
      const { root, shape, purpose } = options;
      const from = this.#rankAt(root, "broadcast");
      const mine = this.index === root ? x : undefined;
      invariant(
        this.index !== root || (mine && `${mine.shape}` === `${shape}`),
        `broadcast of [${shape}]: the root gives ${mine ? `[${mine.shape}]` : "nothing"}`,
      );
      if (this.size === 1) return handle(mine as Tensor);
      const algorithm = this.#choose("broadcast", { words: sizeOf(shape), asked: options.algorithm });
      const at = this.#enter("broadcast", { purpose, text: `[${shape}] from rank ${from} by ${algorithm}` });
      return collectives.broadcast(at, { root, algorithm, x: mine });
    });
  }

  /** x of every rank combined into the x of the rank at `root`, in place (nobody else may hold it); the others' x are given away. */
  reduce(x: Tensor, options: CallOptions & { root: number; combine?: Combine }): Promise<void> {
    return this.#guarded(async () => {
      const { root, purpose, combine = "sum" } = options;
      const to = this.#rankAt(root, "reduce");
      if (this.size === 1) return;
      const algorithm = this.#choose("reduce", { words: x.size, asked: options.algorithm });
      const text = `${combine} [${x.shape}] to rank ${to} by ${algorithm}`;
      return collectives.reduce(this.#enter("reduce", { purpose, text }), { root, algorithm, x, combine });
    });
  }

  /** x of every rank combined, on every rank, the same bits; x stays as it is. */
  allReduce(x: Tensor, options: CallOptions & { combine?: Combine }): Promise<Tensor> {
    return this.#guarded(async () => {
      const { purpose, combine = "sum" } = options;
      if (this.size === 1) return handle(x);
      const algorithm = this.#choose("allReduce", { words: x.size, asked: options.algorithm });
      const at = this.#enter("allReduce", { purpose, text: `${combine} [${x.shape}] by ${algorithm}` });
      return collectives.allReduce(at, { algorithm, x, combine });
    });
  }

  /** Everyone's x, in the group's order: handles that the caller disposes. shapes: each rank's, when they differ. */
  allGather(x: Tensor, options: CallOptions & { shapes?: readonly Shape[] }): Promise<Tensor[]> {
    return this.#guarded(async () => {
      if (this.size === 1) return [handle(x)];
      const shapes = options.shapes ?? this.ranks.map(() => x.shape);
      invariant(`${shapes[this.index]}` === `${x.shape}`, `allGather of ${shapesText(shapes)}: got [${x.shape}]`);
      const words = shapes.reduce((sum, shape) => sum + sizeOf(shape), 0);
      const algorithm = this.#choose("allGather", { words, asked: options.algorithm });
      const text = `of ${shapesText(shapes)} by ${algorithm}`;
      const at = this.#enter("allGather", { purpose: options.purpose, text });
      return (await collectives.allGather(at, { algorithm, x, present: () => true })) as Tensor[];
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
      const text = `${combine} of ${shapesText(parts.map((part) => part.shape))} by ${algorithm}`;
      const at = this.#enter("reduceScatter", { purpose, text });
      return (await collectives.reduceScatter(at, { algorithm, parts: [...parts], combine })) as Tensor;
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
      const text = `of ${shapesText(parts.map((part) => part.shape))} by ${algorithm}`;
      const at = this.#enter("allToAll", { purpose: options.purpose, text });
      for (const [to, tensor] of parts.entries()) {
        if (to === this.index) continue;
        at.send(to, { part: 0, tensor });
        tensor.dispose();
      }
      const received: Tensor[] = [];
      for (let from = 0; from < this.size; from++)
        received.push(from === this.index ? parts[from] : await at.receive(from, { part: 0 }));
      return received;
    });
  }

  /** Resolves when every rank of the group has come here. */
  barrier(options: { purpose: string }): Promise<void> {
    return this.#guarded(async () => {
      if (this.size === 1) return;
      const at = this.#enter("barrier", { purpose: options.purpose, text: "" });
      // Dissemination: after round r a rank has heard, directly or not, of the 2^r ranks before it.
      for (let distance = 1, round = 0; distance < this.size; distance *= 2, round++) {
        at.send((this.index + distance) % this.size, { part: round, tensor: undefined });
        await at.hear((this.index - distance + this.size) % this.size, round);
      }
    });
  }

  /** Between two ranks of the group; the other one receives in a call of its own, with the same tag. Messages that are under way
   *  between the two at the same time need different tags. */
  send(x: Tensor, options: { to: number; tag: string; purpose: string }): void {
    const call = this.#pairCall(options.tag, x.shape);
    this.#link.send(this.#rankAt(options.to, "send"), { call, part: 0, tensor: x });
  }

  receive(options: { from: number; tag: string; shape: Shape; purpose: string }): Promise<Tensor> {
    return this.#guarded(async () => {
      const { from, tag, shape, purpose } = options;
      const tensor = await this.#link.receive(this.#rankAt(from, "receive"), {
        call: this.#pairCall(tag, shape),
        part: 0,
      });
      invariant(tensor, "a message without a tensor");
      this.#count(tensor, { from, op: "send", purpose });
      return tensor;
    });
  }

  /** A rank that fails in a call ends the run at once, and not when its caller comes to wait for the result. */
  #guarded<T>(call: () => Promise<T>): Promise<T> {
    const result = call();
    result.catch((error: unknown) => this.#link.fail(error));
    return result;
  }

  #pairCall(tag: string, shape: Shape): Call {
    return { key: `${this.name} tag ${tag}`, members: 2, text: `send [${shape}]` };
  }

  #enter(op: Op | "barrier", { purpose, text }: { purpose: string; text: string }) {
    const call: Call = {
      key: `${this.name} call ${this.#calls++}`,
      members: this.size,
      text: `${op} ${text}${text && " "}for ${purpose}`,
    };
    this.#link.enter(call);
    const link = this.#link;
    const exchange: Exchange & { hear: (from: number, part: number) => Promise<void> } = {
      size: this.size,
      index: this.index,
      send: (to, { part, tensor }) => link.send(this.ranks[to], { call, part, tensor }),
      receive: async (from, { part }) => {
        const tensor = await link.receive(this.ranks[from], { call, part });
        invariant(tensor, "a message without a tensor");
        this.#count(tensor, { from, op, purpose });
        return tensor;
      },
      hear: async (from, part) => {
        await link.receive(this.ranks[from], { call, part });
        this.#count(undefined, { from, op, purpose });
      },
    };
    return exchange;
  }

  #count(tensor: Tensor | undefined, { from, ...rest }: { from: number; op: string; purpose: string }): void {
    const content = { words: tensor?.size ?? 0, dtype: tensor?.dtype ?? "f32" };
    this.#ledger?.record({ from: this.ranks[from], to: this.#link.rank, ...content, ...rest });
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

/** Equal shapes once. */
const shapesText = (shapes: readonly Shape[]): string => {
  const texts = shapes.map((shape) => `[${shape}]`);
  return texts.every((text) => text === texts[0]) ? texts[0] : texts.join(" ");
};

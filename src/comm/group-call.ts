// One call of a process group from one rank's side: what links compare, how its tensors travel, and what is counted when they arrive.

import type { DType } from "../backend/buffer.ts";
import { invariant } from "../backend/errors.ts";
import { type Shape, sizeOf, type Tensor } from "../tensor/tensor.ts";
import { handle } from "./collectives.ts";
import type { Exchange } from "./exchange.ts";
import type { Call, Link, Payload } from "./link.ts";
import { packed, packedPayload, unpacked } from "./wire.ts";

/** What a rank says of a call. halved: f32 travels as f16 */
export type What = Pick<Call, "op" | "shapes" | "combine" | "root" | "algorithm"> & {
  purpose: string;
  /** of the tensors it is about */
  dtype: DType;
  halved: boolean;
};

/** One call, from this rank's side. */
export class GroupCall implements Call, Exchange {
  readonly group: string;
  readonly which: number;
  readonly size: number;
  readonly index: number;
  readonly op: string;
  readonly shapes: readonly Shape[];
  readonly combine: string | undefined;
  readonly root: number | undefined;
  readonly algorithm: string | undefined;
  readonly purpose: string;
  readonly #dtype: DType;
  readonly #halved: boolean;
  readonly #ranks: readonly number[];
  readonly #link: Link;
  readonly #count: Count;

  constructor(
    what: What,
    place: { group: string; which: number; ranks: readonly number[]; index: number; link: Link; count: Count },
  ) {
    this.group = place.group;
    this.which = place.which;
    this.size = place.ranks.length;
    this.index = place.index;
    this.op = what.op;
    this.shapes = what.shapes;
    this.combine = what.combine;
    this.root = what.root;
    // Ranks that do not agree about the wire do not agree about the call.
    this.algorithm = what.halved ? `${what.algorithm} in f16` : what.algorithm;
    this.purpose = what.purpose;
    this.#dtype = what.dtype;
    this.#halved = what.halved;
    this.#ranks = place.ranks;
    this.#link = place.link;
    this.#count = place.count;
  }

  get members(): number {
    return this.size;
  }

  pack(x: Tensor): Tensor {
    return this.#halved ? packed(x) : handle(x);
  }

  unpack(x: Tensor, shape: Shape): Tensor {
    return this.#halved ? unpacked(x, shape) : x;
  }

  send(to: number, { part, tensor }: { part: number; tensor: Tensor | undefined }): void {
    this.#link.send(this.#ranks[to], { call: this, part, tensor });
  }

  give(to: number, { part, tensor }: { part: number; tensor: Tensor }): void {
    using sent = this.pack(tensor);
    this.send(to, { part, tensor: sent });
  }

  async receive(place: number, { part, shape }: { part: number; shape: Shape }): Promise<Tensor> {
    const from = this.#ranks[place];
    const payload = this.#travelling(shape);
    return this.#arrived(await this.#link.receive(from, { call: this, part, payload }), { from, shape });
  }

  // Not by way of `receive`: another turn of the queue would let ranks go on in another order, which takes more memory.
  async take(place: number, { part, shape }: { part: number; shape: Shape }): Promise<Tensor> {
    const from = this.#ranks[place];
    const payload = this.#travelling(shape);
    const tensor = this.#arrived(await this.#link.receive(from, { call: this, part, payload }), { from, shape });
    return this.unpack(tensor, shape);
  }

  /** A tensor of that shape as it is sent. */
  #travelling(shape: Shape): Payload {
    return this.#halved ? packedPayload(sizeOf(shape)) : { shape, dtype: this.#dtype };
  }

  #arrived(tensor: Tensor | undefined, { from, shape }: { from: number; shape: Shape }): Tensor {
    invariant(tensor, "a message without a tensor");
    const { op, purpose } = this;
    this.#count({ from, op, purpose, words: sizeOf(shape), dtype: this.#halved ? "f16" : tensor.dtype });
    return tensor;
  }

  /** A message that only says that a rank has come so far. */
  async hear(place: number, part: number): Promise<void> {
    const from = this.#ranks[place];
    await this.#link.receive(from, { call: this, part });
    this.#count({ from, op: this.op, purpose: this.purpose, words: 0, dtype: "f32" });
  }
}

/** words: elements, of a type. from: a rank of the link */
export interface Received {
  from: number;
  op: string;
  purpose: string;
  words: number;
  dtype: DType;
}
export type Count = (message: Received) => void;

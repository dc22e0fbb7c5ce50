// What every layout with more than one rank shares: parameters as blocks, whole tensors put together from blocks, and gradients
// summed over copies. Which rank holds which block, and what the ops exchange, is each layout's own file.

import type { Backend } from "../backend/backend.ts";
import { invariant } from "../backend/errors.ts";
import { copyRange, handle } from "../comm/collectives.ts";
import type { ProcessGroup } from "../comm/process-group.ts";
import { Parameter, scratch, sizeOf, type Tensor } from "../tensor/tensor.ts";
import { initialBlock, type Range } from "./block.ts";
import { buckets } from "./buckets.ts";
import { allReduced } from "./exchange.ts";
import { type GradientOfCopies, type ParameterSpec, ReducedGradients, type Whole } from "./layout.ts";
import { sumSquares } from "./norm-squared.ts";
import { type Axis, type Placed, type Placements, place, placedAs } from "./placement.ts";
import { type MeshAxis, meshAxis } from "./redistribute.ts";

/** Part of a matrix; one-dim parameters are one row. Extents include padding. */
export interface Block {
  rows: Range;
  cols: Range;
}

/** How a layout cuts a parameter. */
export interface Sharding {
  /** the block of any rank */
  block: (rank: number) => Block;
  /** ranks that hold the same block as this one */
  copies: ProcessGroup | undefined;
  /** whether each copy's gradient is of other samples or rows, so that the gradient is their sum */
  partial: boolean;
}

/** Axes on which each rank uses the whole in its own way: its gradient is the sum over them. */
type SummedAxes<P extends Placements> = { [A in Axis<P>]: P[A] extends "replicate" ? A : never }[Axis<P>];

/** The copies of a parameter that is placed like this where ops use it: over all axes on which its gradient is partial, and no other. */
export const copiesAlong = <P extends Placements>(
  _inUse: P,
  over: MeshAxis<SummedAxes<P>>,
): Pick<Sharding, "copies" | "partial"> => ({ copies: over.group, partial: true });

export class Shards {
  readonly #backend: Backend;
  readonly #world: ProcessGroup;
  readonly #shardingOf: (whole: Whole) => Sharding;
  readonly #shardings = new WeakMap<Parameter, Sharding>();
  #gathers = 0;

  constructor(options: { backend: Backend; world: ProcessGroup; shardingOf: (whole: Whole) => Sharding }) {
    this.#backend = options.backend;
    this.#world = options.world;
    this.#shardingOf = options.shardingOf;
  }

  parameter(spec: ParameterSpec): Parameter {
    const sharding = this.#shardingOf(spec);
    const block = sharding.block(this.#world.index);
    const cols = block.cols.to - block.cols.from;
    const shape = spec.shape.length === 1 ? [cols] : [block.rows.to - block.rows.from, cols];
    const data = this.#backend.valueless ? undefined : initialBlock(spec, block);
    const parameter = Parameter.of(this.#backend, { shape, data, name: spec.name, dtype: spec.dtype ?? "f32" });
    this.#shardings.set(parameter, sharding);
    return parameter;
  }

  async gather(block: Tensor, whole: Whole, to?: number): Promise<Float32Array | undefined> {
    const sharding = this.#shardingOf(whole);
    const root = to ?? 0;
    const tag = `gather ${this.#gathers++}`;
    const purpose = "checkpoint";
    const blocks = this.#world.ranks.map((_, rank) => sharding.block(rank));
    const place = ({ rows, cols }: Block) => `${rows.from} ${cols.from}`;
    const holders = blocks.map((own) => blocks.findIndex((other) => place(other) === place(own)));
    const me = this.#world.index;
    let assembled: Tensor | undefined;
    if (me === root) {
      const own = scratch(block, whole.shape);
      for (const [rank, part] of blocks.entries()) {
        if (holders[rank] !== rank) continue;
        using piece =
          rank === holders[me]
            ? handle(block)
            : await this.#world.receive({ from: rank, tag, shape: block.shape, purpose });
        paste(piece, { into: own, block: part });
      }
      assembled = own;
    } else if (holders[me] === me && holders[root] !== me) this.#world.send(block, { to: root, tag, purpose });
    if (to === undefined) {
      const everywhere = await this.#world.broadcast(assembled, { root, shape: whole.shape, purpose, exact: true });
      assembled?.dispose();
      assembled = everywhere;
    }
    // Or who sends could be a whole model ahead of who puts it together.
    else await this.#world.barrier({ purpose });
    using result = assembled;
    return (await result?.read()) as Float32Array | undefined;
  }

  async reduceGradients(parameters: readonly Parameter[]): Promise<ReducedGradients> {
    const reduced = new Map<Parameter, GradientOfCopies<"invariant">>();
    const bySum = new Map<ProcessGroup, Parameter[]>();
    for (const parameter of parameters) {
      const { gradient } = parameter;
      if (!parameter.gradientFilled) this.#backend.run("fill", { y: gradient.buffer, n: gradient.size, value: 0 });
      parameter.gradientFilled = true;
      const { copies, partial } = this.#sharding(parameter);
      if (!copies || !partial || copies.size === 1) {
        reduced.set(parameter, place(gradient, { copies: "invariant" }));
        continue;
      }
      const others = bySum.get(copies);
      if (others) others.push(parameter);
      else bySum.set(copies, [parameter]);
    }
    for (const [group, members] of bySum)
      for (const bucket of buckets(members.map(({ size }) => size))) {
        const summed = bucket.map((index) => members[index]);
        const terms = summed.map(({ gradient }) => place(gradient, { copies: "partial" }));
        using flat = packed(terms);
        using sum = await allReduced(flat, { over: meshAxis("copies", group), purpose: "gradient sum" });
        for (const [index, whole] of unpack(sum, terms).entries()) reduced.set(summed[index], whole);
      }
    return new ReducedGradients(parameters, reduced);
  }

  /** Each element once: a copy's squares count by its share. */
  async gradientNormSquared({ parameters }: ReducedGradients, out: Tensor): Promise<void> {
    using own = scratch(out, [1]);
    sumSquares(parameters, { copies: (parameter) => this.copies(parameter), out: own });
    using sum: Placed<{ world: "invariant" }> = await allReduced(place(own, { world: "partial" }), {
      over: meshAxis("world", this.#world),
      purpose: "gradient norm",
      exact: true,
    });
    copyRange(sum, { to: out, length: 1, xOffset: 0, yOffset: 0 });
  }

  copies(parameter: Parameter): number {
    return this.#sharding(parameter).copies?.size ?? 1;
  }

  #sharding(parameter: Parameter): Sharding {
    const sharding = this.#shardings.get(parameter);
    invariant(sharding, `${parameter.name} belongs to another layout`);
    return sharding;
  }
}

/** Tensors that are placed alike, one behind the other in one. */
function packed<P extends Placements>(parts: readonly Placed<P>[]): Placed<P> {
  const words = parts.reduce((sum, { size }) => sum + size, 0);
  const flat = scratch(parts[0], [words]);
  let at = 0;
  for (const part of parts) {
    copyRange(part, { to: flat, length: part.size, xOffset: 0, yOffset: at });
    at += part.size;
  }
  return placedAs(flat, parts[0]);
}

/** The tensors that `packed` put behind each other, written into others of their sizes, which are placed as `flat` from then on. */
function unpack<P extends Placements>(flat: Placed<P>, into: readonly Tensor[]): Placed<P>[] {
  let at = 0;
  return into.map((part) => {
    copyRange(flat, { to: part, length: part.size, xOffset: at, yOffset: 0 });
    at += part.size;
    return placedAs(part, flat);
  });
}

/** Copies a block to its place in a whole matrix, leaving out what is padding. */
export function paste(piece: Tensor, { into, block }: { into: Tensor; block: Block }): void {
  const [rows, cols] = into.shape.length === 1 ? [1, sizeOf(into.shape)] : into.shape;
  const height = Math.min(block.rows.to, rows) - block.rows.from;
  const width = Math.min(block.cols.to, cols) - block.cols.from;
  if (height <= 0 || width <= 0) return;
  piece.backend.run("copy", {
    x: piece.buffer,
    y: into.buffer,
    shape: [1, 1, height, width],
    xStrides: [0, 0, block.cols.to - block.cols.from, 1],
    yStrides: [0, 0, cols, 1],
    xOffset: 0,
    yOffset: block.rows.from * cols + block.cols.from,
  });
}

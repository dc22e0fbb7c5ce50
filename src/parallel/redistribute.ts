// From one placement on a mesh axis to another: the differentiable collectives, typed so that a wrong use does not compile. Each
// forward stands beside its dual. What SUMMA does between ranks (panels from one root at a time) is no placement and not here.
// Megatron's f and g (arXiv 1909.08053) are `replicate` and `allReduce` to "invariant"; the types are spmd_types' (meta-pytorch).

import { handle } from "../comm/collectives.ts";
import type { ProcessGroup } from "../comm/process-group.ts";
import { type Gradients, type Tape, tapeOf } from "../tensor/tape.ts";
import { type Parameter, scratch, sizeOf, type Tensor } from "../tensor/tensor.ts";
import {
  type Dual,
  type Needs,
  type Placed,
  type Placement,
  type Placements,
  place,
  placeDual,
  placementsOf,
  requirePlacements,
  type With,
} from "./placement.ts";

/** An axis of the mesh, or several as one, and this rank's group along it: its members differ in these axes alone. A group along fewer
 *  or more axes is another type. */
export interface MeshAxis<in out A extends string> {
  readonly names: readonly A[];
  readonly group: ProcessGroup;
}

export const meshAxis = <A extends string>(names: A | readonly A[], group: ProcessGroup): MeshAxis<A> => ({
  names: typeof names === "string" ? [names] : names,
  group,
});

export interface Over<A extends string> {
  over: MeshAxis<A>;
  /** the ledger's word; it adds "forward" or "backward" */
  purpose: string;
}

/** Everyone has the whole, and the same use of it or not: what can be made of sums and of blocks. */
type WholeOnAll = "invariant" | "replicate";
type Dim = 0 | 1;

// ---- invariant > replicate ----------------------------------------------------------------------------------------

/** The same tensor, from here on used by each rank in its own way. Forward sends nothing; backward sums the gradients.
 *  @param options.tape for a weight, which lives on none */
export function replicate<P extends Placements, A extends string>(
  x: Placed<P> & Needs<P, Record<A, "invariant">>,
  { over, purpose, tape = tapeOf(x) }: Over<A> & { tape?: Tape },
): Placed<With<P, A, "replicate">> {
  requirePlacements(x, { needs: on(over, "invariant"), what: "replicate's x" });
  const y = tape.record({
    op: "replicate",
    output: tape.view(x, { requiresGrad: tape.recording && x.requiresGrad }),
    saved: [],
    vjp: (dy, gradients) => sumInto(x, { dy, gradients, group: over.group, purpose }),
  });
  return placed(y, { of: x, over, to: "replicate" });
}

// ---- partial > invariant, replicate -----------------------------------------------------------------------------------

/** The sum, on every rank. To "invariant" backward sends nothing; to "replicate" it sums the gradients. */
export async function allReduce<P extends Placements, A extends string, Q extends WholeOnAll>(
  x: Placed<P> & Needs<P, Record<A, "partial">>,
  { over, to, purpose }: Over<A> & { to: Q },
): Promise<Placed<With<P, A, Q>>> {
  requirePlacements(x, { needs: on(over, "partial"), what: "allReduce's x" });
  const { group } = over;
  const tape = tapeOf(x);
  const y = tape.record({
    op: "allReduce",
    output: tape.outputOf("allReduce", {
      values: await group.allReduce(x, { purpose: `${purpose} forward` }),
      inputs: [x],
    }),
    saved: [],
    vjp: (dy, gradients) =>
      to === "invariant" ? gradients.pass(x, dy) : sumInto(x, { dy, gradients, group, purpose }),
  });
  return placed(y, { of: x, over, to });
}

// ---- partial > shard ------------------------------------------------------------------------------------------------------

/** Each rank's block, along `dim`, of the sum. Backward gathers the gradient's blocks.
 *  @throws RangeError when the ranks do not divide the extent */
export async function reduceScatter<P extends Placements, A extends string, D extends Dim>(
  x: Placed<P> & Needs<P, Record<A, "partial">>,
  { over, dim, purpose }: Over<A> & { dim: D },
): Promise<Placed<With<P, A, `shard ${D}`>>> {
  requirePlacements(x, { needs: on(over, "partial"), what: "reduceScatter's x" });
  const { group } = over;
  const tape = tapeOf(x);
  const parts = blocks(x, { dim, over, what: "reduceScatter" });
  const y = tape.record({
    op: "reduceScatter",
    output: tape.outputOf("reduceScatter", {
      values: await group.reduceScatter(parts, { purpose: `${purpose} forward` }),
      inputs: [x],
    }),
    saved: [],
    vjp: (dy, gradients) => gatherInto(x, { dy, gradients, group, dim, purpose }),
  });
  return placed(y, { of: x, over, to: `shard ${dim}` });
}

// ---- shard > replicate, invariant -------------------------------------------------------------------------------------------

/** All blocks along `dim`, on every rank. Backward to "replicate": each block's gradient is the sum of all ranks' (reduceScatter);
 *  to "invariant" a rank cuts out its own, and nothing is sent. */
export async function allGather<P extends Placements, A extends string, D extends Dim, Q extends WholeOnAll>(
  x: Placed<P> & Needs<P, Record<A, `shard ${D}`>>,
  { over, dim, to, purpose }: Over<A> & { dim: D; to: Q },
): Promise<Placed<With<P, A, Q>>> {
  requirePlacements(x, { needs: on(over, `shard ${dim}`), what: "allGather's x" });
  const { group } = over;
  const tape = tapeOf(x);
  const parts = await group.allGather(x, { purpose: `${purpose} forward` });
  const y = tape.record({
    op: "allGather",
    output: tape.outputOf("allGather", { values: joined(parts, dim), inputs: [x] }),
    saved: [],
    async vjp(dy, gradients) {
      if (!gradients.wants(x)) return;
      const what = "allGather's gradient";
      using dx =
        to === "invariant"
          ? block(dy, { dim, over, what, index: group.index })
          : await group.reduceScatter(blocks(dy, { dim, over, what }), { purpose: `${purpose} backward` });
      gradients.pass(x, dx);
    },
  });
  return placed(y, { of: x, over, to });
}

// ---- invariant > shard ----------------------------------------------------------------------------------------------------------

/** This rank's block of what everyone has. Forward sends nothing; backward gathers the gradient's blocks.
 *  @throws RangeError when the ranks do not divide the extent */
export function split<P extends Placements, A extends string, D extends Dim>(
  x: Placed<P> & Needs<P, Record<A, "invariant">>,
  { over, dim, purpose }: Over<A> & { dim: D },
): Placed<With<P, A, `shard ${D}`>> {
  requirePlacements(x, { needs: on(over, "invariant"), what: "split's x" });
  const { group } = over;
  const tape = tapeOf(x);
  const y = tape.record({
    op: "split",
    output: tape.outputOf("split", {
      values: block(x, { dim, over, what: "split", index: group.index }),
      inputs: [x],
    }),
    saved: [],
    vjp: (dy, gradients) => gatherInto(x, { dy, gradients, group, dim, purpose }),
  });
  return placed(y, { of: x, over, to: `shard ${dim}` });
}

// ---- shard > shard --------------------------------------------------------------------------------------------------------------

/** From blocks along `from` to blocks along `to`: a transpose of ranks and blocks. Backward is the way back.
 *  @throws RangeError when the ranks do not divide the extent of `to` */
export async function allToAll<P extends Placements, A extends string, D extends Dim, E extends Dim>(
  x: Placed<P> & Needs<P, Record<A, `shard ${D}`>>,
  { over, from, to, purpose }: Over<A> & { from: D; to: E },
): Promise<Placed<With<P, A, `shard ${E}`>>> {
  requirePlacements(x, { needs: on(over, `shard ${from}`), what: "allToAll's x" });
  const { group } = over;
  const tape = tapeOf(x);
  const exchange = async (z: Tensor, way: { from: Dim; to: Dim; purpose: string }) => {
    const parts = blocks(z, { dim: way.to, over, what: "allToAll" });
    return joined(await group.allToAll(parts, { purpose: way.purpose }), way.from);
  };
  const y = tape.record({
    op: "allToAll",
    output: tape.outputOf("allToAll", {
      values: await exchange(x, { from, to, purpose: `${purpose} forward` }),
      inputs: [x],
    }),
    saved: [],
    async vjp(dy, gradients) {
      if (!gradients.wants(x)) return;
      using dx = await exchange(dy, { from: to, to: from, purpose: `${purpose} backward` });
      gradients.pass(x, dx);
    },
  });
  return placed(y, { of: x, over, to: `shard ${to}` });
}

// ---- gradients of weights ------------------------------------------------------------------------------------------------------

/** A weight's gradient, with the placements that follow from those under which the step used it. */
export function gradientOf<P extends Placements>(weight: Parameter & Placed<P>): Placed<Dual<P>> {
  return placeDual(weight.gradient, weight);
}

/** Sums a weight's gradient in place: once a step, after the last micro-batch (the depth sum). No tape. */
export async function sumGradient<P extends Placements, A extends string>(
  gradient: Placed<P> & Needs<P, Record<A, "partial">>,
  { over, purpose }: Over<A>,
): Promise<Placed<With<P, A, "invariant">>> {
  requirePlacements(gradient, { needs: on(over, "partial"), what: "sumGradient's gradient" });
  // Sent memory must not be written, and this gradient is: a copy travels.
  using copy = copied(gradient);
  using sum = await over.group.allReduce(copy, { purpose });
  const { backend, buffer, size } = gradient;
  backend.run("scale", { x: sum.buffer, y: buffer, n: size, alpha: 1 });
  return placed(gradient, { of: gradient, over, to: "invariant" });
}

// ---- parts ------------------------------------------------------------------------------------------------------------------------

/** One placement on each of the axes. */
export const on = <A extends string>({ names }: MeshAxis<A>, placement: Placement): Placements =>
  Object.fromEntries(names.map((name) => [name, placement]));

/** y, placed as x is but on the axes of `over`. */
export function placed<P extends Placements, A extends string, Q extends Placement>(
  y: Tensor,
  { of, over, to }: { of: Placed<P>; over: MeshAxis<A>; to: Q },
): Placed<With<P, A, Q>> {
  const known = placementsOf(of);
  if (!known) return y as Placed<With<P, A, Q>>;
  const placements: Placements = { ...known, ...on(over, to) };
  return place(y, placements as With<P, A, Q>);
}

interface Backward {
  dy: Tensor;
  gradients: Gradients;
  group: ProcessGroup;
  purpose: string;
}

async function sumInto(x: Tensor, { dy, gradients, group, purpose }: Backward): Promise<void> {
  if (!gradients.wants(x)) return;
  using sent = sendable(dy);
  using dx = await group.allReduce(sent, { purpose: `${purpose} backward` });
  gradients.pass(x, dx);
}

async function gatherInto(x: Tensor, { dy, gradients, group, dim, purpose }: Backward & { dim: Dim }): Promise<void> {
  if (!gradients.wants(x)) return;
  using sent = sendable(dy);
  using dx = joined(await group.allGather(sent, { purpose: `${purpose} backward` }), dim);
  gradients.pass(x, dx);
}

/** What a rank sends nobody may write to any more, but a gradient that `pass` shared may yet be added to. */
const sendable = (dy: Tensor): Tensor => (dy.storage.shared ? copied(dy) : handle(dy));

function copied(x: Tensor): Tensor {
  const y = scratch(x, x.shape);
  x.backend.run("scale", { x: x.buffer, y: y.buffer, n: x.size, alpha: 1 });
  return y;
}

interface Cut {
  dim: Dim;
  over: { readonly names: readonly string[]; readonly group: ProcessGroup };
  what: string;
}

/** x cut along dim into a block for each rank of the group, in new memory. */
export const blocks = (x: Tensor, cut: Cut): Tensor[] =>
  cut.over.group.ranks.map((_, index) => block(x, { ...cut, index }));

function block(x: Tensor, { dim, over, what, index }: Cut & { index: number }): Tensor {
  const { size } = over.group;
  if (x.shape[dim] % size !== 0)
    throw new RangeError(
      `${what} over ${over.names}: dim ${dim} of [${x.shape}] does not divide over ${size} ranks; use a multiple of ${size}`,
    );
  const extent = x.shape[dim] / size;
  const y = scratch(x, x.shape.with(dim, extent));
  copyBlock({ dim, extent, x, y, xStart: index * extent, yStart: 0 });
  return y;
}

/** Equal blocks side by side along dim, in new memory. Takes over the handles. */
export function joined(parts: readonly Tensor[], dim: Dim): Tensor {
  const [{ shape }] = parts;
  const extent = shape[dim];
  const y = scratch(parts[0], shape.with(dim, extent * parts.length));
  for (const [index, part] of parts.entries()) {
    copyBlock({ dim, extent, x: part, y, xStart: 0, yStart: index * extent });
    part.dispose();
  }
  return y;
}

/** y[.., yStart + e, ..] = x[.., xStart + e, ..] for e < extent at dim. */
function copyBlock(options: { dim: Dim; extent: number; x: Tensor; y: Tensor; xStart: number; yStart: number }): void {
  const { dim, extent, x, y, xStart, yStart } = options;
  const [outer, inner] = [sizeOf(x.shape.slice(0, dim)), sizeOf(x.shape.slice(dim + 1))];
  x.backend.run("copy", {
    x: x.buffer,
    y: y.buffer,
    shape: [1, outer, extent, inner],
    xStrides: [0, x.shape[dim] * inner, inner, 1],
    yStrides: [0, y.shape[dim] * inner, inner, 1],
    xOffset: xStart * inner,
    yOffset: yStart * inner,
  });
}

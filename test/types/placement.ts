// Programs over placements that must compile, and beside each the mistake that must not. The text after @ts-expect-error is part of
// the error that placement-types.test.ts expects on the next line. Type-checked, never run.

import type {
  AddsTo,
  AddsToRows,
  AtRest,
  Axis,
  Biased,
  Dual,
  Multiplies,
  Needs,
  NoPartial,
  Placed,
  Placements,
  Product,
  With,
} from "../../src/parallel/placement.ts";
import { place } from "../../src/parallel/placement.ts";
import type { Parameter, Tensor } from "../../src/tensor/tensor.ts";

declare const tensor: Tensor;
declare const parameter: Parameter;

// B batch, T tokens, D width, F hidden width, V vocabulary; mesh axes: i rows, j columns, k depth.
type Activation = { i: "shard 0"; j: "shard 1"; k: "shard 0" };

declare function gelu<P extends Placements>(x: Placed<P> & NoPartial<P>): Placed<P>;
declare function norm<P extends Placements>(
  x: Placed<P> & Needs<P, { j: "replicate" | "invariant" }> & NoPartial<P>,
): Placed<P>;
declare function matmul<X extends Placements, W extends Placements>(
  x: Placed<X>,
  w: Placed<W> & Multiplies<X, W>,
): Placed<Product<X, W>>;
declare function add<X extends Placements, Y extends Placements>(x: Placed<X>, y: Placed<Y> & AddsTo<X, Y>): Placed<X>;
declare function addBias<X extends Placements, B extends Placements>(
  x: Placed<X>,
  bias: Placed<B> & AddsToRows<X, B>,
): Placed<Biased<X, B>>;
declare function update<P extends Placements, G extends Placements>(
  weight: Placed<P> & AtRest<P>,
  gradient: Placed<G> & Needs<G, P>,
): void;
declare function crossEntropy<P extends Placements>(
  logits: Placed<P> & Needs<P, { j: "shard 1" }>,
): Placed<With<P, Axis<P>, "invariant">>;
declare function gradientOf<P extends Placements>(x: Placed<P>): Placed<Dual<P>>;

// ---- what is placed is a tensor; a tensor is not placed ------------------------------------------------------------

const x: Placed<Activation> = place(tensor, { i: "shard 0", j: "shard 1", k: "shard 0" });
const back: Tensor = x;
const weightKeeps: Parameter = place(parameter, { i: "shard 0", j: "shard 1", k: "invariant" });
export const kept = [back, weightKeeps];
// @ts-expect-error Property '[placements]' is missing in type 'Tensor'
export const unplaced: Placed<Activation> = tensor;
// @ts-expect-error Type '"shard 0"' is not assignable to type '"partial"'
export const otherDepth: Placed<{ i: "shard 0"; j: "shard 1"; k: "partial" }> = x;
// @ts-expect-error Property 'k' is missing in type '{ i: "shard 0"; j: "shard 1"; }'
export const fewerAxes: Placed<{ i: "shard 0"; j: "shard 1" }> = x;
// @ts-expect-error Property 'l' is missing
export const moreAxes: Placed<Activation & { l: "invariant" }> = x;
// @ts-expect-error Type '"split"' is not assignable to type 'Placement'
place(tensor, { i: "split" });

// ---- partial sums where the whole is needed --------------------------------------------------------------------------

const whole = place(tensor, { p: "invariant" });
const sums = place(tensor, { p: "partial" });
gelu(whole);
// @ts-expect-error got a partial sum on axis p; allReduce or reduceScatter it over p first
gelu(sums);
norm(place(tensor, { i: "shard 0", j: "invariant" }));
// @ts-expect-error got a partial sum on axis i; allReduce or reduceScatter it over i first
norm(place(tensor, { i: "partial", j: "invariant" }));
// @ts-expect-error got shard 1 on axis j, needed
norm(x);

// ---- the forgotten depth sum: every depth plane has seen other samples ------------------------------------------------

type Weight = { i: "shard 0"; j: "shard 1"; k: "invariant" };
const atRest = place(parameter, { i: "shard 0", j: "shard 1", k: "invariant" });
const used = place(tensor, { i: "shard 0", j: "shard 1", k: "replicate" });
update(atRest, gradientOf(atRest));
const gradient: Placed<With<Weight, "k", "partial">> = gradientOf(used);
// @ts-expect-error got partial on axis k, needed invariant; allReduce over k gets from one to the other
update(atRest, gradient);
// A partial sum is no weight, even with a gradient to match; nor is a copy that each rank uses in its own way.
// @ts-expect-error got partial on axis k, whose gradient is replicate; weights are invariant or shard
update(gradient, gradient);
// @ts-expect-error got replicate on axis k, whose gradient is partial; weights are invariant or shard
update(used, used);

// ---- gathered logits and the vocabulary-parallel loss: off by the log of the ranks ------------------------------------

const logits = place(tensor, { i: "shard 0", j: "shard 1" });
const loss: Placed<{ i: "invariant"; j: "invariant" }> = crossEntropy(logits);

export { loss };

const gathered = place(tensor, { i: "shard 0", j: "replicate" });
// @ts-expect-error got replicate on axis j, needed shard 1; no collective gets from one to the other
crossEntropy(gathered);
// @ts-expect-error there is no axis j; the mesh has p
crossEntropy(whole);

// ---- products ----------------------------------------------------------------------------------------------------------

// Megatron's MLP: h[T, F/p] = x[T, D] w1[D, F/p], y[T, D] = h[T, F/p] w2[F/p, D] summed over p.
const w1 = place(parameter, { p: "shard 1" });
const w2 = place(parameter, { p: "shard 0" });
const copies = place(tensor, { p: "replicate" });
const hidden: Placed<{ p: "shard 1" }> = gelu(matmul(copies, w1));
const mlp: Placed<{ p: "partial" }> = matmul(hidden, w2);
// The forgotten f: without it x's gradient would be a partial sum that nobody adds up.
// @ts-expect-error no local product on axis p: invariant * shard 1
matmul(whole, w1);
// @ts-expect-error no local product on axis p: shard 1 * shard 1
matmul(hidden, w1);
// @ts-expect-error no local product on axis p: partial * partial
matmul(mlp, mlp);
// The data-parallel side of the depth sum: a weight at rest, used on samples that differ from plane to plane.
matmul(place(tensor, { k: "shard 0" }), place(tensor, { k: "replicate" }));
// @ts-expect-error no local product on axis k: shard 0 * invariant
matmul(place(tensor, { k: "shard 0" }), place(parameter, { k: "invariant" }));
// @ts-expect-error no local product on axis j: shard 1 * shard 1
matmul(x, used);
// @ts-expect-error axis k is missing
matmul(x, place(tensor, { i: "replicate", j: "shard 0" }));
// @ts-expect-error there is no axis q
matmul(whole, place(tensor, { p: "invariant", q: "invariant" }));

// ---- sums --------------------------------------------------------------------------------------------------------------

add(whole, whole);
add(mlp, sums);
// @ts-expect-error no local sum on axis p: partial + replicate
add(mlp, copies);
// @ts-expect-error no local sum on axis p: invariant + partial
add(whole, mlp);
const biased: Placed<{ p: "shard 1" }> = addBias(matmul(copies, w1), place(parameter, { p: "shard 0" }));

export { biased };

// A whole bias on partial sums counts once per rank.
// @ts-expect-error no local sum on axis p: rows partial + vector invariant
addBias(mlp, place(parameter, { p: "invariant" }));

// ---- gradients of gradients come back -------------------------------------------------------------------------------------

export const twice: Placed<Activation> = gradientOf(gradientOf(x));
export const copiesTwice: Placed<{ p: "replicate" }> = gradientOf(gradientOf(copies));

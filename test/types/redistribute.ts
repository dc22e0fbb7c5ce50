// Programs over the typed collectives that must compile, and beside each the mistake that must not. The text after @ts-expect-error
// is part of the error that placement-types.test.ts expects on the next line. Type-checked, never run.

import type { ProcessGroup } from "../../src/comm/process-group.ts";
import { type Needs, type Placed, type Placements, place } from "../../src/parallel/placement.ts";
import {
  allGather,
  allReduce,
  allToAll,
  gradientOf,
  meshAxis,
  reduceScatter,
  replicate,
  split,
  sumGradient,
} from "../../src/parallel/redistribute.ts";
import type { Parameter, Tensor } from "../../src/tensor/tensor.ts";

declare const tensor: Tensor;
declare const parameter: Parameter;
declare const group: ProcessGroup;

const [i, j, k] = [meshAxis("i", group), meshAxis("j", group), meshAxis("k", group)];
const purpose = "linear";

// ---- sums ----------------------------------------------------------------------------------------------------------------

const sums = place(tensor, { i: "shard 0", j: "partial" });
export const summed: Placed<{ i: "shard 0"; j: "invariant" }> = await allReduce(sums, {
  over: j,
  to: "invariant",
  purpose,
});
const copies = await allReduce(sums, { over: j, to: "replicate", purpose });
export const [twoWays]: [Placed<{ i: "shard 0"; j: "replicate" }>] = [copies];
// @ts-expect-error got shard 0 on axis i, needed partial; no collective gets from one to the other
await allReduce(sums, { over: i, to: "invariant", purpose });
// Twice the same sum: gradients doubled, or worse.
// @ts-expect-error got invariant on axis j, needed partial
await allReduce(summed, { over: j, to: "invariant", purpose });
// @ts-expect-error there is no axis k; the mesh has
await allReduce(sums, { over: k, to: "invariant", purpose });
// @ts-expect-error Type '"partial"' is not assignable to type 'WholeOnAll'
await allReduce(sums, { over: j, to: "partial", purpose });
// @ts-expect-error Property '[placements]' is missing in type 'Tensor'
await allReduce(tensor, { over: j, to: "invariant", purpose });

const scattered: Placed<{ i: "shard 0"; j: "shard 1" }> = await reduceScatter(sums, { over: j, dim: 1, purpose });
// @ts-expect-error got replicate on axis j, needed partial; no collective gets from one to the other
await reduceScatter(copies, { over: j, dim: 1, purpose });
// @ts-expect-error Type '"shard 1"' is not assignable to type '"shard 0"'
export const wrongDim: Placed<{ i: "shard 0"; j: "shard 0" }> = scattered;

// ---- blocks -----------------------------------------------------------------------------------------------------------------

const gathered = await allGather(scattered, { over: j, dim: 1, to: "replicate", purpose });
export const whole: Placed<{ i: "shard 0"; j: "replicate" }> = gathered;
// @ts-expect-error got shard 1 on axis j, needed shard 0; allToAll over j gets from one to the other
await allGather(scattered, { over: j, dim: 0, to: "replicate", purpose });
// @ts-expect-error got partial on axis j, needed shard 1; reduceScatter over j gets from one to the other
await allGather(sums, { over: j, dim: 1, to: "invariant", purpose });
export const turned: Placed<{ i: "shard 0"; j: "shard 0" }> = await allToAll(scattered, {
  over: j,
  from: 1,
  to: 0,
  purpose,
});
// @ts-expect-error got invariant on axis j, needed shard 1; split over j gets from one to the other
await allToAll(summed, { over: j, from: 1, to: 0, purpose });
export const cut: Placed<{ i: "shard 0"; j: "shard 1" }> = split(summed, { over: j, dim: 1, purpose });
// @ts-expect-error got partial on axis j, needed invariant; allReduce over j gets from one to the other
split(sums, { over: j, dim: 1, purpose });

// ---- use ------------------------------------------------------------------------------------------------------------------------

export const used: Placed<{ i: "shard 0"; j: "replicate" }> = replicate(summed, { over: j, purpose });
// @ts-expect-error got partial on axis j, needed invariant; allReduce over j gets from one to the other
replicate(sums, { over: j, purpose });
// Twice f: the gradient would be summed twice.
// @ts-expect-error got replicate on axis j, needed invariant
replicate(used, { over: j, purpose });

// Gathered logits and the vocabulary-parallel loss.
declare function crossEntropy<P extends Placements>(logits: Placed<P> & Needs<P, { j: "shard 1" }>): void;
crossEntropy(scattered);
// @ts-expect-error got replicate on axis j, needed shard 1
crossEntropy(gathered);

// ---- the depth sum ----------------------------------------------------------------------------------------------------------------

type AtRest = Placed<{ i: "shard 0"; j: "shard 1"; k: "invariant" }>;
declare function update(weight: AtRest, gradient: AtRest): void;
const weight = place(parameter, { i: "shard 0", j: "shard 1", k: "invariant" });
const inUse = place(parameter, { i: "shard 0", j: "shard 1", k: "replicate" });
update(weight, await sumGradient(gradientOf(inUse), { over: k, purpose }));
// @ts-expect-error Type '"partial"' is not assignable to type '"invariant"'
update(weight, gradientOf(inUse));
// @ts-expect-error got shard 0 on axis i, needed partial
await sumGradient(gradientOf(inUse), { over: i, purpose });
// @ts-expect-error got invariant on axis k, needed partial
await sumGradient(await sumGradient(gradientOf(inUse), { over: k, purpose }), { over: k, purpose });

// Layout programs on a q x q x d mesh that must compile, and beside each the mistake that must not: a collective that is forgotten, is
// another, or goes along other axes. The text after @ts-expect-error is part of the error that placement-types.test.ts expects on the
// next line. Type-checked, never run.

import type { ProcessGroup } from "../../src/comm/process-group.ts";
import { allGathered, allMaximum, allReduced, destinationOf, reduceScattered } from "../../src/parallel/exchange.ts";
import { ReducedGradients } from "../../src/parallel/layout.ts";
import type { Mesh } from "../../src/parallel/mesh.ts";
import { type Placed, place } from "../../src/parallel/placement.ts";
import {
  type Activation,
  activation,
  productAB,
  productABT,
  productATB,
  vector,
  weight,
} from "../../src/parallel/products.ts";
import { gradientOf, meshAxis } from "../../src/parallel/redistribute.ts";
import { copiesAlong } from "../../src/parallel/sharded.ts";
import { columns, embeddingOfBlocks } from "../../src/parallel/summa-embedding.ts";
import {
  crossEntropyOfColumns,
  type LossSteps,
  mergeStats,
  type NormSteps,
  normOfColumns,
} from "../../src/parallel/summa-rows.ts";
import type { Axes } from "../../src/parallel/summa-sharding.ts";
import type { Ids } from "../../src/tensor/ops/embedding.ts";
import type { Gradients, Tape } from "../../src/tensor/tape.ts";
import type { Parameter, Tensor } from "../../src/tensor/tensor.ts";
import type { AdamW } from "../../src/train/optimizer.ts";

declare const tensor: Tensor;
declare const parameter: Parameter;
declare const group: ProcessGroup;
declare const mesh: Mesh;
declare const gradients: Gradients;
declare const optimizer: AdamW;
declare const tape: Tape;
declare const ids: Ids;

const row = meshAxis("j", group);
const column = meshAxis("i", group);
const depth = meshAxis("k", group);
const batch = meshAxis(["i", "k"], group);
export const axes: Axes = { row, column, depth, batch };
// @ts-expect-error Type 'MeshAxis<"k">' is not assignable to type 'MeshAxis<"i" | "k">'
export const fewer: Axes = { row, column, depth, batch: depth };
// @ts-expect-error Type '"i" | "k"' is not assignable to type '"k"'
export const more: Axes = { row, column, depth: batch, batch };

const x = place(tensor, activation);
const dy = place(tensor, activation);
const w = place(parameter, weight);
const atRest = place(parameter, { i: "shard 0", j: "shard 1", k: "invariant" });
const bias = place(parameter, vector);
const purpose = "linear";
const y = { tensor: place(tensor, activation), accumulate: false };

// ---- products ---------------------------------------------------------------------------------------------------------------

await productAB(mesh, { a: x, b: w, bias, to: y, purpose });
// @ts-expect-error Type '"shard 0"' is not assignable to type '"replicate"'
await productAB(mesh, { a: x, b: dy, to: y, purpose });
// @ts-expect-error Type '"replicate"' is not assignable to type '"shard 0"'
await productAB(mesh, { a: w, b: w, to: y, purpose });
// A weight whose gradient would not be summed over planes.
// @ts-expect-error Type '"invariant"' is not assignable to type '"replicate"'
await productAB(mesh, { a: x, b: atRest, to: y, purpose });
// @ts-expect-error is not assignable to type '"replicate"'
await productAB(mesh, { a: x, b: w, bias: w, to: y, purpose });
// @ts-expect-error Property '[placements]' is missing in type 'Tensor'
await productAB(mesh, { a: tensor, b: w, to: y, purpose });
await productABT(mesh, { a: dy, b: w, to: y, purpose });
// @ts-expect-error Type '"shard 0"' is not assignable to type '"replicate"'
await productABT(mesh, { a: dy, b: x, to: y, purpose });

const dx = destinationOf(gradients, x);
const dw = destinationOf(gradients, w);
const dAtRest = destinationOf(gradients, atRest);
if (!dx || !dw || !dAtRest) throw new Error("this program is never run");
await productABT(mesh, { a: dy, b: w, to: dx, purpose });
await productATB(mesh, { a: x, b: dy, to: dw, purpose });
// Each plane's dw is of its own samples.
// @ts-expect-error Type '"invariant"' is not assignable to type '"partial"'
await productATB(mesh, { a: x, b: dy, to: dAtRest, purpose });
// @ts-expect-error Type '"shard 0"' is not assignable to type '"partial"'
await productATB(mesh, { a: x, b: dy, to: dx, purpose });
// @ts-expect-error Type '"replicate"' is not assignable to type '"shard 0"'
await productATB(mesh, { a: x, b: w, to: dw, purpose });
// @ts-expect-error Type '"partial"' is not assignable to type '"shard 0"'
await productABT(mesh, { a: dy, b: w, to: dw, purpose });

// ---- gradients of copies -------------------------------------------------------------------------------------------------------

copiesAlong(weight, depth);
copiesAlong(vector, batch);
copiesAlong(columns, batch);
// Biases that saw other rows down the column too.
// @ts-expect-error Type '"i"' is not assignable to type '"k"'
copiesAlong(vector, depth);
// Blocks of different rows of a weight, added up.
// @ts-expect-error Type '"i" | "k"' is not assignable to type '"k"'
copiesAlong(weight, batch);
// @ts-expect-error Type '"j"' is not assignable to type '"k"'
copiesAlong(weight, row);

const term = place(parameter.gradient, { copies: "partial" });
const reduced = await allReduced(term, { over: meshAxis("copies", group), purpose: "gradient sum" });
await optimizer.step({
  gradients: new ReducedGradients([parameter], new Map([[parameter, reduced]])),
  learningRate: 1,
});
// @ts-expect-error Type '"partial"' is not assignable to type '"invariant"'
new ReducedGradients([parameter], new Map([[parameter, term]]));
// @ts-expect-error Property 'copies' is missing
new ReducedGradients([w], new Map([[w, gradientOf(w)]]));
// @ts-expect-error Type 'Parameter[]' is missing the following properties from type 'ReducedGradients'
await optimizer.step({ gradients: [parameter], learningRate: 1 });

// ---- rows in column blocks -----------------------------------------------------------------------------------------------------

const steps: NormSteps = {
  stats: async (own) => mergeStats(await allGathered(own, { over: row, purpose }), 4),
  sums: (own) => allReduced(own, { over: row, purpose }),
};
const rms = { kind: "rms", eps: 1e-5, width: 8 } as const;
const normed: Placed<Activation> = await normOfColumns(x, { ...rms, gain: bias, steps });

export { normed };

// The gradient of a gain at rest would stay each rank's own.
// @ts-expect-error Type '"invariant"' is not assignable to type '"replicate"'
normOfColumns(x, { ...rms, gain: place(parameter, { i: "invariant", j: "shard 0", k: "invariant" }), steps });
// The statistics of this block of columns where whole rows' are needed.
// @ts-expect-error Type '"shard 1"' is not assignable to type '"invariant"'
export const ownStats: NormSteps = { ...steps, stats: async (own) => own };
// @ts-expect-error Type '"partial"' is not assignable to type '"invariant"'
export const ownSums: NormSteps = { ...steps, sums: async (own) => own };
// Means and squares added up.
// @ts-expect-error got shard 1 on axis j, needed partial
export const added: NormSteps = { ...steps, stats: (own) => allReduced(own, { over: row, purpose }) };
// Down the column instead of along the row.
// @ts-expect-error got shard 0 on axis i, needed partial
export const otherWay: NormSteps = { ...steps, sums: (own) => allReduced(own, { over: column, purpose }) };

const toLoss: LossSteps = {
  max: (own) => allMaximum(own, { over: row, purpose }),
  sums: (own) => allReduced(own, { over: row, purpose }),
  loss: (own) => allReduced(own, { over: batch, purpose }),
};
const some = { targets: tensor, validCols: 4, validRows: 4, colOffset: 0, scale: 1 };
const loss: Placed<{ i: "invariant"; j: "invariant"; k: "invariant" }> = await crossEntropyOfColumns(x, {
  ...some,
  steps: toLoss,
});

export { loss };

const [gathered] = await allGathered(x, { over: row, purpose });
// Whole rows of logits, whose sum of exponentials would count once per rank of the row.
// @ts-expect-error Type '"invariant"' is not assignable to type '"shard 1"'
crossEntropyOfColumns(gathered, { ...some, steps: toLoss });
// @ts-expect-error Type '"shard 1"' is not assignable to type '"invariant"'
export const ownMax: LossSteps = { ...toLoss, max: async (own) => own };
// @ts-expect-error got partial on axis j, needed shard 1
export const greatest: LossSteps = { ...toLoss, sums: (own) => allMaximum(own, { over: row, purpose }) };
// The mean over rows of ranks, but not over planes.
// @ts-expect-error Type '"partial"' is not assignable to type '"invariant"'
export const ofPlane: LossSteps = { ...toLoss, loss: (own) => allReduced(own, { over: column, purpose }) };
// @ts-expect-error got invariant on axis j, needed partial
export const ofRow: LossSteps = { ...toLoss, loss: (own) => allReduced(own, { over: meshAxis("j", group), purpose }) };
// @ts-expect-error got invariant on axis i, needed partial
allReduced(loss, { over: batch, purpose });

// ---- embedding -------------------------------------------------------------------------------------------------------------------

embeddingOfBlocks(tape, { over: column, ids: [ids], table: w, positions: { ids, table: place(parameter, columns) } });
// @ts-expect-error Type '"j"' is not assignable to type '"i"'
embeddingOfBlocks(tape, { over: row, ids: [ids], table: w });
// @ts-expect-error Type '"invariant"' is not assignable to type '"replicate"'
embeddingOfBlocks(tape, { over: column, ids: [ids], table: atRest });
// @ts-expect-error Type '"shard 0"' is not assignable to type '"replicate"'
embeddingOfBlocks(tape, { over: column, ids: [ids], table: w, positions: { ids, table: w } });
const terms = [place(tensor, { i: "partial", j: "shard 1", k: "shard 0" })];
export const rows: Placed<Activation> = await reduceScattered(terms, { over: column, purpose });
// @ts-expect-error got shard 1 on axis j, needed partial
await reduceScattered(terms, { over: row, purpose });
// @ts-expect-error got shard 0 on axis i, needed partial
await reduceScattered([x], { over: column, purpose });

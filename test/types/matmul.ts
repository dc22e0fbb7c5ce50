// Programs over products of distributed matrices that must compile, and beside each the mistake that must not. The text
// after @ts-expect-error is part of the error that placement-types.test.ts expects on the next line. Type-checked, never run.

import { collect, distribute } from "../../src/parallel/distribute.ts";
import { product } from "../../src/parallel/matmul.ts";
import { type GridMesh, type LineMesh, operands } from "../../src/parallel/operands.ts";
import { place } from "../../src/parallel/placement.ts";
import type { Tape } from "../../src/tensor/tape.ts";

declare const tape: Tape;
declare const line: LineMesh;
declare const grid: GridMesh;

const matrix = { tape, shape: [30, 20], values: () => 1 } as const;

// ---- a line ---------------------------------------------------------------------------------------------------------

const rows = distribute(line, { ...matrix, as: operands(line, "AB").a });
const columns = distribute(line, { ...matrix, as: operands(line, "AB").b });
const c = await product(rows, columns, { mesh: line, form: "AB" });
await product(c, columns, { mesh: line, form: "ABT" });
// @ts-expect-error Type '"shard 1"' is not assignable to type '"shard 0"'
await product(columns, columns, { mesh: line, form: "AB" });
// @ts-expect-error Type '"shard 0"' is not assignable to type '"shard 1"'
await product(rows, columns, { mesh: line, form: "ABT" });
// @ts-expect-error Type '"shard 1"' is not assignable to type '"shard 0"'
await product(c, columns, { mesh: line, form: "ATB" });
// @ts-expect-error is missing the following properties from type '{ readonly i: "shard 0"
await product(rows, columns, { mesh: grid, form: "AB" });

// ---- a grid ---------------------------------------------------------------------------------------------------------

const samples = distribute(grid, { ...matrix, as: operands(grid, "AB").a });
const weight = distribute(grid, { ...matrix, as: operands(grid, "AB").b });
const y = await product(samples, weight, { mesh: grid, form: "AB" });
const gradient = await product(samples, y, { mesh: grid, form: "ATB" });
// The sum over planes has been made: it is a weight, and can be collected.
await product(y, gradient, { mesh: grid, form: "ABT" });
await collect(gradient, { mesh: grid, as: operands(grid, "ATB").c, shape: [20, 20], to: 0 });
// @ts-expect-error Type '"invariant"' is not assignable to type '"shard 0"'
await product(samples, weight, { mesh: grid, form: "ATB" });
// @ts-expect-error Type '"shard 0"' is not assignable to type '"invariant"'
await product(samples, samples, { mesh: grid, form: "AB" });
// @ts-expect-error Type '"invariant"' is not assignable to type '"shard 0"'
await collect(samples, { mesh: grid, as: operands(grid, "ATB").c, shape: [30, 20], to: 0 });
const own = { i: "shard 0", j: "shard 1", k: "partial" } as const;
// @ts-expect-error got a partial sum on axis k; allReduce or reduceScatter it over k first
await collect(place(gradient, own), { mesh: grid, as: own, shape: [20, 20], to: 0 });
// @ts-expect-error Property 'p' is missing
distribute(line, { ...matrix, as: operands(grid, "AB").a });

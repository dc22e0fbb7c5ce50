// Programs over Megatron's products that must compile, and beside each the mistake that must not. The text after @ts-expect-error is
// part of the error that placement-types.test.ts expects on the next line. Type-checked, never run.

import type { ProcessGroup } from "../../src/comm/process-group.ts";
import {
  columnParallel,
  columnParallelOfRows,
  rowParallel,
  rowParallelToRows,
} from "../../src/parallel/parallel-linear.ts";
import { place } from "../../src/parallel/placement.ts";
import { meshAxis } from "../../src/parallel/redistribute.ts";
import type { Parameter, Tensor } from "../../src/tensor/tensor.ts";

declare const tensor: Tensor;
declare const parameter: Parameter;
declare const group: ProcessGroup;

const along = { over: meshAxis("p", group), purpose: "linear", name: "h.0.mlp" };
const [whole, rows] = [place(tensor, { p: "invariant" }), place(tensor, { p: "shard 0" })];
const up = place(parameter, { p: "shard 1" });
const down = place(parameter, { p: "shard 0" });
const [bias, part] = [parameter, place(parameter, { p: "shard 0" })];

const columns = columnParallel(whole, { ...along, transposed: false, w: up, bias: part });
await rowParallel(columns, { ...along, w: down, bias });
const logits = columnParallel(whole, { ...along, transposed: true, w: down });
// @ts-expect-error Type '"shard 0"' is not assignable to type '"invariant"'
columnParallel(rows, { ...along, transposed: false, w: up });
// @ts-expect-error Type '"shard 0"' is not assignable to type '"shard 1"'
columnParallel(whole, { ...along, transposed: false, w: down });
// A whole bias on columns of the output.
// @ts-expect-error Property '[placements]' is missing in type 'Parameter'
columnParallel(whole, { ...along, transposed: false, w: up, bias });
// Two column products in a row: the exchange between them is missing.
// @ts-expect-error Type '"shard 1"' is not assignable to type '"invariant"'
columnParallel(columns, { ...along, transposed: false, w: up });
// @ts-expect-error Type '"invariant"' is not assignable to type '"shard 1"'
await rowParallel(whole, { ...along, w: down });
// @ts-expect-error Type '"shard 1"' is not assignable to type '"shard 0"'
await rowParallel(logits, { ...along, w: up });

const gathered = await columnParallelOfRows(rows, { ...along, transposed: false, w: up, bias: part });
await rowParallelToRows(gathered, { ...along, w: down, bias });
// @ts-expect-error Type '"invariant"' is not assignable to type '"shard 0"'
await columnParallelOfRows(whole, { ...along, transposed: false, w: up });
// @ts-expect-error Type '"shard 0"' is not assignable to type '"shard 1"'
await rowParallelToRows(rows, { ...along, w: down });

// Rows of a vocabulary that is cut into V blocks down the column and D blocks along the row: each rank looks up its plane's samples in
// its own V block, and the terms are summed where the samples belong (as Optimus, arXiv 2104.05343).
//
// Legend: V padded vocabulary, D width, T tokens, R rows of this rank, q ranks of a column.

import { type Ids, lookUp, scatterAdd } from "../tensor/ops/embedding.ts";
import type { Tape } from "../tensor/tape.ts";
import { type Parameter, scratch, type Tensor } from "../tensor/tensor.ts";
import { allGathered, destinationOf, recordPlaced, reduceScattered } from "./exchange.ts";
import { type Dual, type Placed, place, placedAs } from "./placement.ts";
import type { Activation, Destination, WeightInUse } from "./products.ts";
import type { MeshAxis } from "./redistribute.ts";

/** Columns block j of a table that every row and plane of ranks reads for samples of its own: positions [T, D/q]. */
export const columns = { i: "replicate", j: "shard 1", k: "replicate" } as const;
export type Columns = typeof columns;

/** What one V block has for a row's samples: a term of the sum down the column. */
const ofBlock = { i: "partial", j: "shard 1", k: "shard 0" } as const;
/** One row's samples, on every rank of the column. */
type OfEveryRow = { i: "invariant"; j: "shard 1"; k: "shard 0" };

// forward   each rank looks up its plane's samples in its V block; reduce-scatter down the column: its own samples' rows
// dE        all-gather dy down the column, scatter-add into its V block; depth sum at the step's end
/** h[R, D/q] = table[ids] (+ positions[places]).
 *  @param options.ids of each row's samples on this plane, in order */
export async function embeddingOfBlocks(
  tape: Tape,
  options: {
    over: MeshAxis<"i">;
    ids: readonly Ids[];
    table: Parameter & Placed<WeightInUse>;
    positions?: { ids: Ids; table: Parameter & Placed<Columns> };
  },
): Promise<Placed<Activation>> {
  const { over, ids, table, positions } = options;
  const block = { table, rowOffset: over.group.index * table.shape[0] };
  const terms = ids.map((each) => lookUpTerm(each, block));
  const sum = await reduceScattered(terms, { over, purpose: "embedding forward" });
  if (positions) lookUp(sum, { ids: positions.ids, table: positions.table, rowOffset: 0, accumulate: true });
  const y = tape.outputOf("embedding", { values: sum, inputs: [table, positions?.table] });
  return recordPlaced(tape, {
    op: "embedding",
    output: placedAs(y, sum),
    saved: [],
    async vjp(dy, gradients) {
      const rows = await allGathered(dy, { over, purpose: "embedding backward" });
      const to = destinationOf(gradients, table);
      if (to) addRows(rows, { ids, rowOffset: block.rowOffset, to });
      for (const row of rows) row.dispose();
      const toPositions = positions && destinationOf(gradients, positions.table);
      if (positions && toPositions) addPositions(dy, { ids: positions.ids, to: toPositions });
    },
  });
}

function lookUpTerm(ids: Ids, block: { table: Placed<WeightInUse>; rowOffset: number }): Placed<typeof ofBlock> {
  const term = place(scratch(block.table, [ids.count, block.table.shape[1]]), ofBlock);
  lookUp(term, { ids, ...block, accumulate: false });
  return term;
}

/** Adds the rows of dy whose ids are in this rank's V block: all rows of the plane, so that only planes are left to sum over. */
function addRows(
  dys: readonly Placed<OfEveryRow>[],
  options: { ids: readonly Ids[]; rowOffset: number; to: Destination<Placed<Dual<WeightInUse>>> },
): void {
  const { ids, rowOffset, to } = options;
  const start = started(to);
  for (const [row, dy] of dys.entries())
    scatterAdd(dy, { ids: ids[row], rowOffset, dtable: start.buffer, rows: start.shape[0] });
}

/** Adds this rank's rows of dy: every row and plane of ranks has others. */
function addPositions(dy: Placed<Activation>, options: { ids: Ids; to: Destination<Placed<Dual<Columns>>> }): void {
  const { ids, to } = options;
  const start = started(to);
  scatterAdd(dy, { ids, rowOffset: 0, dtable: start.buffer, rows: start.shape[0] });
}

/** Where a gradient is added up, zero before the first addition. */
function started({ tensor, accumulate }: Destination): Tensor {
  if (!accumulate) tensor.backend.run("fill", { y: tensor.buffer, n: tensor.size, value: 0 });
  return tensor;
}

// Norms and the loss of rows that are cut into column blocks along j, with the placements that their pieces take and give: what a rank
// finds in its block is not what the next piece needs, and only a collective makes the one of the other. Kernels are tensor/ops'.
//
// Legend: R rows of this rank, D width, V padded vocabulary.

import { crossEntropy } from "../tensor/ops/loss.ts";
import { type NormKind, norm } from "../tensor/ops/norm.ts";
import { type Parameter, scratch, type Tensor } from "../tensor/tensor.ts";
import { type Placed, place } from "./placement.ts";
import { type Activation, activation, type VectorInUse } from "./products.ts";

/** A column of pairs, or of numbers, for each of this rank's block of columns: block j of [R, 2 q], or of [R, q]. */
const ofBlock = { i: "shard 0", j: "shard 1", k: "shard 0" } as const;
/** Terms, of this rank's block of columns, of sums over whole rows. */
const ofRowTerm = { i: "shard 0", j: "partial", k: "shard 0" } as const;
/** Numbers of whole rows. */
const ofRow = { i: "shard 0", j: "invariant", k: "shard 0" } as const;
/** The term, of this rank's rows, of a sum over all rows. */
const ofRowsTerm = { i: "partial", j: "invariant", k: "partial" } as const;
const ofAll = { i: "invariant", j: "invariant", k: "invariant" } as const;

export type OfBlock = typeof ofBlock;
export type OfRowTerm = typeof ofRowTerm;
export type OfRow = typeof ofRow;
export type OfRowsTerm = typeof ofRowsTerm;
export type OfAll = typeof ofAll;

/** How the row's ranks get from one piece of a norm to the next. */
export interface NormSteps {
  /** [R, 2] (mean, sum of squared deviations) of this block of columns -> of whole rows */
  stats: (own: Placed<OfBlock>) => Promise<Placed<OfRow>>;
  /** [R, 2] for the gradient */
  sums: (own: Placed<OfRowTerm>) => Promise<Placed<OfRow>>;
}

/** y[R, D/q] of x[R, D/q]. Gains and biases are block j, used by each row and plane of ranks for rows of its own. */
export async function normOfColumns(
  x: Placed<Activation>,
  options: {
    kind: NormKind;
    gain: Parameter & Placed<VectorInUse>;
    bias?: Parameter & Placed<VectorInUse>;
    eps: number;
    width: number;
    steps: NormSteps;
  },
): Promise<Placed<Activation>> {
  const { steps, ...rest } = options;
  const exchange = {
    stats: (own: Tensor) => steps.stats(place(own, ofBlock)),
    sums: (own: Tensor) => steps.sums(place(own, ofRowTerm)),
  };
  return place(await norm(x, { ...rest, exchange }), activation);
}

/** The pairs of all blocks of a row, each of `cols` columns, merged in the order of the blocks; the parts are disposed. */
export function mergeStats(parts: readonly Placed<OfRow>[], cols: number): Placed<OfRow> {
  let [merged] = parts;
  for (const [index, part] of parts.entries()) {
    if (index === 0) continue;
    const both = place(scratch(part, part.shape), ofRow);
    part.backend.run("normMerge", {
      ...{ a: merged.buffer, b: part.buffer, y: both.buffer },
      ...{ rows: part.shape[0], countA: index * cols, countB: cols },
    });
    merged.dispose();
    part.dispose();
    merged = both;
  }
  return merged;
}

/** How the ranks get from one piece of the loss to the next. */
export interface LossSteps {
  /** [R] */
  max: (own: Placed<OfBlock>) => Promise<Placed<OfRow>>;
  /** [R, 2] (sum of exponentials, target's logit) */
  sums: (own: Placed<OfRowTerm>) => Promise<Placed<OfRow>>;
  /** [1] */
  loss: (own: Placed<OfRowsTerm>) => Promise<Placed<OfAll>>;
}

/** The whole's loss [1], on every rank, of logits [R, V/q]. */
export async function crossEntropyOfColumns(
  logits: Placed<Activation>,
  options: {
    targets: Tensor;
    validCols: number;
    validRows: number;
    colOffset: number;
    scale: number;
    steps: LossSteps;
  },
): Promise<Placed<OfAll>> {
  const { steps, ...rest } = options;
  const exchange = {
    max: (own: Tensor) => steps.max(place(own, ofBlock)),
    sums: (own: Tensor) => steps.sums(place(own, ofRowTerm)),
    loss: (own: Tensor) => steps.loss(place(own, ofRowsTerm)),
  };
  return place(await crossEntropy(logits, { ...rest, exchange }), ofAll);
}

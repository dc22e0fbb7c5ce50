// For a layout's own ops, which write their vjps themselves: collectives from one placement to another without a tape, and where such an
// op's gradients go. One message each, and no copies. The differentiable collectives are redistribute.ts's.

import type { Gradients, Tape } from "../tensor/tape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import {
  type Dual,
  type Needs,
  type Placed,
  type Placements,
  placeDual,
  requirePlacements,
  type With,
} from "./placement.ts";
import type { Destination } from "./products.ts";
import { type Over, on, placed } from "./redistribute.ts";

// ---- collectives: what they return is a handle that the caller disposes and nobody writes ---------------------------------

/** exact: every bit arrives, whatever the wire */
type Exchanged<A extends string> = Over<A> & { exact?: boolean };

/** The sum, on every rank. */
export async function allReduced<P extends Placements, A extends string>(
  x: Placed<P> & Needs<P, Record<A, "partial">>,
  { over, ...call }: Exchanged<A>,
): Promise<Placed<With<P, A, "invariant">>> {
  requirePlacements(x, { needs: on(over, "partial"), what: "allReduced's x" });
  return placed(await over.group.allReduce(x, call), { of: x, over, to: "invariant" });
}

/** Of a matrix cut into columns, x [rows] being this rank's one: each row's maximum, on every rank. */
export async function allMaximum<P extends Placements, A extends string>(
  x: Placed<P> & Needs<P, Record<A, "shard 1">>,
  { over, ...call }: Exchanged<A>,
): Promise<Placed<With<P, A, "invariant">>> {
  requirePlacements(x, { needs: on(over, "shard 1"), what: "allMaximum's x" });
  return placed(await over.group.allReduce(x, { ...call, combine: "max" }), { of: x, over, to: "invariant" });
}

/** Every rank's block, in their order, on every rank. */
export async function allGathered<P extends Placements, A extends string>(
  x: Placed<P> & Needs<P, Record<A, "shard 0" | "shard 1">>,
  { over, ...call }: Exchanged<A>,
): Promise<Placed<With<P, A, "invariant">>[]> {
  for (const axis of over.names)
    requirePlacements(x, { needs: { [axis]: ["shard 0", "shard 1"] }, what: "allGathered's x" });
  const blocks = await over.group.allGather(x, call);
  return blocks.map((block) => placed(block, { of: x, over, to: "invariant" }));
}

/** One block of rows for each rank, each the sum of all ranks' term of it: this rank's. The terms are given away. */
export async function reduceScattered<P extends Placements, A extends string>(
  terms: readonly (Placed<P> & Needs<P, Record<A, "partial">>)[],
  { over, ...call }: Exchanged<A>,
): Promise<Placed<With<P, A, "shard 0">>> {
  const [of] = terms;
  for (const term of terms) requirePlacements(term, { needs: on(over, "partial"), what: "reduceScattered's term" });
  return placed(await over.group.reduceScatter(terms, call), { of, over, to: "shard 0" });
}

// ---- gradients --------------------------------------------------------------------------------------------------------------

/** Where x's gradient goes; nothing where it needs none. */
export function destinationOf<P extends Placements>(
  gradients: Gradients,
  x: Placed<P>,
): Destination<Placed<Dual<P>>> | undefined {
  const to = gradients.destination(x);
  return to && { tensor: placeDual(to.tensor, x), accumulate: to.accumulate };
}

/** `tape.record`, whose vjp gets its output's gradient placed as that has to be. */
export function recordPlaced<P extends Placements>(
  tape: Tape,
  node: {
    op: string;
    output: Placed<P>;
    saved: readonly (Tensor | undefined)[];
    vjp: (dy: Placed<Dual<P>>, gradients: Gradients) => void | Promise<void>;
  },
): Placed<P> {
  const { output, vjp } = node;
  tape.record({ ...node, vjp: (dy, gradients) => vjp(placeDual(dy, output), gradients) });
  return output;
}

// Ranks on a q x q x d mesh, or in a line: who is where, and the process groups along each axis.

import type { FloatType } from "../backend/buffer.ts";
import { UserError } from "../backend/errors.ts";
import type { Ledger } from "../comm/ledger.ts";
import type { Link } from "../comm/link.ts";
import { ProcessGroup } from "../comm/process-group.ts";
import { type Place, placeOf, rankOf } from "./place.ts";

/** A q x q x d mesh as one of its ranks sees it. */
export interface Mesh extends Place {
  q: number;
  d: number;
  /** varies j: blocks of A, statistics of whole rows */
  row: ProcessGroup;
  /** varies i: blocks of B, embedding */
  column: ProcessGroup;
  /** varies k: sums of weight gradients */
  depth: ProcessGroup;
  /** varies i and k: all samples. Index i + q k: the number of this rank's batch block. */
  batch: ProcessGroup;
  world: ProcessGroup;
}

/** What a rank's groups are made of. */
export interface Communication {
  link: Link;
  ledger?: Ledger;
  /** how f32 travels; f32 when absent. In f16 activations, weights and gradients take half the bytes; statistics, losses and whatever leaves
   *  the run stay exact. The same on all ranks */
  wire?: FloatType;
}

/** The whole world as one group, in the order of ranks. */
export const worldGroup = ({ link, ledger, wire }: Communication): ProcessGroup =>
  new ProcessGroup({ name: "world", ranks: Array.from({ length: link.size }, (_, rank) => rank), link, ledger, wire });

/** @throws UserError when the link has another number of ranks */
export function makeMesh(options: Communication & { q: number; d: number }): Mesh {
  const { q, d, link, ledger, wire } = options;
  if (link.size !== q * q * d)
    throw new UserError(`mesh ${q}x${q}x${d} needs ${q * q * d} ranks, got ${link.size}; start as many`);
  const { i, j, k } = placeOf(link.rank, q);
  const range = (n: number) => Array.from({ length: n }, (_, index) => index);
  const group = (name: string, places: Place[]) =>
    new ProcessGroup({ name, ranks: places.map((place) => rankOf(place, q)), link, ledger, wire });
  return {
    ...{ q, d, i, j, k },
    row: group(
      `row(i=${i}, k=${k})`,
      range(q).map((column) => ({ i, j: column, k })),
    ),
    column: group(
      `column(j=${j}, k=${k})`,
      range(q).map((row) => ({ i: row, j, k })),
    ),
    depth: group(
      `depth(i=${i}, j=${j})`,
      range(d).map((plane) => ({ i, j, k: plane })),
    ),
    batch: group(
      `batch(j=${j})`,
      range(d).flatMap((plane) => range(q).map((row) => ({ i: row, j, k: plane }))),
    ),
    world: worldGroup({ link, ledger, wire }),
  };
}

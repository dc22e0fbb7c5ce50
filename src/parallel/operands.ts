// Which block of a product's matrices each rank holds: A, B and C of each form, on a line of P ranks and on a q x q x d grid. Nothing
// is sent here; matmul.ts multiplies.
//
// Every extent is padded with zeros to a multiple of P on a line, of q d on a grid, whichever dim it becomes: any result can be an operand
// of any further product, and sizes need not divide.

import type { ProcessGroup } from "../comm/process-group.ts";
import { padTo, type Range } from "./block.ts";
import { type Communication, type Mesh, makeMesh, worldGroup } from "./mesh.ts";
import type { Columns, Rows } from "./parallel-linear.ts";
import { placeOf } from "./place.ts";
import type { Placement, Placements } from "./placement.ts";
import { activation } from "./products.ts";
import { type MeshAxis, meshAxis } from "./redistribute.ts";

/** C [M, N] of A and B:
 *  AB: A [M, K] times B [K, N]. ABT: A [M, K] times the transpose of B [N, K]. ATB: the transpose of A [K, M] times B [K, N]. */
export type Form = "AB" | "ABT" | "ATB";

/** Sizes of C = op(A) op(B), without padding: C is [m, n], k is summed over. */
export interface ProductSize {
  m: number;
  n: number;
  k: number;
}

const rows = { p: "shard 0" } as const satisfies Rows;
const columns = { p: "shard 1" } as const satisfies Columns;
/** Block (i, j), the same on every plane. */
const weightAtRest = { i: "shard 0", j: "shard 1", k: "invariant" } as const;

/** The placements of A, B and C. On a line these are the products of sequence parallelism: AB and ATB gather A's rows, ABT scatters its
 *  sum over rows. On a grid, A's rows are samples, cut over i and k; what is as high as a sample is wide is on every plane. */
export const operandPlacements = {
  line: {
    AB: { a: rows, b: columns, c: columns },
    ABT: { a: columns, b: columns, c: rows },
    ATB: { a: rows, b: columns, c: columns },
  },
  grid: {
    AB: { a: activation, b: weightAtRest, c: activation },
    ABT: { a: activation, b: weightAtRest, c: activation },
    ATB: { a: activation, b: activation, c: weightAtRest },
  },
} as const satisfies Record<string, Record<Form, Record<"a" | "b" | "c", Placements>>>;

/** What both kinds of mesh have. */
interface Ranks {
  readonly rank: number;
  readonly world: ProcessGroup;
  /** every extent is padded to a multiple of it */
  readonly unit: number;
  /** a name for messages between two ranks, another at each call and the same on every rank */
  tag(): string;
}

/** P ranks in a line: 1D, and one rank alone. */
export interface LineMesh extends Ranks {
  readonly kind: "line";
  readonly line: MeshAxis<"p">;
}

/** q x q x d ranks: 2D with d = 1, 2.5D above. */
export interface GridMesh extends Ranks {
  readonly kind: "grid";
  readonly grid: Mesh;
  readonly depth: MeshAxis<"k">;
}

export type ProductMesh = LineMesh | GridMesh;

/** The type of `operands(mesh, form)[which]`. */
export type Operand<
  M extends ProductMesh,
  F extends Form,
  Which extends "a" | "b" | "c",
> = (typeof operandPlacements)[M["kind"]][F][Which];

/** All of the link's ranks in a line. */
export function lineMesh(options: Communication): LineMesh {
  const world = worldGroup(options);
  return { kind: "line", rank: options.link.rank, world, unit: world.size, line: meshAxis("p", world), tag: tags() };
}

/** The link's q * q * d ranks as rank = j + q i + q q k. */
export function gridMesh(options: Communication & { q: number; d: number }): GridMesh {
  const grid = makeMesh(options);
  return {
    ...{ kind: "grid", rank: options.link.rank, world: grid.world, unit: options.q * options.d },
    ...{ grid, depth: meshAxis("k", grid.depth), tag: tags() },
  };
}

function tags(): () => string {
  let count = 0;
  return () => `matrix ${count++}`;
}

/** The placements of A, B and C on this mesh. */
export const operands = <M extends ProductMesh, F extends Form>(
  mesh: M,
  form: F,
): (typeof operandPlacements)[M["kind"]][F] => operandPlacements[mesh.kind as M["kind"]][form];

/** A rank's place along an axis. */
interface Coordinate {
  axis: string;
  size: number;
  index: number;
}

/** Of any rank; where several axes cut a dim, the outer one stands first. */
function coordinates(mesh: ProductMesh, rank: number): Coordinate[] {
  if (mesh.kind === "line") return [{ axis: "p", size: mesh.world.size, index: rank }];
  const { q, d } = mesh.grid;
  const { i, j, k } = placeOf(rank, q);
  return [
    { axis: "k", size: d, index: k },
    { axis: "i", size: q, index: i },
    { axis: "j", size: q, index: j },
  ];
}

const cutting = (mesh: ProductMesh, { rank, placements, dim }: { rank: number; placements: Placements; dim: 0 | 1 }) =>
  coordinates(mesh, rank).filter(({ axis }) => placements[axis] === (`shard ${dim}` satisfies Placement));

/** Into how many blocks a dim is cut. */
const cuts = (mesh: ProductMesh, cut: { placements: Placements; dim: 0 | 1 }): number =>
  cutting(mesh, { rank: 0, ...cut }).reduce((count, { size }) => count * size, 1);

/** Rows and columns, padding included, that a rank holds of a matrix whose extents, without it, are `shape`. */
export function blockOf(
  mesh: ProductMesh,
  of: { rank: number; placements: Placements; shape: readonly [number, number] },
): { rows: Range; cols: Range } {
  const range = (dim: 0 | 1): Range => {
    const index = cutting(mesh, { ...of, dim }).reduce((outer, { size, index: inner }) => outer * size + inner, 0);
    const extent = padTo(of.shape[dim], mesh.unit) / cuts(mesh, { ...of, dim });
    return { from: index * extent, to: (index + 1) * extent };
  };
  return { rows: range(0), cols: range(1) };
}

/** Whether the rank is the first of those that hold its block. */
export const holdsFirst = (
  mesh: ProductMesh,
  { rank, placements }: { rank: number; placements: Placements },
): boolean => coordinates(mesh, rank).every(({ axis, index }) => index === 0 || placements[axis].startsWith("shard"));

/** The whole's extents, padding included, of a block's. */
export const wholeShape = (
  mesh: ProductMesh,
  { shape, placements }: { shape: readonly number[]; placements: Placements },
): [number, number] => [shape[0] * cuts(mesh, { placements, dim: 0 }), shape[1] * cuts(mesh, { placements, dim: 1 })];

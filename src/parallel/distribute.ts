// A matrix of the host's onto the ranks of a mesh, each its own block, and back. No rank needs the whole to make its block, and the
// device never holds it.

import type { Tape } from "../tensor/tape.ts";
import type { Range } from "./block.ts";
import { blockOf, holdsFirst, type ProductMesh } from "./operands.ts";
import { type NoPartial, type Placed, type Placement, type Placements, place, requireNoPartial } from "./placement.ts";

/** Placements on all axes of a mesh, and no others. */
type PlacementsOn<Kind extends ProductMesh["kind"]> = Kind extends "line"
  ? { readonly p: Placement }
  : { readonly i: Placement; readonly j: Placement; readonly k: Placement };

/** The rank's block of a matrix, on a tape; what lies beyond the matrix's extents (padding) is zero. Every rank calls it.
 *  @param options.as what `operands` says of the matrix
 *  @param options.shape [rows, columns] of the whole, without padding
 *  @param options.values of the whole, row-major, or a rule that makes any element
 *  @throws RangeError for extents that are no whole numbers from 1, or another number of values */
export function distribute<M extends ProductMesh, P extends Placements & PlacementsOn<M["kind"]>>(
  mesh: M,
  options: {
    tape: Tape;
    as: P;
    shape: readonly [number, number];
    values: Float32Array | ((row: number, col: number) => number);
    requiresGrad?: boolean;
    name?: string;
  },
): Placed<P> {
  const { tape, as, shape, values, requiresGrad, name = "matrix" } = options;
  requireMatrix(name, { shape, values });
  const { rows, cols } = blockOf(mesh, { rank: mesh.rank, placements: as, shape });
  const width = cols.to - cols.from;
  const block = new Float32Array((rows.to - rows.from) * width);
  const at = typeof values === "function" ? values : (row: number, col: number) => values[row * shape[1] + col];
  const end = Math.min(cols.to, shape[1]);
  for (let row = rows.from; row < Math.min(rows.to, shape[0]); row++)
    for (let col = cols.from; col < end; col++) block[(row - rows.from) * width + col - cols.from] = at(row, col);
  const tensor = tape.empty({ shape: [rows.to - rows.from, width], name, requiresGrad });
  tape.backend.write(tensor.buffer, block);
  return place(tensor, as);
}

/** The whole matrix, row-major and without padding, on the host of rank `to`; undefined elsewhere. Every rank calls it.
 *  @param options.as the matrix's placements; the ledger calls it "collect" */
export async function collect<P extends Placements>(
  x: Placed<P> & NoPartial<P>,
  options: { mesh: ProductMesh; as: P; shape: readonly [number, number]; to: number },
): Promise<Float32Array | undefined> {
  requireNoPartial(x, "collect's x");
  const { mesh, as, shape, to } = options;
  const { world, rank } = mesh;
  const tag = mesh.tag();
  const purpose = "collect";
  if (rank !== to) {
    if (holdsFirst(mesh, { rank, placements: as })) world.send(x, { to, tag, purpose });
    return undefined;
  }
  const whole = new Float32Array(shape[0] * shape[1]);
  for (const from of world.ranks) {
    if (!holdsFirst(mesh, { rank: from, placements: as })) continue;
    const block = blockOf(mesh, { rank: from, placements: as, shape });
    // A rank that holds a copy of a block reads its own only where it is the first.
    if (from === rank) paste((await x.read()) as Float32Array, { into: whole, shape, block });
    else {
      using received = await world.receive({ from, tag, shape: x.shape, purpose });
      paste((await received.read()) as Float32Array, { into: whole, shape, block });
    }
  }
  return whole;
}

function paste(
  piece: Float32Array,
  options: { into: Float32Array; shape: readonly [number, number]; block: { rows: Range; cols: Range } },
): void {
  const { into, shape, block } = options;
  const width = block.cols.to - block.cols.from;
  const kept = Math.min(block.cols.to, shape[1]) - block.cols.from;
  if (kept <= 0) return;
  for (let row = block.rows.from; row < Math.min(block.rows.to, shape[0]); row++) {
    const start = (row - block.rows.from) * width;
    into.set(piece.subarray(start, start + kept), row * shape[1] + block.cols.from);
  }
}

function requireMatrix(
  name: string,
  { shape, values }: { shape: readonly [number, number]; values: Float32Array | unknown },
): void {
  for (const extent of shape)
    if (!Number.isSafeInteger(extent) || extent < 1)
      throw new RangeError(`${name} [${shape}]: extents must be whole numbers from 1`);
  if (values instanceof Float32Array && values.length !== shape[0] * shape[1])
    throw new RangeError(`${name} [${shape}] needs ${shape[0] * shape[1]} values, got ${values.length}`);
}

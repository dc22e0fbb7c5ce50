// Which layout on which mesh, as a user says it: parsing, what is legal for a model, and the layout itself. Nothing is allocated before
// all of it is checked.

import type { Backend } from "../backend/backend.ts";
import { UserError } from "../backend/errors.ts";
import type { Layout } from "./layout.ts";
import { Megatron } from "./megatron.ts";
import type { Communication } from "./mesh.ts";
import { Serial } from "./serial.ts";
import { Summa } from "./summa.ts";
import { isGrid, type MeshExtents } from "./volume.ts";

export const layoutNames = ["serial", "1d", "1d-sp", "2d", "2.5d"] as const;
export type LayoutName = (typeof layoutNames)[number];

/** A layout and its mesh. */
export interface MeshShape extends MeshExtents {
  /** as given: [1] for serial, [P], [q, q] or [q, q, d] */
  dims: readonly number[];
}

/** What of a model and a batch has to divide over ranks. The vocabulary is padded instead. */
export interface ShardedExtents {
  width: number;
  heads: number;
  kvHeads: number;
  /** hidden width of the feed-forward part */
  ffn: number;
  batch?: number;
  /** tokens in one sequence */
  context?: number;
}

/** How many axes a layout's mesh has, and an example of one. */
const meshOf: Record<LayoutName, { axes: number; example: string }> = {
  serial: { axes: 1, example: "1" },
  "1d": { axes: 1, example: "4" },
  "1d-sp": { axes: 1, example: "4" },
  "2d": { axes: 2, example: "2x2" },
  "2.5d": { axes: 3, example: "2x2x2" },
};

/** More ranks than this share no device. */
export const maxRanks = 4096;

/** "8", "2x2" or "2x2x2".
 *  @throws UserError for anything else */
export function parseMesh(text: string): number[] {
  const dims = text.split("x").map(Number);
  if (!/^\d+(x\d+)*$/.test(text)) throw noMesh(text);
  requireExtents(dims, text);
  return dims;
}

const noMesh = (text: string) =>
  new UserError(`mesh ${text}: need P, q x q or q x q x d as whole numbers from 1; write it like 8, 2x2 or 2x2x2`);

function requireExtents(dims: readonly number[], text: string): void {
  const axes = dims.length >= 1 && dims.length <= 3;
  if (!axes || !dims.every((extent) => Number.isInteger(extent) && extent >= 1)) throw noMesh(text);
}

/** A layout on a mesh; the layout follows from the number of axes when it is not given.
 *  @throws UserError when they do not fit each other */
export function meshShape(options: { layout?: LayoutName; dims?: readonly number[] }): MeshShape {
  const { dims } = options;
  const layout = options.layout ?? (["1d", "2d", "2.5d"] as const)[(dims?.length ?? 0) - 1] ?? "serial";
  if (!layoutNames.includes(layout)) throw new UserError(`got layout ${layout}, need one of ${layoutNames.join(", ")}`);
  const { axes, example } = meshOf[layout];
  if (!dims) {
    if (layout !== "serial")
      throw new UserError(`layout ${layout} needs a mesh of ranks; add one, for example --mesh ${example}`);
    return { layout, dims: [1], size: 1, q: 1, d: 1 };
  }
  requireExtents(dims, dims.length === 0 ? "of no axes" : dims.join("x"));
  const text = `mesh ${dims.join("x")}`;
  const size = dims.reduce((product, extent) => product * extent, 1);
  if (dims.length !== axes)
    throw new UserError(
      `${text}: layout ${layout} needs a mesh of ${axes} ${axes === 1 ? "axis" : "axes"}; use one like ${example}, or another layout`,
    );
  if (layout === "serial" && size !== 1)
    throw new UserError(`${text}: layout serial is one rank; leave --mesh out, or use layout 1d, 2d or 2.5d`);
  if (size > maxRanks) throw new UserError(`${text}: ${size} ranks, need at most ${maxRanks}; use a smaller mesh`);
  if (axes === 1) return { layout, dims, size, q: 1, d: 1 };
  const [q, columns, d = 1] = dims;
  if (q !== columns) {
    const near = [Math.min(q, columns), Math.max(q, columns)].map((side) => [side, side, ...dims.slice(2)].join("x"));
    throw new UserError(`${text}: rows and columns of a ${layout} mesh must be as many; use ${near.join(" or ")}`);
  }
  return { layout, dims, size, q, d };
}

/** What has to divide by what, in the order users are told. */
function demands(shape: MeshExtents, extents: ShardedExtents) {
  const { layout, size, q, d } = shape;
  const square = isGrid(shape);
  const { width, heads, kvHeads, ffn, batch, context } = extents;
  const side = square ? q : size;
  const over = square ? `q = ${q}` : `${size} ranks`;
  const list = [
    { what: kvHeads === heads ? "heads" : "query heads", value: heads, unit: side, over },
    { what: "key-value heads", value: kvHeads, unit: side, over },
    ...(square ? [{ what: "columns of width", value: width, unit: side, over }] : []),
    { what: "columns of the feed-forward part", value: ffn, unit: side, over },
  ];
  if (square && batch !== undefined)
    list.push({ what: "samples of a batch", value: batch, unit: q * d, over: `q d = ${q * d}` });
  if (layout === "1d-sp" && batch !== undefined && context !== undefined)
    list.push({ what: "tokens of a batch", value: batch * context, unit: size, over });
  return list;
}

export const isLegal = (shape: MeshExtents, extents: ShardedExtents): boolean =>
  demands(shape, extents).every(({ value, unit }) => value % unit === 0);

/** @throws UserError for the first extent that does not divide, with the nearest that do */
export function requireLegal(shape: MeshShape, extents: ShardedExtents): void {
  const broken = demands(shape, extents).find(({ value, unit }) => value % unit !== 0);
  if (!broken) return;
  const { what, value, unit, over } = broken;
  const near = [Math.floor(value / unit) * unit, Math.ceil(value / unit) * unit].filter((legal) => legal > 0);
  const instead = `use ${near.join(" or ")} ${what}`;
  const meshes = nearestMeshes(shape, extents);
  throw new UserError(
    `mesh ${shape.dims.join("x")}: ${value} ${what} do not divide over ${over}; ${instead}${meshes.length > 0 ? `, or a mesh of ${meshes.join(", ")}` : ""}`,
  );
}

/** Legal meshes of the same layout, nearest in size first: at most four. */
function nearestMeshes(shape: MeshShape, extents: ShardedExtents): string[] {
  const { layout } = shape;
  const most = 2 * (isGrid(shape) ? Math.max(shape.q, shape.d) : shape.size);
  /** From 2: one rank along an axis is another layout's mesh. */
  const upTo = (last: number) =>
    Array.from({ length: Math.floor(Math.min(most, last)) }, (_, index) => index + 1).slice(1);
  const candidates = isGrid(shape)
    ? upTo(Math.sqrt(maxRanks)).flatMap((side) =>
        layout === "2d" ? [[side, side]] : upTo(maxRanks / side ** 2).map((d) => [side, side, d]),
      )
    : upTo(maxRanks).map((side) => [side]);
  const distance = ({ size }: MeshShape) => Math.abs(Math.log(size / shape.size));
  return candidates
    .map((dims) => meshShape({ layout, dims }))
    .filter((candidate) => isLegal(candidate, extents))
    .sort((a, b) => distance(a) - distance(b) || a.size - b.size)
    .slice(0, 4)
    .map(({ dims }) => dims.join("x"));
}

/** Every layout and mesh of `size` ranks, legal or not. */
export function shapesOf(size: number): MeshShape[] {
  const shapes: MeshShape[] = size === 1 ? [meshShape({ layout: "serial" })] : [];
  if (size > 1) {
    shapes.push(meshShape({ layout: "1d", dims: [size] }), meshShape({ layout: "1d-sp", dims: [size] }));
    for (let q = 2; q * q <= size; q++) {
      if (size % (q * q) !== 0) continue;
      const d = size / (q * q);
      shapes.push(d === 1 ? meshShape({ layout: "2d", dims: [q, q] }) : meshShape({ layout: "2.5d", dims: [q, q, d] }));
    }
  }
  return shapes;
}

/** The layout of one rank.
 *  @throws UserError for another number of ranks than the mesh's, or a wire that is not known */
export function createLayout(shape: MeshShape, rank: Communication & { backend: Backend }): Layout {
  const { layout, size, q, d } = shape;
  const { wire = "f32" } = rank;
  if (wire !== "f32" && wire !== "f16") throw new UserError(`got a wire of ${wire}, need f32 or f16`);
  if (rank.link.size !== size)
    throw new UserError(`mesh ${shape.dims.join("x")} needs ${size} ranks, got ${rank.link.size}; start as many`);
  if (layout === "serial") return new Serial(rank.backend);
  if (isGrid(shape)) return new Summa({ ...rank, q, d });
  return new Megatron({ ...rank, sequenceParallel: layout === "1d-sp" });
}

// Which block of a parameter a rank of a q x q x d mesh holds, who holds copies of it, and over which axes its gradient is summed.
// What ops do with it is summa.ts.

import type { Parameter } from "../tensor/tensor.ts";
import { padTo } from "./block.ts";
import type { Whole } from "./layout.ts";
import { placeOf } from "./place.ts";
import { place } from "./placement.ts";
import { vector, weight } from "./products.ts";
import type { MeshAxis } from "./redistribute.ts";
import { vocabularyUnit } from "./serial.ts";
import { copiesAlong, type Sharding } from "./sharded.ts";
import { columns } from "./summa-embedding.ts";

/** A mesh's groups as axes of placements. */
export interface Axes {
  row: MeshAxis<"j">;
  column: MeshAxis<"i">;
  depth: MeshAxis<"k">;
  batch: MeshAxis<"i" | "k">;
}

const isVector = ({ shape }: Pick<Whole, "shape">): boolean => shape.length === 1;

/** weights: block (i, j), summed over depth; vectors: block j, summed over batch; positions [T, D]: columns j, summed over batch. */
export function summaSharding(whole: Whole, { q, axes }: { q: number; axes: Axes }): Sharding {
  const { kind, shape } = whole;
  const [rows, cols] = isVector(whole) ? [1, shape[0]] : shape;
  const height = kind === "vocabulary" ? padTo(rows, q * vocabularyUnit) / q : rows / q;
  const width = cols / q;
  const everyRow = isVector(whole) || kind === "positions";
  const copies = isVector(whole)
    ? copiesAlong(vector, axes.batch)
    : kind === "positions"
      ? copiesAlong(columns, axes.batch)
      : copiesAlong(weight, axes.depth);
  return {
    block: (rank) => {
      const { i, j } = placeOf(rank, q);
      return {
        rows: everyRow ? { from: 0, to: rows } : { from: i * height, to: (i + 1) * height },
        cols: { from: j * width, to: (j + 1) * width },
      };
    },
    ...copies,
  };
}

/** A rank's block of a parameter, placed as ops use it. */
export function placedForUse(parameter: Parameter, whole: Whole): Parameter {
  if (isVector(whole)) return place(parameter, vector);
  return whole.kind === "positions" ? place(parameter, columns) : place(parameter, weight);
}

// What the pictures are of: a product that ran, and its matrices.

import type { MeshShape, WatchedRank } from "shardgrad/parallel";
import { type BlockedMatrix, blocked, extentsOf, type Operand } from "./blocks.ts";
import type { Multiplied } from "./problem.ts";

export interface Scene {
  shape: MeshShape;
  watched: readonly WatchedRank[];
  matrices: Record<Operand, BlockedMatrix>;
}

export function sceneOf({ shape, result, problem }: Multiplied): Scene {
  const watched = result.watched ?? [];
  const extents = extentsOf(problem.form, problem.size);
  const matrix = (operand: "a" | "b" | "c") => blocked(operand, { watched, extents: extents[operand] });
  return { shape, watched, matrices: { a: matrix("a"), b: matrix("b"), c: matrix("c") } };
}

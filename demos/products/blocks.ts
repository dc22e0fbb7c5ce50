// Blocks of A, B and C: what they are called, which ranks have them at rest, which rows and columns they are.

import type { BlockRange, Form, ProductSize, WatchedRank } from "shardgrad/parallel";

export type Operand = "a" | "b" | "c";
export const operandsInOrder: readonly Operand[] = ["a", "b", "c"];

/** Block (row, col) of a matrix. */
export interface BlockName {
  operand: Operand;
  row: number;
  col: number;
}

/** A matrix cut into blocks. */
export interface BlockedMatrix {
  operand: Operand;
  /** without padding */
  extents: readonly [rows: number, cols: number];
  blockRows: number;
  blockCols: number;
  /** of every block, padding included */
  height: number;
  width: number;
}

export const nameOf = (operand: Operand, { rows, cols }: BlockRange): BlockName => ({
  ...{ operand, row: rows.from / (rows.to - rows.from), col: cols.from / (cols.to - cols.from) },
});

export const sameBlock = (one: BlockName | undefined, other: BlockName): boolean =>
  one?.operand === other.operand && one.row === other.row && one.col === other.col;

/** Extents of A, B and C, without padding. */
export const extentsOf = (form: Form, { m, n, k }: ProductSize): Record<Operand, readonly [number, number]> => ({
  a: form === "ATB" ? [k, m] : [m, k],
  b: form === "ABT" ? [n, k] : [k, n],
  c: [m, n],
});

export function blocked(
  operand: Operand,
  { watched, extents }: { watched: readonly WatchedRank[]; extents: readonly [number, number] },
): BlockedMatrix {
  const ranges = watched.map(({ blocks }) => blocks[operand]);
  const [{ rows, cols }] = ranges;
  const [height, width] = [rows.to - rows.from, cols.to - cols.from];
  const blockRows = Math.max(...ranges.map((range) => range.rows.to)) / height;
  const blockCols = Math.max(...ranges.map((range) => range.cols.to)) / width;
  return { operand, extents, blockRows, blockCols, height, width };
}

/** Ranks that hold it before the product, or of C after it. */
export const ranksWith = (block: BlockName, watched: readonly WatchedRank[]): number[] =>
  watched.flatMap(({ blocks }, rank) => (sameBlock(block, nameOf(block.operand, blocks[block.operand])) ? [rank] : []));

/** "1,2" of blocks that are cut both ways, "3" of rows or columns of blocks. */
export const indexText = ({ row, col }: BlockName, { blockRows, blockCols }: BlockedMatrix): string =>
  blockCols === 1 ? `${row}` : blockRows === 1 ? `${col}` : `${row},${col}`;

export const blockText = (block: BlockName, matrix: BlockedMatrix): string =>
  `${block.operand.toUpperCase()}(${indexText(block, matrix)})`;

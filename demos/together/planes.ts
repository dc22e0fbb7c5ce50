// A mesh as it is drawn: a line, or rows and columns, as many times as it is deep.

export interface Plane {
  depth: number;
  /** row by row */
  ranks: readonly number[];
  columns: number;
}

export function planesOf(dims: readonly number[]): Plane[] {
  const [rows, columns] = dims.length === 1 ? [1, dims[0]] : dims;
  const depths = dims[2] ?? 1;
  const plane = rows * columns;
  return Array.from({ length: depths }, (_, depth) => ({
    ...{ depth, columns },
    ranks: Array.from({ length: plane }, (_, index) => depth * plane + index),
  }));
}

// Plans of sums: spans of a size that the shape alone decides, then the spans' sums.

import { type Pass, type Places, type Plans, vectors } from "../plan.ts";

/** Elements of a span of `sum`, as wasm/reduce.ts has it. */
const span = 4096;

/** A span of rows: few enough that f32 sums stay accurate, and some 16384 elements, so that the spans' own sums cost little beside them. */
const spanRows = 256;
const spanElements = 16_384;
/** Columns of a block: their sums (8 KiB) stay in the first-level cache. */
const blockCols = 2048;

/** y[cols] (+)= column sums of what the pass `run` adds up by spans of rows: (x, partials, rows, cols, spanRows, blockCols, ...more). */
interface ColumnSums {
  run: string;
  x: number;
  more: readonly number[];
  y: number;
  rows: number;
  cols: number;
  accumulate: boolean;
}

export function sumColumns({ run, x, more, y, rows, cols, accumulate }: ColumnSums, places: Places): Pass[] {
  const height = Math.min(spanRows, Math.max(16, Math.ceil(spanElements / cols)), rows);
  const spans = Math.ceil(rows / height);
  const partials = places.temporary(4 * spans * cols);
  const width = Math.min(cols, blockCols);
  const items = spans * Math.ceil(cols / blockCols);
  return [
    {
      run,
      args: [x, partials, rows, cols, height, blockCols, ...more],
      items,
      cost: 30 + (height * width) / 8,
    },
    {
      run: "columnPartials",
      args: [partials, spans, cols, y, accumulate ? 1 : 0],
      items: vectors(cols),
      cost: 2 + spans,
    },
  ];
}

export const reducePlans: Pick<Plans, "sum" | "columnSum"> = {
  sum({ x, y, n, scale, square, accumulate }, places) {
    const spans = Math.ceil(n / span);
    const partials = places.temporary(8 * spans);
    return [
      {
        run: "sumSpans",
        args: [places.at(x), partials, n, square ? 1 : 0],
        items: spans,
        cost: Math.min(n, span) / 10,
      },
      { run: "sumPartials", args: [partials, spans, places.at(y), scale, accumulate ? 1 : 0], items: 1, cost: 0 },
    ];
  },

  columnSum({ x, y, rows, cols, accumulate }, places) {
    return sumColumns(
      { run: "columnSpans", x: places.at(x), more: [], y: places.at(y), rows, cols, accumulate },
      places,
    );
  },
};

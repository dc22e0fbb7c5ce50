// Plans of matrix products.

import type { Plans } from "../plan.ts";

/** Rows from which packing b, which touches each of its elements twice, pays: between 10 and 16 where b is in the second-level cache, later
 *  where it is not. */
const packedRows = 12;
/** The same of a transposed b, whose products of few rows read it once a row. */
const dotRows = 4;
/** As wasm/products.ts and wasm/few-rows.ts have them. */
const [panelCols, blockRows, groupCols] = [8, 32, 128];
/** Nanoseconds of a multiply-add, of packing an element of b, and of one read where it is: once, for each row of a dot product. */
const [step, pack, read, dot] = [0.035, 0.2, 0.05, 0.1];

export const productPlans: Pick<Plans, "matmul"> = {
  matmul({ a, b, y, bias, batch, m, n, k, transposeA, transposeB, accumulate }, places) {
    const [aRow, aStep] = transposeA ? [4, 4 * m] : [4 * k, 4];
    const [bStep, bCol] = transposeB ? [4, 4 * k] : [4 * n, 4];
    const shape = [places.at(y), bias ? places.at(bias) : 0, m, n, k];
    const adds = accumulate ? 1 : 0;
    if (m < (transposeB ? dotRows : packedRows)) {
      const args = [places.at(a), places.at(b), ...shape, aRow, aStep, adds, bStep];
      if (transposeB) return [{ run: "dotProduct", args, items: batch * m * n, cost: k * dot }];
      const cost = Math.min(n, groupCols) * k * (read + m * step);
      return [{ run: "rowsProduct", args, items: batch * Math.ceil(n / groupCols), cost }];
    }
    const panels = Math.ceil(n / panelCols);
    const packed = places.temporary(4 * batch * panels * panelCols * k);
    const items = batch * Math.ceil(m / blockRows) * Math.ceil(n / groupCols);
    return [
      {
        run: "packPanels",
        args: [places.at(b), packed, n, k, bStep, bCol],
        items: batch * panels,
        cost: panelCols * k * pack,
      },
      {
        run: "product",
        args: [places.at(a), packed, ...shape, aRow, aStep, adds],
        items,
        cost: Math.min(m, blockRows) * Math.min(n, groupCols) * k * step,
      },
    ];
  },
};

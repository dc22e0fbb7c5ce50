// Plans of matrix products.

import type { Plans } from "../plan.ts";
import { chunks } from "./grain.ts";

/** Rows below which packing b, which touches each of its elements twice, costs more than it saves. */
const packedRows = 4;
/** As wasm/products.ts has them. */
const [panelCols, blockRows, groupCols, rowCols] = [8, 32, 128, 16];
/** Nanoseconds of a multiply-add in registers, and of an element of b that is packed or comes from memory. */
const [step, element] = [0.045, 0.5];

export const productPlans: Pick<Plans, "matmul"> = {
  matmul({ a, b, y, bias, batch, m, n, k, transposeA, transposeB, accumulate }, places) {
    const [aRow, aStep] = transposeA ? [4, 4 * m] : [4 * k, 4];
    const [bStep, bCol] = transposeB ? [4, 4 * k] : [4 * n, 4];
    const rest = [places.at(y), bias ? places.at(bias) : 0, m, n, k, aRow, aStep, accumulate ? 1 : 0];
    if (m < packedRows) {
      const args = [places.at(a), places.at(b), ...rest, bStep];
      const [run, cols] = transposeB ? ["dotProduct", 1] : ["rowProduct", rowCols];
      return [{ run, args, ...chunks(batch * m * Math.ceil(n / cols), k * cols * element) }];
    }
    const panels = Math.ceil(n / panelCols);
    const packed = places.temporary(4 * batch * panels * panelCols * k);
    const items = batch * Math.ceil(m / blockRows) * Math.ceil(n / groupCols);
    return [
      {
        run: "packPanels",
        args: [places.at(b), packed, n, k, bStep, bCol],
        ...chunks(batch * panels, panelCols * k * element),
      },
      {
        run: "product",
        args: [places.at(a), packed, ...rest],
        ...chunks(items, Math.min(m, blockRows) * Math.min(n, groupCols) * k * step),
      },
    ];
  },
};

// Plans of softmax cross-entropy, in the pieces between which ranks combine.

import type { Plans } from "../plan.ts";
import { overElements, overRows, reduceRows } from "./grids.ts";

export const lossPlans: Pick<Plans, "rowMax" | "sumExp" | "crossEntropy" | "crossEntropyGrad"> = {
  rowMax: ({ x, max, rows, cols, validCols }, device) => [
    {
      shader: "rowMax",
      buffers: { x, maxima: max },
      params: { rows, cols, validCols },
      ...reduceRows({ rows, cols: validCols }, device),
    },
  ],

  sumExp: ({ x, max, targets, sums, rows, cols, validCols, colOffset }, device) => [
    {
      shader: "sumExp",
      buffers: { x, maxima: max, targets, sums },
      params: { rows, cols, validCols, colOffset },
      ...reduceRows({ rows, cols: validCols }, device),
    },
  ],

  crossEntropy: ({ max, sums, losses, rows }, device) => [
    {
      shader: "crossEntropy",
      buffers: { maxima: max, sums, losses },
      params: { n: rows },
      ...overElements(rows, device),
    },
  ],

  crossEntropyGrad({ x, max, sums, targets, dy, dx, rows, cols, validCols, colOffset, scale }, device) {
    const { constants, workgroups } = overRows({ rows, steps: cols }, device);
    const inPlace = x.id === dx.id;
    return [
      {
        shader: "crossEntropyGrad",
        constants: { ...constants, IN_PLACE: inPlace },
        buffers: { x: inPlace ? max : x, maxima: max, sums, targets, dy, dx },
        params: { rows, cols, validCols, colOffset, scale },
        workgroups,
      },
    ];
  },
};

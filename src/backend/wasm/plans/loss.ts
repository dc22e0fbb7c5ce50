// Plans of softmax cross-entropy.

import type { Plans } from "../plan.ts";

/** Nanoseconds of an element: a comparison, an exponential. */
const compareCost = 0.1;
const expCost = 1;
const rowCost = 20;

export const lossPlans: Pick<Plans, "rowMax" | "sumExp" | "crossEntropy" | "crossEntropyGrad"> = {
  rowMax({ x, max, rows, cols, validCols }, places) {
    const args = [places.at(x), places.at(max), cols, validCols];
    return [{ run: "rowMax", args, items: rows, cost: rowCost + compareCost * validCols }];
  },

  sumExp({ x, max, targets, sums, rows, cols, validCols, colOffset }, places) {
    const args = [places.at(x), places.at(max), places.at(targets), places.at(sums), cols, validCols, colOffset];
    return [{ run: "sumExp", args, items: rows, cost: rowCost + expCost * validCols }];
  },

  crossEntropy({ max, sums, losses, rows }, places) {
    const args = [places.at(max), places.at(sums), places.at(losses)];
    return [{ run: "crossEntropy", args, items: rows, cost: rowCost }];
  },

  crossEntropyGrad({ x, max, sums, targets, dy, dx, rows, cols, validCols, colOffset, scale }, places) {
    const buffers = [x, max, sums, targets, dy, dx].map((buffer) => places.at(buffer));
    const args = [...buffers, cols, validCols, colOffset, scale];
    return [{ run: "crossEntropyGrad", args, items: rows, cost: rowCost + expCost * cols }];
  },
};

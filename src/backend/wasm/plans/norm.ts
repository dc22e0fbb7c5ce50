// Plans of LayerNorm and RMSNorm, in the pieces between which ranks sum.

import { type Plans, vectors } from "../plan.ts";
import { sumColumns } from "./reduce.ts";

/** Nanoseconds of a row of so many columns: its square root and quotient, and a vector's loads and sums. */
const rowCost = (cols: number): number => 20 + cols / 4;

export const normPlans: Pick<
  Plans,
  "normStats" | "normMerge" | "normApply" | "normGradSums" | "normGradInput" | "normGradGain"
> = {
  normStats({ x, stats, rows, cols, kind }, places) {
    const args = [places.at(x), places.at(stats), cols, kind === "layer" ? 1 : 0];
    return [{ run: "normStats", args, items: rows, cost: rowCost(cols) }];
  },

  normMerge({ a, b, y, rows, countA, countB }, places) {
    const shareB = countB / (countA + countB);
    const args = [places.at(a), places.at(b), places.at(y), rows, shareB, countA * shareB];
    return [{ run: "normMerge", args, items: vectors(2 * rows), cost: 2 }];
  },

  normApply({ x, stats, gain, bias, y, rows, cols, width, eps }, places) {
    const buffers = [places.at(x), places.at(stats), places.at(gain), bias ? places.at(bias) : 0, places.at(y)];
    return [{ run: "normApply", args: [...buffers, cols, width, eps], items: rows, cost: rowCost(cols) }];
  },

  normGradSums({ x, stats, gain, dy, sums, rows, cols, width, eps, kind }, places) {
    const buffers = [x, stats, gain, dy, sums].map((buffer) => places.at(buffer));
    const args = [...buffers, cols, width, eps, kind === "layer" ? 1 : 0];
    return [{ run: "normGradSums", args, items: rows, cost: rowCost(cols) }];
  },

  normGradInput({ x, stats, gain, dy, sums, dx, rows, cols, width, eps, accumulate }, places) {
    const buffers = [x, stats, gain, dy, sums, dx].map((buffer) => places.at(buffer));
    const args = [...buffers, cols, width, eps, accumulate ? 1 : 0];
    return [{ run: "normGradInput", args, items: rows, cost: rowCost(cols) }];
  },

  normGradGain({ x, stats, dy, dgain, rows, cols, width, eps, accumulate }, places) {
    const more = [places.at(x), places.at(stats), width, eps];
    const sums = { run: "normGainSpans", x: places.at(dy), more, y: places.at(dgain), rows, cols, accumulate };
    return sumColumns(sums, places);
  },
};

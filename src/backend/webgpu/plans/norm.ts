// Plans of LayerNorm and RMSNorm, in the pieces between which ranks sum.

import type { Plans } from "../plan.ts";
import { overElements, overRows, reduceColumns, reduceRows } from "./grids.ts";

export const normPlans: Pick<
  Plans,
  "normStats" | "normMerge" | "normApply" | "normGradSums" | "normGradInput" | "normGradGain"
> = {
  normStats({ x, stats, rows, cols, kind }, device) {
    const { constants, workgroups } = reduceRows({ rows, cols }, device);
    return [
      {
        shader: "normStats",
        constants: { ...constants, LAYER: kind === "layer" },
        buffers: { x, stats },
        params: { rows, cols },
        workgroups,
      },
    ];
  },

  normMerge({ a, b, y, rows, countA, countB }, device) {
    const shareB = countB / (countA + countB);
    const params = { n: rows, shareB, weight: countA * shareB };
    return [{ shader: "normMerge", buffers: { a, b, y }, params, ...overElements(rows, device) }];
  },

  normApply({ x, stats, gain, bias, y, rows, cols, width, eps }, device) {
    const { constants, workgroups } = overRows({ rows, steps: cols }, device);
    return [
      {
        shader: "normApply",
        constants: { ...constants, HAS_BIAS: bias !== undefined },
        buffers: { x, stats, gain, bias: bias ?? gain, y },
        params: { rows, cols, width, eps },
        workgroups,
      },
    ];
  },

  normGradSums({ x, stats, gain, dy, sums, rows, cols, width, eps, kind }, device) {
    const { constants, workgroups } = reduceRows({ rows, cols }, device);
    return [
      {
        shader: "normGradSums",
        constants: { ...constants, LAYER: kind === "layer" },
        buffers: { x, stats, gain, dy, sums },
        params: { rows, cols, width, eps },
        workgroups,
      },
    ];
  },

  normGradInput({ x, stats, gain, dy, sums, dx, rows, cols, width, eps, accumulate }, device) {
    const { constants, workgroups } = overRows({ rows, steps: cols }, device);
    return [
      {
        shader: "normGradInput",
        constants: { ...constants, ACCUMULATE: accumulate },
        buffers: { x, stats, gain, dy, sums, dx },
        params: { rows, cols, width, eps },
        workgroups,
      },
    ];
  },

  normGradGain({ x, stats, dy, dgain, rows, cols, width, eps, accumulate }, device) {
    const { constants, workgroups } = reduceColumns({ rows, cols }, device);
    return [
      {
        shader: "normGradGain",
        constants: { ...constants, ACCUMULATE: accumulate },
        buffers: { x, stats, dy, dgain },
        params: { rows, cols, width, eps },
        workgroups,
      },
    ];
  },
};

// Plans of the activations and of dropout.

import type { Plans } from "../plan.ts";
import { overElements, overRows } from "./grids.ts";

export const activationPlans: Pick<Plans, "gelu" | "geluGrad" | "siluGate" | "siluGateGrad" | "dropout"> = {
  gelu({ x, y, n, form }, device) {
    const { constants, workgroups } = overElements(n, device);
    return [
      {
        shader: "gelu",
        constants: { ...constants, EXACT: form === "exact" },
        buffers: { x, y },
        params: { n },
        workgroups,
      },
    ];
  },

  geluGrad({ x, dy, dx, n, form }, device) {
    const { constants, workgroups } = overElements(n, device);
    return [
      {
        shader: "geluGrad",
        constants: { ...constants, EXACT: form === "exact" },
        buffers: { x, dy, dx },
        params: { n },
        workgroups,
      },
    ];
  },

  siluGate: ({ x, y, n }, device) => [
    { shader: "siluGate", buffers: { x, y }, params: { n }, ...overElements(n, device) },
  ],

  siluGateGrad: ({ x, dy, dx, n }, device) => [
    { shader: "siluGateGrad", buffers: { x, dy, dx }, params: { n }, ...overElements(n, device) },
  ],

  dropout({ x, y, rows, cols, rowOffset, colOffset, probability, seed, stream, step }, device) {
    const threshold = Math.floor(probability * 2 ** 32);
    const keep = 1 / (1 - probability);
    return [
      {
        shader: "dropout",
        buffers: { x, y },
        params: { rows, cols, rowOffset, colOffset, threshold, keep, seed, stream, step },
        ...overRows({ rows, steps: Math.ceil(cols / 4) }, device),
      },
    ];
  },
};

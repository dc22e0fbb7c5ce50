// Plans of GELU, the gated SiLU and dropout.

import { type Plans, vectors } from "../plan.ts";

/** Nanoseconds of a vector of four: an exponential and a quotient. */
const cost = 6;
/** Nanoseconds of an element: a quarter of a Philox counter. */
const dropoutCost = 2;

export const activationPlans: Pick<Plans, "gelu" | "geluGrad" | "siluGate" | "siluGateGrad" | "dropout"> = {
  gelu({ x, y, n, form }, places) {
    const run = form === "tanh" ? "geluTanh" : "geluExact";
    return [{ run, args: [places.at(x), places.at(y), n], items: vectors(n), cost }];
  },

  geluGrad({ x, dy, dx, n, form }, places) {
    const run = form === "tanh" ? "geluTanhGrad" : "geluExactGrad";
    return [{ run, args: [places.at(x), places.at(dy), places.at(dx), n], items: vectors(n), cost }];
  },

  siluGate({ x, y, n }, places) {
    return [{ run: "siluGate", args: [places.at(x), places.at(y), n], items: vectors(n), cost }];
  },

  siluGateGrad({ x, dy, dx, n }, places) {
    return [{ run: "siluGateGrad", args: [places.at(x), places.at(dy), places.at(dx), n], items: vectors(n), cost }];
  },

  dropout({ x, y, rows, cols, rowOffset, colOffset, probability, seed, stream, step }, places) {
    const threshold = Math.floor(probability * 2 ** 32);
    const place = [cols, rowOffset, colOffset];
    const mask = [threshold, 1 / (1 - probability), seed, stream, step];
    return [
      {
        run: "dropout",
        args: [places.at(x), places.at(y), ...place, ...mask],
        items: rows,
        cost: 20 + dropoutCost * cols,
      },
    ];
  },
};

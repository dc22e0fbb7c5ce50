// Plan of AdamW: one pass, which looks at the norm itself.

import { type Plans, vectors } from "../plan.ts";

/** Nanoseconds of a vector of four: seven times as many bytes as a fill. */
const cost = 3;

export const optimizerPlans: Pick<Plans, "adamw"> = {
  adamw(args, places) {
    const { w, g, m, v, normSquared, n, beta1, beta2, learningRate, weightDecay, correction1, correction2 } = args;
    const { clip, lossScale } = args;
    const buffers = [w, g, m, v, normSquared].map((buffer) => places.at(buffer));
    // g is only used times these: they take the scale off it.
    const first = [beta1, (1 - beta1) / lossScale];
    const second = [beta2, (1 - beta2) / lossScale ** 2];
    const rates = [learningRate * weightDecay, learningRate / correction1, 1 / correction2, args.eps];
    return [
      { run: "adamw", args: [...buffers, n, clip * lossScale, ...first, ...second, ...rates], items: vectors(n), cost },
    ];
  },
};

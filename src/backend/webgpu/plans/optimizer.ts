// Plan of the AdamW step.

import type { Plans } from "../plan.ts";
import { overElements } from "./grids.ts";

export const optimizerPlans: Pick<Plans, "adamw"> = {
  adamw: ({ w, half, g, m, v, normSquared, n, clip, lossScale, beta1, beta2, eps, ...rates }, device) => [
    {
      // Two shaders: no other buffer can fill the place of one that is written.
      shader: half ? "adamwHalf" : "adamw",
      buffers: { g, normSquared, w, m, v, ...(half && { half }) },
      params: {
        n,
        clip: clip * lossScale,
        decay: 1 - rates.learningRate * rates.weightDecay,
        beta1,
        // g is only used times these: they take the scale off it.
        oneMinusBeta1: (1 - beta1) / lossScale,
        beta2,
        oneMinusBeta2: (1 - beta2) / lossScale ** 2,
        stepSize: rates.learningRate / rates.correction1,
        inverseRoot: 1 / Math.sqrt(rates.correction2),
        eps,
      },
      ...overElements(n, device),
    },
  ],
};

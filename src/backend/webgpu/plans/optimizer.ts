// Plan of the AdamW step.

import type { Plans } from "../plan.ts";
import { overElements } from "./grids.ts";

export const optimizerPlans: Pick<Plans, "adamw"> = {
  adamw: ({ w, g, m, v, normSquared, n, clip, beta1, beta2, eps, ...rates }, device) => [
    {
      shader: "adamw",
      buffers: { g, normSquared, w, m, v },
      params: {
        n,
        clip,
        decay: 1 - rates.learningRate * rates.weightDecay,
        beta1,
        oneMinusBeta1: 1 - beta1,
        beta2,
        oneMinusBeta2: 1 - beta2,
        stepSize: rates.learningRate / rates.correction1,
        inverseRoot: 1 / Math.sqrt(rates.correction2),
        eps,
      },
      ...overElements(n, device),
    },
  ],
};

// Every kernel's plan, in one table.

import type { Plans } from "./plan.ts";
import { activationPlans } from "./plans/activation.ts";
import { attentionPlans } from "./plans/attention.ts";
import { elementwisePlans } from "./plans/elementwise.ts";
import { embeddingPlans } from "./plans/embedding.ts";
import { lossPlans } from "./plans/loss.ts";
import { matmulPlans } from "./plans/matmul.ts";
import { normPlans } from "./plans/norm.ts";
import { optimizerPlans } from "./plans/optimizer.ts";
import { reducePlans } from "./plans/reduce.ts";
import { rotaryPlans } from "./plans/rotary.ts";

export const plans: Plans = {
  ...activationPlans,
  ...attentionPlans,
  ...elementwisePlans,
  ...embeddingPlans,
  ...lossPlans,
  ...matmulPlans,
  ...normPlans,
  ...optimizerPlans,
  ...reducePlans,
  ...rotaryPlans,
};

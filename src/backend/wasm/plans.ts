// The passes of every kernel, by kernel.

import type { Plans } from "./plan.ts";
import { activationPlans } from "./plans/activation.ts";
import { attentionPlans } from "./plans/attention.ts";
import { elementwisePlans } from "./plans/elementwise.ts";
import { embeddingPlans } from "./plans/embedding.ts";
import { lossPlans } from "./plans/loss.ts";
import { normPlans } from "./plans/norm.ts";
import { optimizerPlans } from "./plans/optimizer.ts";
import { productPlans } from "./plans/products.ts";
import { reducePlans } from "./plans/reduce.ts";
import { rotaryPlans } from "./plans/rotary.ts";

export const plans: Plans = {
  ...activationPlans,
  ...attentionPlans,
  ...elementwisePlans,
  ...embeddingPlans,
  ...lossPlans,
  ...normPlans,
  ...optimizerPlans,
  ...productPlans,
  ...reducePlans,
  ...rotaryPlans,
};

// The passes of every kernel, by kernel.

import type { Plans } from "./plan.ts";

export const plans: Partial<Plans> = {};

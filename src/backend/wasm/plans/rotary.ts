// Plan of the rotary position embedding.

import type { Plans } from "../plan.ts";

export const rotaryPlans: Pick<Plans, "rotary"> = {
  rotary({ x, table, y, heads, kvHeads, headWidth, rows, tokens, offset, inverse }, places) {
    const slots = heads + 2 * kvHeads; // heads' worth of columns in a row
    const shape = [slots, heads / kvHeads, headWidth, tokens, offset, inverse ? -1 : 1];
    const args = [places.at(x), places.at(table), places.at(y), ...shape];
    return [{ run: "rotary", args, items: rows, cost: slots * (2 + headWidth / 4) }];
  },
};

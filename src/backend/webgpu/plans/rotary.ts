// Plan of the rotary position embedding.

import type { Plans } from "../plan.ts";
import { overRows } from "./grids.ts";

export const rotaryPlans: Pick<Plans, "rotary"> = {
  rotary({ x, table, y, rows, tokens, offset, inverse, heads, kvHeads, headWidth }, device) {
    const cols = (heads + 2 * kvHeads) * headWidth;
    const { constants, workgroups } = overRows({ rows, steps: cols / 2 }, device);
    return [
      {
        shader: "rotary",
        constants: { ...constants, HEAD_WIDTH: headWidth, QUERY_HEADS: heads / kvHeads, INVERSE: inverse },
        buffers: { x, table, y },
        params: { rows, cols, tokens, offset },
        workgroups,
      },
    ];
  },
};

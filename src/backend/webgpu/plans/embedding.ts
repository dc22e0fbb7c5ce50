// Plans of the embedding table's look-up and of its gradient.

import type { Plans } from "../plan.ts";
import { overRows } from "./grids.ts";

export const embeddingPlans: Pick<Plans, "embedding" | "embeddingGrad"> = {
  embedding({ ids, table, y, count, cols, rows, rowOffset, accumulate }, device) {
    const { constants, workgroups } = overRows({ rows: count, steps: cols }, device);
    return [
      {
        shader: "embedding",
        constants: { ...constants, ACCUMULATE: accumulate },
        buffers: { ids, table, y },
        params: { rows: count, cols, tableRows: rows, rowOffset },
        workgroups,
      },
    ];
  },

  embeddingGrad: ({ unique, starts, order, dy, dtable, segments, cols, rows, rowOffset }, device) => [
    {
      shader: "embeddingGrad",
      buffers: { unique, starts, order, dy, dtable },
      params: { rows: segments, cols, tableRows: rows, rowOffset },
      ...overRows({ rows: segments, steps: cols }, device),
    },
  ],
};

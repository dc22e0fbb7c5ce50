// Plans of embedding and its gradient.

import type { Plans } from "../plan.ts";

/** Columns of an item of embeddingGrad, as wasm/embedding.ts has it. */
const block = 16;

export const embeddingPlans: Pick<Plans, "embedding" | "embeddingGrad"> = {
  embedding({ ids, table, y, count, cols, rows, rowOffset, accumulate }, places) {
    const args = [places.at(ids), places.at(table), places.at(y), cols, rows, rowOffset, accumulate ? 1 : 0];
    return [{ run: "embedding", args, items: count, cost: 10 + cols / 4 }];
  },

  embeddingGrad({ unique, starts, order, dy, dtable, segments, count, cols, rows, rowOffset }, places) {
    const buffers = [unique, starts, order, dy, dtable].map((buffer) => places.at(buffer));
    const items = segments * Math.ceil(cols / block);
    return [
      {
        run: "embeddingGrad",
        args: [...buffers, cols, rows, rowOffset],
        items,
        cost: 10 + (3 * count) / segments,
      },
    ];
  },
};

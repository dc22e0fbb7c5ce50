// Plans of the sums over everything and over rows.

import { reducePartials } from "../../kernels.ts";
import type { Dispatch, Plans } from "../plan.ts";
import { reduceColumns } from "./grids.ts";

/** Elements that are worth a workgroup of their own. */
const minSpan = 1024;

export const reducePlans: Pick<Plans, "sum" | "columnSum"> = {
  sum({ x, partials, y, n, scale, square, accumulate }) {
    const span = Math.max(minSpan, Math.ceil(n / reducePartials));
    const count = Math.ceil(n / span);
    const spans: Dispatch = {
      shader: "sumPartials",
      constants: { SQUARE: square },
      buffers: { x, partials },
      params: { n, span },
      workgroups: [count, 1, 1],
    };
    const total: Dispatch = {
      shader: "sum",
      constants: { ACCUMULATE: accumulate },
      buffers: { partials, y },
      params: { count, scale },
      workgroups: [1, 1, 1],
    };
    return [spans, total];
  },

  columnSum({ x, y, rows, cols, accumulate }, device) {
    const { constants, workgroups } = reduceColumns({ rows, cols }, device);
    return [
      {
        shader: "columnSum",
        constants: { ...constants, ACCUMULATE: accumulate },
        buffers: { x, y },
        params: { rows, cols },
        workgroups,
      },
    ];
  },
};

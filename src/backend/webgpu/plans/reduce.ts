// Plans of the sums over everything and over rows.

import { reducePartials } from "../../kernels.ts";
import type { Dispatch, Plans } from "../plan.ts";
import { reduceColumns, reduceElements } from "./grids.ts";

export const reducePlans: Pick<Plans, "sum" | "columnSum"> = {
  sum({ x, partials, y, n, scale, square, accumulate }, device) {
    const { constants, workgroups, span } = reduceElements({ n, most: reducePartials }, device);
    const spans: Dispatch = {
      shader: "sumPartials",
      constants: { ...constants, SQUARE: square },
      buffers: { x, partials },
      params: { n, span },
      workgroups,
    };
    const total: Dispatch = {
      shader: "sum",
      constants: { ACCUMULATE: accumulate },
      buffers: { partials, y },
      params: { count: workgroups[0], scale },
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

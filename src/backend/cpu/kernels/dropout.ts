// Dropout on a block of a larger matrix: the masks of philox.ts.

import { DropoutMask } from "./dropout-mask.ts";
import type { Kernel } from "./kernel.ts";

export const dropout: Kernel<"dropout"> = (args, views) => {
  const x = views.f32(args.x);
  const y = views.f32(args.y);
  const mask = new DropoutMask(args);
  const factors = new Float32Array(args.cols);
  for (let r = 0; r < args.rows; r++) {
    mask.row({ row: args.rowOffset + r, firstCol: args.colOffset }, factors);
    const at = r * args.cols;
    // A dropped NaN or Infinity is 0, not NaN: selected, not multiplied.
    for (let j = 0; j < args.cols; j++) y[at + j] = factors[j] === 0 ? 0 : x[at + j] * factors[j];
  }
};

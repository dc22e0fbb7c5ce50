// LayerNorm (arXiv 1607.06450) and RMSNorm (arXiv 1910.07467) over the last dim, cut where ranks that hold column
// blocks of a row would merge their statistics.

import { tapeOf } from "../tape.ts";
import type { Tensor } from "../tensor.ts";

export type NormKind = "layer" | "rms";

/** Lets a layout combine per-row pairs of this block with the other blocks' of the same rows, in new memory. */
export interface NormExchange {
  /** stats [rows, 2]: (mean, sum of squared deviations) or (0, sum of squares) of this block -> of the whole row */
  stats: (stats: Tensor) => Promise<Tensor>;
  /** sums [rows, 2]: added over the row's blocks */
  sums: (sums: Tensor) => Promise<Tensor>;
}

/** y[rows, cols] = (x - mean) / sqrt(variance + eps) gain + bias; "rms" leaves mean out. `width`: columns of the whole row. */
export async function norm(
  x: Tensor,
  options: { kind: NormKind; gain: Tensor; bias?: Tensor; eps: number; width: number; exchange?: NormExchange },
): Promise<Tensor> {
  const { kind, gain, bias, eps, width, exchange } = options;
  const [rows, cols] = x.shape;
  const tape = tapeOf(x);
  const { backend } = tape;
  using own = tape.empty({ shape: [rows, 2], name: "norm stats" });
  backend.run("normStats", { x: x.buffer, stats: own.buffer, rows, cols, kind });
  using stats = exchange ? await exchange.stats(own) : own;
  const y = tape.output(gain.name.replace(/\.weight$/, ""), { shape: [rows, cols], inputs: [x, gain, bias] });
  const shared = { x: x.buffer, stats: stats.buffer, rows, cols, width, eps };
  backend.run("normApply", { ...shared, gain: gain.buffer, bias: bias?.buffer, y: y.buffer });
  return tape.record({
    op: y.name,
    output: y,
    saved: [x, stats, gain],
    async vjp(dy, gradients) {
      const row = { ...shared, gain: gain.buffer, dy: dy.buffer };
      if (gradients.wants(x)) {
        using own = tape.empty({ shape: [rows, 2], purpose: "scratch" });
        backend.run("normGradSums", { ...row, sums: own.buffer, kind });
        using sums = exchange ? await exchange.sums(own) : own;
        gradients.accumulate(x, (dx, accumulate) =>
          backend.run("normGradInput", { ...row, sums: sums.buffer, dx, accumulate }),
        );
      }
      gradients.accumulate(gain, (dgain, accumulate) =>
        backend.run("normGradGain", { ...shared, dy: dy.buffer, dgain, accumulate }),
      );
      if (bias)
        gradients.accumulate(bias, (db, accumulate) =>
          backend.run("columnSum", { x: dy.buffer, y: db, rows, cols, accumulate }),
        );
    },
  });
}

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
  backend.run("normApply", {
    x: x.buffer,
    stats: stats.buffer,
    gain: gain.buffer,
    bias: bias?.buffer,
    y: y.buffer,
    rows,
    cols,
    width,
    eps,
  });
  return tape.record({
    op: y.name,
    output: y,
    saved: [x, stats, gain],
    async vjp(dy, gradients) {
      if (gradients.wants(x)) {
        using own = tape.empty({ shape: [rows, 2], purpose: "scratch" });
        backend.run("normGradSums", {
          x: x.buffer,
          stats: stats.buffer,
          gain: gain.buffer,
          dy: dy.buffer,
          sums: own.buffer,
          rows,
          cols,
          width,
          eps,
          kind,
        });
        using sums = exchange ? await exchange.sums(own) : own;
        gradients.accumulate(x, (dx, accumulate) =>
          backend.run("normGradInput", {
            x: x.buffer,
            stats: stats.buffer,
            gain: gain.buffer,
            dy: dy.buffer,
            sums: sums.buffer,
            dx,
            rows,
            cols,
            width,
            eps,
            accumulate,
          }),
        );
      }
      gradients.accumulate(gain, (dgain, accumulate) =>
        backend.run("normGradGain", {
          x: x.buffer,
          stats: stats.buffer,
          dy: dy.buffer,
          dgain,
          rows,
          cols,
          width,
          eps,
          accumulate,
        }),
      );
      if (bias)
        gradients.accumulate(bias, (db, accumulate) =>
          backend.run("columnSum", { x: dy.buffer, y: db, rows, cols, accumulate }),
        );
    },
  });
}

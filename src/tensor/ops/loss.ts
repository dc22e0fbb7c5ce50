// Softmax cross-entropy over the last dim, in pieces that ranks holding blocks of the vocabulary combine between:
// the maximum, then (sum of exponentials, target's logit) in one exchange. The backward is local.

import { reducePartials } from "../../backend/kernels.ts";
import { tapeOf } from "../tape.ts";
import type { Tensor } from "../tensor.ts";

/** Lets a layout combine per-row values of this vocabulary block with the other blocks', in place. */
export interface LossExchange {
  /** max [rows]: the maximum over blocks */
  max: (max: Tensor) => Promise<void>;
  /** sums [rows, 2]: added over blocks */
  sums: (sums: Tensor) => Promise<void>;
}

/** loss[1] = scale * sum over rows of (log(sum(exp(logits))) - logits[target]), in nats. Only the first validCols columns count: the rest
 *  is padding. Column 0 is the vocabulary's colOffset. scale = 1/rows of the whole batch makes the mean. */
export async function crossEntropy(
  logits: Tensor,
  options: { targets: Tensor; validCols: number; colOffset?: number; scale: number; exchange?: LossExchange },
): Promise<Tensor> {
  const { targets, validCols, colOffset = 0, scale, exchange } = options;
  const [rows, cols] = logits.shape;
  const tape = tapeOf(logits);
  const { backend } = tape;
  using max = tape.empty({ shape: [rows] });
  backend.run("rowMax", { x: logits.buffer, max: max.buffer, rows, cols, validCols });
  await exchange?.max(max);
  using sums = tape.empty({ shape: [rows, 2] });
  const block = {
    x: logits.buffer,
    max: max.buffer,
    sums: sums.buffer,
    targets: targets.buffer,
    rows,
    cols,
    validCols,
    colOffset,
  };
  backend.run("sumExp", block);
  await exchange?.sums(sums);
  using losses = tape.empty({ shape: [rows], purpose: "scratch" });
  using partials = tape.empty({ shape: [reducePartials], purpose: "scratch" });
  backend.run("crossEntropy", { max: max.buffer, sums: sums.buffer, losses: losses.buffer, rows });
  const loss = tape.output("crossEntropy", { shape: [1], inputs: [logits] });
  const total = { x: losses.buffer, partials: partials.buffer, y: loss.buffer, n: rows, scale };
  backend.run("sum", { ...total, square: false, accumulate: false });
  return tape.record({
    op: "crossEntropy",
    output: loss,
    saved: [logits, max, sums, targets],
    vjp: (dy, gradients) =>
      gradients.write(logits, (dx) => backend.run("crossEntropyGrad", { ...block, dy: dy.buffer, dx, scale })),
  });
}

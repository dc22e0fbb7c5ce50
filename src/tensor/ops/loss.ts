// Softmax cross-entropy over the last dim, in pieces that ranks holding blocks of the vocabulary combine between:
// the maximum, then (sum of exponentials, target's logit) in one exchange. The backward is local.

import { invariant } from "../../backend/errors.ts";
import { reducePartials } from "../../backend/kernels.ts";
import { tapeOf } from "../tape.ts";
import type { Tensor } from "../tensor.ts";

/** Lets a layout combine per-row values of this vocabulary block with the other blocks', in new memory. */
export interface LossExchange {
  /** max [rows]: the maximum over blocks */
  max: (max: Tensor) => Promise<Tensor>;
  /** sums [rows, 2]: added over blocks */
  sums: (sums: Tensor) => Promise<Tensor>;
  /** loss [1]: added over blocks of rows */
  loss: (loss: Tensor) => Promise<Tensor>;
}

/** loss[1] = scale * sum over rows of (log(sum(exp(logits))) - logits[target]), in nats. Only the first validCols columns count: the rest
 *  is padding; column 0 is the vocabulary's colOffset. Only the first validRows rows count (all by default; fewer have no gradient).
 *  scale = 1/rows of the whole batch makes the mean. */
export async function crossEntropy(
  logits: Tensor,
  options: {
    targets: Tensor;
    validCols: number;
    validRows?: number;
    colOffset?: number;
    scale: number;
    exchange?: LossExchange;
  },
): Promise<Tensor> {
  const { targets, validCols, colOffset = 0, scale, exchange } = options;
  const [rows, cols] = logits.shape;
  const { validRows = rows } = options;
  const tape = tapeOf(logits);
  const { backend } = tape;
  invariant(validRows === rows || !tape.recording, "rows that do not count have no gradient");
  using ownMax = tape.empty({ shape: [rows] });
  backend.run("rowMax", { x: logits.buffer, max: ownMax.buffer, rows, cols, validCols });
  using max = exchange ? await exchange.max(ownMax) : ownMax;
  using ownSums = tape.empty({ shape: [rows, 2] });
  backend.run("sumExp", {
    x: logits.buffer,
    max: max.buffer,
    targets: targets.buffer,
    sums: ownSums.buffer,
    rows,
    cols,
    validCols,
    colOffset,
  });
  using sums = exchange ? await exchange.sums(ownSums) : ownSums;
  using losses = tape.empty({ shape: [rows], purpose: "scratch" });
  backend.run("crossEntropy", { max: max.buffer, sums: sums.buffer, losses: losses.buffer, rows });
  const ownLoss = tape.output("crossEntropy", { shape: [1], inputs: [logits], dtype: "f32" });
  if (validRows === 0) backend.run("fill", { y: ownLoss.buffer, n: 1, value: 0 });
  else {
    using partials = tape.empty({ shape: [reducePartials], purpose: "scratch" });
    backend.run("sum", {
      x: losses.buffer,
      partials: partials.buffer,
      y: ownLoss.buffer,
      n: validRows,
      scale,
      square: false,
      accumulate: false,
    });
  }
  const loss = exchange
    ? tape.outputOf("crossEntropy", { values: await exchange.loss(ownLoss), inputs: [logits] })
    : ownLoss;
  if (loss !== ownLoss) ownLoss.dispose();
  return tape.record({
    op: "crossEntropy",
    output: loss,
    saved: [logits, max, sums, targets],
    vjp: (dy, gradients) =>
      gradients.write(logits, (dx) =>
        backend.run("crossEntropyGrad", {
          x: logits.buffer,
          max: max.buffer,
          sums: sums.buffer,
          targets: targets.buffer,
          dy: dy.buffer,
          dx,
          rows,
          cols,
          validCols,
          colOffset,
          scale,
        }),
      ),
  });
}

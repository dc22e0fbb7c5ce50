// A sum over blocks of rows whose intermediates never exist all at once: the backward computes each block again, after the one before
// has left. For a head over a large vocabulary, whose logits are many times the model's activations.

import type { DeviceBuffer } from "../../backend/buffer.ts";
import { invariant } from "../../backend/errors.ts";
import { type Tape, tapeOf } from "../tape.ts";
import type { Tensor } from "../tensor.ts";

/** y[1] = sum over i < count of block(rows [i n, (i + 1) n) of x, i), each [1], with n = rows / count. Twice the forward work of `block` in
 *  training, a count-th of its memory. `block` may use parameters and constants, but of tapes' tensors only its argument.
 *  Chen et al., arXiv 1604.06174.
 *  @throws RangeError when count does not divide the rows */
export async function sumOverRows(
  x: Tensor,
  { count, block }: { count: number; block: (rows: Tensor, index: number) => Promise<Tensor> },
): Promise<Tensor> {
  const [rows, cols] = x.shape;
  if (!Number.isInteger(count) || count < 1 || rows % count !== 0)
    throw new RangeError(`sumOverRows: ${rows} rows do not divide into ${count} blocks; use a divisor of ${rows}`);
  const tape = tapeOf(x);
  const { backend } = tape;
  const words = (rows / count) * cols;
  const rowsOf = (inner: Tape, index: number) => {
    const part = inner.output("rows", { shape: [rows / count, cols], inputs: [x] });
    copyWords({ from: x.buffer, xOffset: index * words, to: part.buffer, yOffset: 0 });
    return part;
  };
  const copyWords = (o: { from: DeviceBuffer; xOffset: number; to: DeviceBuffer; yOffset: number }) =>
    backend.run("copy", {
      ...{ x: o.from, y: o.to, xOffset: o.xOffset, yOffset: o.yOffset },
      ...{ shape: [1, 1, 1, words], xStrides: [0, 0, 0, 1], yStrides: [0, 0, 0, 1] },
    });

  const y = tape.empty({ shape: [1], name: "sum over rows", requiresGrad: tape.recording && x.requiresGrad });
  for (let index = 0; index < count; index++)
    await tape.nested(false, async (inner) => {
      const term = { x: (await block(rowsOf(inner, index), index)).buffer, y: y.buffer, n: 1, alpha: 1 };
      backend.run(index === 0 ? "scale" : "axpy", term);
    });
  return tape.record({
    op: y.name,
    output: y,
    saved: [x],
    async vjp(dy, gradients) {
      using dx = tape.empty({ shape: x.shape, dtype: x.dtype, purpose: "scratch", name: `gradient of ${x.name}` });
      for (let index = 0; index < count; index++)
        await tape.nested(true, async (inner) => {
          const part = rowsOf(inner, index);
          const term = await block(part, index);
          // Only its place in the record is needed, not its value.
          term.dispose();
          await inner.backward(term, dy);
          const dpart = inner.gradient(part);
          invariant(dpart, "a block of rows that its sum does not depend on");
          copyWords({ from: dpart.buffer, xOffset: 0, to: dx.buffer, yOffset: index * words });
        });
      gradients.pass(x, dx);
    },
  });
}

// Mean loss over windows of text, without gradients.

import type { Model } from "../nn/model.ts";
import { Tape } from "../tensor/tape.ts";
import type { Windows } from "./corpus.ts";

/** Mean cross-entropy in nats a token over all of `windows`, `batch` sequences at a time. Windows of one length: an exact mean. */
export async function meanLoss(
  model: Model,
  options: { windows: Windows; context: number; batch: number; lossBlocks?: number },
): Promise<number> {
  const { windows, context, batch, lossBlocks } = options;
  let total = 0;
  for (let from = 0; from < windows.count; from += batch) {
    const count = Math.min(batch, windows.count - from);
    const part = (tokens: Int32Array) => tokens.subarray(from * context, (from + count) * context);
    using tape = new Tape(model.backend, { recording: false });
    const loss = await model.loss(tape, {
      tokens: part(windows.inputs),
      targets: part(windows.targets),
      sequence: { batch: count, tokens: context, offset: 0 },
      scale: 1 / (count * context),
      // The last few sequences may not divide as a batch does; then they are fewer than one, and so are their logits.
      lossBlocks: count === batch ? lossBlocks : 1,
    });
    total += (await loss.read())[0] * count;
  }
  return total / windows.count;
}

// Which tensor of a step went bad first: the step again, keeping every output and looking at each. Slow, and only
// run on the way to an error.

import type { Model } from "../nn/model.ts";
import { Tape } from "../tensor/tape.ts";
import type { Tensor } from "../tensor/tensor.ts";

const finite = async (tensor: Tensor): Promise<boolean> => (await tensor.read()).every(Number.isFinite);

/** The first weight, then op output in the order of the forward pass, then weight gradient, that holds a value that is not finite. */
export async function firstBadTensor(
  model: Model,
  forward: (tape: Tape) => Promise<Tensor>,
): Promise<string | undefined> {
  for (const parameter of model.parameters) if (!(await finite(parameter))) return parameter.name;
  const outputs: { name: string; kept: Tensor }[] = [];
  using keeper = new Tape(model.backend, { recording: false });
  using tape = new Tape(model.backend, {
    recording: true,
    observer: (op, output) => outputs.push({ name: op, kept: keeper.view(output) }),
  });
  const loss = await forward(tape);
  for (const { name, kept } of outputs) if (!(await finite(kept))) return `the output of ${name}`;
  for (const parameter of model.parameters) parameter.gradientFilled = false;
  await tape.backward(loss);
  for (const { gradient } of [...model.parameters].reverse())
    if (!(await finite(gradient))) return `the ${gradient.name}`;
  return undefined;
}

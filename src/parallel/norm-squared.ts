// The squares of all gradients of a rank, summed on its device: one kernel for many where the optimizer has joined them.

import { invariant } from "../backend/errors.ts";
import { reducePartials } from "../backend/kernels.ts";
import { type Parameter, scratch, type Tensor } from "../tensor/tensor.ts";

/** out[0] = sum over `parameters` of their gradient's squares, each divided by how many ranks have a copy. */
export function sumSquares(
  parameters: readonly Parameter[],
  { copies, out }: { copies: (parameter: Parameter) => number; out: Tensor },
): void {
  using partials = scratch(out, [reducePartials]);
  const left = new Set(parameters);
  let accumulate = false;
  for (const parameter of parameters) {
    if (!left.has(parameter)) continue;
    const { buffer, members } = parameter.joinedGradients ?? {
      buffer: parameter.gradient.buffer,
      members: [parameter],
    };
    for (const member of members)
      invariant(
        left.delete(member) && copies(member) === copies(parameter),
        `${member.name} is joined with ${parameter.name}, which is summed otherwise`,
      );
    out.backend.run("sum", {
      x: buffer,
      partials: partials.buffer,
      y: out.buffer,
      n: buffer.length,
      scale: 1 / copies(parameter),
      square: true,
      accumulate,
    });
    accumulate = true;
  }
}

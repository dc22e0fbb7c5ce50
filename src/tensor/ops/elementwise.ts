// Ops that work element by element, each beside its vjp.

import type { DeviceBuffer } from "../../backend/buffer.ts";
import type { DropoutArgs } from "../../backend/kernels.ts";
import { tapeOf } from "../tape.ts";
import type { Tensor } from "../tensor.ts";

/** y = a + b. da = db = dy, without a copy. */
export function add(a: Tensor, b: Tensor): Tensor {
  const tape = tapeOf(a, b);
  const y = tape.output("add", { shape: a.shape, inputs: [a, b] });
  tape.backend.run("add", { a: a.buffer, b: b.buffer, y: y.buffer, n: a.size });
  return tape.record({
    op: "add",
    output: y,
    saved: [],
    vjp(dy, gradients) {
      gradients.pass(a, dy);
      gradients.pass(b, dy);
    },
  });
}

/** y = alpha x. */
export function scale(x: Tensor, alpha: number): Tensor {
  const tape = tapeOf(x);
  const y = tape.output("scale", { shape: x.shape, inputs: [x] });
  tape.backend.run("scale", { x: x.buffer, y: y.buffer, n: x.size, alpha });
  return tape.record({
    op: "scale",
    output: y,
    saved: [],
    vjp: (dy, gradients) =>
      gradients.write(x, (dx) => tape.backend.run("scale", { x: dy.buffer, y: dx, n: x.size, alpha })),
  });
}

/** "tanh" is Hugging Face's gelu_new, "exact" its gelu. arXiv 1606.08415. */
export function gelu(x: Tensor, form: "tanh" | "exact"): Tensor {
  const tape = tapeOf(x);
  const y = tape.output("gelu", { shape: x.shape, inputs: [x] });
  tape.backend.run("gelu", { x: x.buffer, y: y.buffer, n: x.size, form });
  return tape.record({
    op: "gelu",
    output: y,
    saved: [x],
    vjp: (dy, gradients) =>
      gradients.write(x, (dx) => tape.backend.run("geluGrad", { x: x.buffer, dy: dy.buffer, dx, n: x.size, form })),
  });
}

/** y[rows, f] = silu(gate) up from x [rows, 2 f] whose columns alternate gate, up. arXiv 2002.05202. */
export function siluGate(x: Tensor): Tensor {
  const [rows, twice] = x.shape;
  const tape = tapeOf(x);
  const n = (rows * twice) / 2;
  const y = tape.output("siluGate", { shape: [rows, twice / 2], inputs: [x] });
  tape.backend.run("siluGate", { x: x.buffer, y: y.buffer, n });
  return tape.record({
    op: "siluGate",
    output: y,
    saved: [x],
    vjp: (dy, gradients) =>
      gradients.write(x, (dx) => tape.backend.run("siluGateGrad", { x: x.buffer, dy: dy.buffer, dx, n })),
  });
}

/** Drops elements by their place in the whole [rows, cols] matrix of which x is the block at (rowOffset, colOffset). The backward is
 *  the same mask on dy, so nothing is saved. */
export function dropout(x: Tensor, options: DropoutArgs & { rowOffset: number; colOffset: number }): Tensor {
  const [rows, cols] = x.shape;
  const tape = tapeOf(x);
  const y = tape.output("dropout", { shape: x.shape, inputs: [x] });
  const mask = (from: DeviceBuffer, to: DeviceBuffer) =>
    tape.backend.run("dropout", {
      x: from,
      y: to,
      rows,
      cols,
      rowOffset: options.rowOffset,
      colOffset: options.colOffset,
      probability: options.probability,
      seed: options.seed,
      stream: options.stream,
      step: options.step,
    });
  mask(x.buffer, y.buffer);
  return tape.record({
    op: "dropout",
    output: y,
    saved: [],
    vjp: (dy, gradients) => gradients.write(x, (dx) => mask(dy.buffer, dx)),
  });
}

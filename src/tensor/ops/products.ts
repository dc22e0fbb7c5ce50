// Matrix products, the only op whose backward is itself. Shapes: x [m, k], w [k, n], y [m, n].

import type { DeviceBuffer } from "../../backend/buffer.ts";
import { tapeOf } from "../tape.ts";
import type { Tensor } from "../tensor.ts";

/** Which operand is stored transposed: "nn" y = x w, "nt" y = x wT (w is [n, k]), "tn" y = xT w (x is [k, m]). */
export type ProductForm = "nn" | "nt" | "tn";

interface Operands {
  a: Tensor;
  b: Tensor;
  y: DeviceBuffer;
  bias: Tensor | undefined;
  m: number;
  n: number;
  k: number;
  form: ProductForm;
  accumulate: boolean;
}

/** y[m, n] = x w (+ bias[n]) in the given form.
 *  @throws RangeError when the inner extents differ */
export function matmul(x: Tensor, w: Tensor, options: { form: ProductForm; bias?: Tensor; name?: string }): Tensor {
  const { form, bias } = options;
  const [m, k] = form === "tn" ? [x.shape[1], x.shape[0]] : x.shape;
  const [n, inner] = form === "nt" ? w.shape : [w.shape[1], w.shape[0]];
  if (k !== inner || x.shape.length !== 2 || w.shape.length !== 2)
    throw new RangeError(`matmul ${form}: [${x.shape}] and [${w.shape}] do not share their inner extent`);
  const tape = tapeOf(x, w);
  const y = tape.output(options.name ?? "matmul", { shape: [m, n], inputs: [x, w, bias] });
  const product = (o: Operands) =>
    tape.backend.run("matmul", {
      a: o.a.buffer,
      b: o.b.buffer,
      y: o.y,
      bias: o.bias?.buffer,
      batch: 1,
      m: o.m,
      n: o.n,
      k: o.k,
      transposeA: o.form === "tn",
      transposeB: o.form === "nt",
      accumulate: o.accumulate,
    });
  product({ a: x, b: w, y: y.buffer, bias, m, n, k, form, accumulate: false });
  return tape.record({
    op: y.name,
    output: y,
    saved: [x, w],
    vjp(dy, gradients) {
      // nn: dx = dy wT, dw = xT dy.   nt: dx = dy w, dw = dyT x.   tn: dx = w dyT, dw = x dy.
      gradients.accumulate(x, (y, accumulate) => {
        const bias = undefined;
        if (form === "nn") product({ a: dy, b: w, y, bias, m, n: k, k: n, form: "nt", accumulate });
        else if (form === "nt") product({ a: dy, b: w, y, bias, m, n: k, k: n, form: "nn", accumulate });
        else product({ a: w, b: dy, y, bias, m: k, n: m, k: n, form: "nt", accumulate });
      });
      gradients.accumulate(w, (y, accumulate) => {
        const bias = undefined;
        if (form === "nn") product({ a: x, b: dy, y, bias, m: k, n, k: m, form: "tn", accumulate });
        else if (form === "nt") product({ a: dy, b: x, y, bias, m: n, n: k, k: m, form: "tn", accumulate });
        else product({ a: x, b: dy, y, bias, m: k, n, k: m, form: "nn", accumulate });
      });
      if (bias)
        gradients.accumulate(bias, (db, accumulate) =>
          tape.backend.run("columnSum", { x: dy.buffer, y: db, rows: m, cols: n, accumulate }),
        );
    },
  });
}

// Matrix products, the only op whose backward is itself. Shapes: x [m, k], w [k, n], y [m, n].

import { tapeOf } from "../tape.ts";
import type { Tensor } from "../tensor.ts";

/** Which operand is stored transposed: "nn" y = x w, "nt" y = x wT (w is [n, k]), "tn" y = xT w (x is [k, m]). */
export type ProductForm = "nn" | "nt" | "tn";

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
  const product = (a: Tensor, b: Tensor, sizes: { m: number; n: number; k: number; form: ProductForm }) => ({
    a: a.buffer,
    b: b.buffer,
    batch: 1,
    m: sizes.m,
    n: sizes.n,
    k: sizes.k,
    transposeA: sizes.form === "tn",
    transposeB: sizes.form === "nt",
  });
  tape.backend.run("matmul", {
    ...product(x, w, { m, n, k, form }),
    y: y.buffer,
    bias: bias?.buffer,
    accumulate: false,
  });
  return tape.record({
    op: y.name,
    output: y,
    saved: [x, w],
    vjp(dy, gradients) {
      // nn: dx = dy wT, dw = xT dy.   nt: dx = dy w, dw = dyT x.   tn: dx = w dyT, dw = x dy.
      gradients.accumulate(x, (dx, accumulate) => {
        const args =
          form === "nn"
            ? product(dy, w, { m, n: k, k: n, form: "nt" })
            : form === "nt"
              ? product(dy, w, { m, n: k, k: n, form: "nn" })
              : product(w, dy, { m: k, n: m, k: n, form: "nt" });
        tape.backend.run("matmul", { ...args, y: dx, accumulate });
      });
      gradients.accumulate(w, (dw, accumulate) => {
        const args =
          form === "nn"
            ? product(x, dy, { m: k, n, k: m, form: "tn" })
            : form === "nt"
              ? product(dy, x, { m: n, n: k, k: m, form: "tn" })
              : product(x, dy, { m: k, n, k: m, form: "nn" });
        tape.backend.run("matmul", { ...args, y: dw, accumulate });
      });
      if (bias)
        gradients.accumulate(bias, (db, accumulate) =>
          tape.backend.run("columnSum", { x: dy.buffer, y: db, rows: m, cols: n, accumulate }),
        );
    },
  });
}

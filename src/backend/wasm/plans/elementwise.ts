// Plans of elementwise sums and of strided copies.

import { type Plans, vectors } from "../plan.ts";

/** Nanoseconds of a vector of four. */
const cost = 1;
/** Elements of a run that are copied in one piece. */
const piece = 8192;

type Four = [number, number, number, number];

export const elementwisePlans: Pick<
  Plans,
  "add" | "axpy" | "maximum" | "scale" | "fill" | "packHalf" | "unpackHalf" | "copy"
> = {
  add({ a, b, y, n }, places) {
    return [{ run: "add", args: [places.at(a), places.at(b), places.at(y), n], items: vectors(n), cost }];
  },

  axpy({ x, y, n, alpha }, places) {
    return [{ run: "axpy", args: [places.at(x), places.at(y), n, alpha], items: vectors(n), cost }];
  },

  maximum({ x, y, n }, places) {
    return [{ run: "maximum", args: [places.at(x), places.at(y), n], items: vectors(n), cost }];
  },

  scale({ x, y, n, alpha }, places) {
    return [{ run: "scale", args: [places.at(x), places.at(y), n, alpha], items: vectors(n), cost }];
  },

  fill({ y, n, value }, places) {
    return [{ run: "fill", args: [places.at(y), n, value], items: vectors(n), cost }];
  },

  packHalf({ x, y, n }, places) {
    return [{ run: "packHalf", args: [places.at(x), places.at(y), n], items: vectors(n), cost: 2 }];
  },

  unpackHalf({ x, y, n }, places) {
    return [{ run: "unpackHalf", args: [places.at(x), places.at(y), n], items: vectors(n), cost: 2 }];
  },

  copy({ x, y, xOffset, yOffset, ...rest }, places) {
    const { shape, xStrides, yStrides } = joined(rest);
    const contiguous = xStrides[3] === 1 && yStrides[3] === 1;
    const from = places.at(x) + 4 * xOffset;
    const to = places.at(y) + 4 * yOffset;
    const pieces = shape[0] * shape[1] * shape[2] * Math.ceil(shape[3] / piece);
    const each = 10 + Math.min(shape[3], piece) * (contiguous ? cost / 4 : 2);
    return [{ run: "copy", args: [from, to, ...shape, ...xStrides, ...yStrides, piece], items: pieces, cost: each }];
  },
};

/** The same copy with its longest runs innermost: dims that follow on each other in x and in y become one. */
function joined({ shape, xStrides, yStrides }: Record<"shape" | "xStrides" | "yStrides", Readonly<Four>>) {
  const from = { shape: [1, 1, 1, 1] as Four, xStrides: [0, 0, 0, 0] as Four, yStrides: [0, 0, 0, 0] as Four };
  let to = 3;
  from.shape[3] = shape[3];
  from.xStrides[3] = xStrides[3];
  from.yStrides[3] = yStrides[3];
  for (let dim = 2; dim >= 0; dim--) {
    if (shape[dim] === 1) continue;
    const follows =
      xStrides[dim] === from.shape[to] * from.xStrides[to] && yStrides[dim] === from.shape[to] * from.yStrides[to];
    if (from.shape[to] === 1 || follows) {
      if (from.shape[to] === 1) {
        from.xStrides[to] = xStrides[dim];
        from.yStrides[to] = yStrides[dim];
      }
      from.shape[to] *= shape[dim];
      continue;
    }
    to--;
    from.shape[to] = shape[dim];
    from.xStrides[to] = xStrides[dim];
    from.yStrides[to] = yStrides[dim];
  }
  return from;
}

// Plans of the elementwise kernels and of the strided copy.

import type { KernelArgs } from "../../kernels.ts";
import type { Plans } from "../plan.ts";
import { overElements, overRows } from "./grids.ts";

interface Dim {
  extent: number;
  x: number;
  y: number;
}

/** The copy's dims, outermost first by the stride it writes with; dims that run on in both buffers are made one. Always four. */
function mergedDims({ shape, xStrides, yStrides }: KernelArgs["copy"]): [Dim, Dim, Dim, Dim] {
  const dims = shape
    .map((extent, d): Dim => ({ extent, x: xStrides[d], y: yStrides[d] }))
    .filter(({ extent }) => extent !== 1)
    .sort((a, b) => b.y - a.y);
  const merged: Dim[] = [];
  for (const dim of dims) {
    const outer = merged.at(-1);
    if (outer && outer.x === dim.x * dim.extent && outer.y === dim.y * dim.extent)
      merged[merged.length - 1] = { ...dim, extent: outer.extent * dim.extent };
    else merged.push(dim);
  }
  while (merged.length < 4) merged.unshift({ extent: 1, x: 0, y: 0 });
  return merged as [Dim, Dim, Dim, Dim];
}

const floatBits = (value: number) => new Uint32Array(Float32Array.of(value).buffer)[0];

export const elementwisePlans: Pick<
  Plans,
  "add" | "axpy" | "maximum" | "scale" | "fill" | "packHalf" | "unpackHalf" | "copy"
> = {
  add: ({ a, b, y, n }, device) => [{ shader: "add", buffers: { a, b, y }, params: { n }, ...overElements(n, device) }],

  axpy: ({ x, y, n, alpha }, device) => [
    { shader: "axpy", buffers: { x, y }, params: { n, alpha }, ...overElements(n, device) },
  ],

  maximum: ({ x, y, n }, device) => [
    { shader: "maximum", buffers: { x, y }, params: { n }, ...overElements(n, device) },
  ],

  scale: ({ x, y, n, alpha }, device) => [
    { shader: "scale", buffers: { x, y }, params: { n, alpha }, ...overElements(n, device) },
  ],

  fill({ y, n, value }, device) {
    const { constants, workgroups } = overElements(n, device);
    return [
      {
        shader: "fill",
        constants: { ...constants, HALF: y.dtype === "f16" },
        buffers: { y },
        params: { n, bits: y.dtype === "i32" ? value >>> 0 : floatBits(value) },
        workgroups,
      },
    ];
  },

  packHalf: ({ x, y, n }, device) => [
    { shader: "packHalf", buffers: { x, y }, params: { n }, ...overElements(Math.ceil(n / 2), device) },
  ],

  unpackHalf: ({ x, y, n }, device) => [
    { shader: "unpackHalf", buffers: { x, y }, params: { n }, ...overElements(n, device) },
  ],

  copy({ x, y, xOffset, yOffset, ...strided }, device) {
    const [d0, d1, d2, d3] = mergedDims({ x, y, xOffset, yOffset, ...strided });
    const rows = d0.extent * d1.extent * d2.extent;
    return [
      {
        shader: "copy",
        buffers: { x, y },
        params: {
          rows,
          cols: d3.extent,
          dim1: d1.extent,
          dim2: d2.extent,
          xStride0: d0.x,
          xStride1: d1.x,
          xStride2: d2.x,
          xStride3: d3.x,
          xOffset,
          yStride0: d0.y,
          yStride1: d1.y,
          yStride2: d2.y,
          yStride3: d3.y,
          yOffset,
        },
        ...overRows({ rows, steps: d3.extent }, device),
      },
    ];
  },
};

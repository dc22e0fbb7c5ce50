// Elementwise kernels and copies: one rounding where something is computed, exact where nothing is.

import { test } from "uvu";
import { expected, gamma, smallest, unit } from "./bounds.ts";
import { assertSame, assertWithin } from "./compare.ts";
import { blank, closeBackend, compute, manyGroups } from "./harness.ts";
import { integers, normal } from "./oracle/random.ts";

const once = (value: number) => ({ value, error: unit * Math.abs(value) + smallest });

for (const n of [1, 2, 3, 5, 64, 255, 257, 1028, 100_001]) {
  test(`add, axpy, scale of ${n}: each within its roundings`, async () => {
    const a = normal(n, { seed: 101 });
    const b = normal(n, { seed: 102, deviation: 100 });
    const added = await compute("add", { a, b, y: blank(n), n });
    assertWithin(
      added.y,
      expected(n, (i) => once(a[i] + b[i])),
      "add",
    );
    const alpha = -0.7;
    // alpha reaches the kernel rounded, a product, a sum
    const scaled = await compute("scale", { x: a, y: blank(n), n, alpha });
    assertWithin(
      scaled.y,
      expected(n, (i) => ({ value: alpha * a[i], error: gamma(2) * Math.abs(alpha * a[i]) + smallest })),
      "scale",
    );
    const summed = await compute("axpy", { x: a, y: b, n, alpha });
    const axpy = expected(n, (i) => {
      const value = b[i] + alpha * a[i];
      return { value, error: gamma(3) * Math.abs(alpha * a[i]) + unit * Math.abs(value) + smallest };
    });
    assertWithin(summed.y, axpy, "axpy");
  });
  test(`maximum of ${n}: exact`, async () => {
    const [x, y0] = [normal(n, { seed: 107 }), normal(n, { seed: 108 })];
    const { y } = await compute("maximum", { x, y: y0, n });
    assertSame(
      y,
      y0.map((e, i) => Math.max(e, x[i])),
      "y",
    );
  });
  test(`fill of ${n}: exact`, async () => {
    const { y } = await compute("fill", { y: blank(n), n, value: -1.5 });
    assertSame(y, new Float32Array(n).fill(-1.5), "y");
  });
}

test("add, axpy, maximum, scale of 16776965 and fill: exact, beyond 65535 workgroups of 256", async () => {
  const n = 65535 * 256 + 5;
  const x = Float32Array.from({ length: n }, (_, i) => i % 4099);
  const { y: added } = await compute("add", { a: x, b: x, y: blank(n), n });
  assertSame(
    added,
    x.map((e) => 2 * e),
    "add",
  );
  const { y: scaled } = await compute("scale", { x, y: blank(n), n, alpha: -0.5 });
  assertSame(
    scaled.map((e) => e + 0),
    x.map((e) => -0.5 * e + 0),
    "scale",
  );
  const { y: summed } = await compute("axpy", { x, y: added, n, alpha: 2 });
  assertSame(
    summed,
    x.map((e) => 4 * e),
    "axpy",
  );
  const other = x.map((e, i) => (i % 7 < 3 ? 2 * e : 0.5 * e));
  const { y: larger } = await compute("maximum", { x, y: other, n });
  assertSame(
    larger,
    other.map((e, i) => (i % 7 < 3 ? e : x[i])),
    "maximum",
  );
  const { y: filled } = await compute("fill", { y: blank(n), n, value: 7 });
  assertSame(filled, new Float32Array(n).fill(7), "fill");
});

test("add, scale, axpy and maximum touch only the first n elements of longer buffers", async () => {
  const [a, b, y0] = [normal(40, { seed: 103 }), normal(40, { seed: 104 }), normal(40, { seed: 105 })];
  const n = 21;
  assertSame((await compute("add", { a, b, y: y0, n })).y.subarray(n), y0.subarray(n), "add");
  assertSame((await compute("scale", { x: a, y: y0, n, alpha: 3 })).y.subarray(n), y0.subarray(n), "scale");
  assertSame((await compute("axpy", { x: a, y: y0, n, alpha: 3 })).y.subarray(n), y0.subarray(n), "axpy");
  assertSame((await compute("maximum", { x: a, y: y0, n })).y.subarray(n), y0.subarray(n), "maximum");
  assertSame((await compute("fill", { y: y0, n, value: 3 })).y.subarray(n), y0.subarray(n), "fill");
});

test("add, scale, axpy: infinities and NaN follow IEEE 754", async () => {
  const a = Float32Array.of(1, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, Number.NaN, 2);
  const b = Float32Array.of(1, 1, Number.NEGATIVE_INFINITY, 1, Number.NEGATIVE_INFINITY);
  assertWithin(
    (await compute("add", { a, b, y: blank(5), n: 5 })).y,
    expected(5, (i) => once(a[i] + b[i])),
    "add",
  );
  assertWithin(
    (await compute("scale", { x: a, y: blank(5), n: 5, alpha: -2 })).y,
    expected(5, (i) => once(-2 * a[i])),
    "scale",
  );
  assertWithin(
    (await compute("axpy", { x: a, y: b, n: 5, alpha: 2 })).y,
    expected(5, (i) => once(b[i] + 2 * a[i])),
    "axpy",
  );
});

test("maximum on 65537 workgroups, more than one dimension of a grid has: exact", async () => {
  const n = manyGroups.elements;
  const [x, y0] = [normal(n, { seed: 109 }), normal(n, { seed: 110 })];
  const { y } = await compute("maximum", { x, y: y0, n }, { groups: manyGroups });
  assertSame(
    y,
    y0.map((e, i) => Math.max(e, x[i])),
    "y",
  );
});

test("maximum: a NaN in either stays NaN, and infinities are the largest and the smallest", async () => {
  const [nan, inf] = [Number.NaN, Number.POSITIVE_INFINITY];
  const special = [nan, inf, -inf, -3.4e38, -1.5, 0, 2, 3.4e38];
  const x = Float32Array.from(special.flatMap((e) => special.map(() => e)));
  const y0 = Float32Array.from(special.flatMap(() => special));
  const { y } = await compute("maximum", { x, y: y0, n: x.length });
  assertWithin(
    y,
    // Math.max, too, gives NaN where either is
    expected(x.length, (i) => ({ value: Math.max(x[i], y0[i]), error: 0 })),
    "y",
  );
});

type Four = readonly [number, number, number, number];
interface Copy {
  name: string;
  shape: Four;
  xStrides: Four;
  yStrides: Four;
  xOffset?: number;
  yOffset?: number;
}
const copies: Copy[] = [
  { name: "one element", shape: [1, 1, 1, 1], xStrides: [0, 0, 0, 0], yStrides: [0, 0, 0, 0], xOffset: 3, yOffset: 2 },
  { name: "contiguous 1031", shape: [1, 1, 1, 1031], xStrides: [0, 0, 0, 1], yStrides: [0, 0, 0, 1] },
  {
    name: "contiguous 64x64 at offsets 4",
    shape: [1, 1, 64, 64],
    xStrides: [0, 0, 64, 1],
    yStrides: [0, 0, 64, 1],
    xOffset: 4,
    yOffset: 4,
  },
  {
    name: "column slice 33x20 of 33x65",
    shape: [1, 1, 33, 20],
    xStrides: [0, 0, 65, 1],
    yStrides: [0, 0, 20, 1],
    xOffset: 7,
  },
  {
    name: "into columns of a concatenation",
    shape: [1, 1, 9, 12],
    xStrides: [0, 0, 12, 1],
    yStrides: [0, 0, 40, 1],
    yOffset: 28,
  },
  { name: "transpose 35x67", shape: [1, 1, 67, 35], xStrides: [0, 0, 1, 67], yStrides: [0, 0, 35, 1] },
  { name: "permute [2,3,5,7] to [2,5,3,7]", shape: [2, 5, 3, 7], xStrides: [105, 7, 35, 1], yStrides: [105, 21, 7, 1] },
  {
    name: "permute [3,4,8,16] to [16,8,4,3]",
    shape: [16, 8, 4, 3],
    xStrides: [1, 16, 128, 512],
    yStrides: [96, 12, 3, 1],
  },
  { name: "broadcast of a row to 13 rows", shape: [1, 1, 13, 31], xStrides: [0, 0, 0, 1], yStrides: [0, 0, 31, 1] },
  { name: "every third element", shape: [1, 1, 1, 50], xStrides: [0, 0, 0, 3], yStrides: [0, 0, 0, 1], xOffset: 1 },
  { name: "70001 outer indices", shape: [70001, 1, 1, 3], xStrides: [4, 0, 0, 1], yStrides: [3, 0, 0, 1] },
  { name: "16776965 elements", shape: [1, 1, 1, 65535 * 256 + 5], xStrides: [0, 0, 0, 1], yStrides: [0, 0, 0, 1] },
];

const reach = (shape: Four, strides: Four): number => shape.reduce((p, extent, d) => p + (extent - 1) * strides[d], 1);

for (const { name, shape, xStrides, yStrides, xOffset = 0, yOffset = 0 } of copies) {
  test(`copy, ${name}: exact, the rest of y untouched`, async () => {
    const x = integers(reach(shape, xStrides) + xOffset, { seed: 106, below: 1 << 24 });
    const from = Float32Array.from(x);
    const y0 = new Float32Array(reach(shape, yStrides) + yOffset).fill(-1);
    const { y } = await compute("copy", { x: from, y: y0, shape, xStrides, yStrides, xOffset, yOffset });
    const wanted = y0.slice();
    const [s0, s1, s2, s3] = shape;
    for (let i0 = 0; i0 < s0; i0++)
      for (let i1 = 0; i1 < s1; i1++)
        for (let i2 = 0; i2 < s2; i2++)
          for (let i3 = 0; i3 < s3; i3++) {
            const at = (strides: Four) => i0 * strides[0] + i1 * strides[1] + i2 * strides[2] + i3 * strides[3];
            wanted[yOffset + at(yStrides)] = from[xOffset + at(xStrides)];
          }
    assertSame(y, wanted, "y");
  });
}

test("copy keeps every bit: negative zero, denormals, infinities, NaN", async () => {
  const x = Float32Array.of(-0, 1e-45, -1e-39, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN, 0, 1);
  const { y } = await compute("copy", {
    ...{ x, y: new Float32Array(8), shape: [1, 1, 1, 8], xOffset: 0, yOffset: 0 },
    ...{ xStrides: [0, 0, 0, 1], yStrides: [0, 0, 0, 1] },
  });
  assertSame(y, x, "y");
});

test.after(closeBackend);
test.run();

// Products against f64: every form, tile edges, limits of the grid.

import { test } from "uvu";
import { assertWithin } from "./compare.ts";
import { blank, closeBackend, compute } from "./harness.ts";
import type { Product } from "./oracle/products.ts";
import { product } from "./oracle/products.ts";
import { normal } from "./oracle/random.ts";

const forms = [
  { name: "NN", transposeA: false, transposeB: false },
  { name: "NT", transposeA: false, transposeB: true },
  { name: "TN", transposeA: true, transposeB: false },
];

async function check(shape: Product & { accumulate: boolean; withBias: boolean }): Promise<void> {
  const { batch, m, n, k, accumulate, withBias } = shape;
  const a = normal(batch * m * k, { seed: 1 });
  const b = normal(batch * k * n, { seed: 2 });
  const bias = withBias ? normal(n, { seed: 3 }) : undefined;
  const y0 = accumulate ? normal(batch * m * n, { seed: 4 }) : undefined;
  const { withBias: _, ...args } = shape;
  const { y } = await compute("matmul", { ...args, a, b, y: y0 ?? blank(batch * m * n), ...(bias ? { bias } : {}) });
  assertWithin(y, product(a, b, { ...shape, bias, y0 }), "y");
}

const uneven = [
  { batch: 1, m: 1, n: 1, k: 1 },
  { batch: 3, m: 33, n: 7, k: 129 },
  { batch: 1, m: 1, n: 131, k: 67 },
  { batch: 1, m: 67, n: 1, k: 35 },
  { batch: 2, m: 5, n: 66, k: 1 },
  { batch: 1, m: 65, n: 130, k: 17 },
  { batch: 1, m: 3, n: 5, k: 1030 },
  { batch: 5, m: 2, n: 3, k: 2 },
];
const aligned = [
  { batch: 1, m: 4, n: 4, k: 4 },
  { batch: 2, m: 8, n: 12, k: 32 },
  { batch: 1, m: 64, n: 64, k: 64 },
  { batch: 1, m: 68, n: 132, k: 36 },
  { batch: 3, m: 32, n: 68, k: 128 },
  { batch: 1, m: 1, n: 256, k: 384 },
  { batch: 1, m: 768, n: 100, k: 8 },
  { batch: 1, m: 12, n: 8, k: 2052 },
  { batch: 1, m: 7, n: 132, k: 260 },
];
/** One extent off a multiple of 4 at a time: a vec4 path may look at any of the three. Large ones too: a
 *  kernel that is slow to compile may be left to them. */
const mixed = [
  { batch: 2, m: 63, n: 64, k: 32 },
  { batch: 2, m: 64, n: 61, k: 32 },
  { batch: 2, m: 64, n: 64, k: 30 },
  { batch: 1, m: 250, n: 65, k: 132 },
  { batch: 2, m: 89, n: 91, k: 131 },
];

for (const { name, transposeA, transposeB } of forms) {
  for (const size of [...uneven, ...aligned, ...mixed]) {
    const title = `matmul ${name} ${size.m}x${size.n}x${size.k}, batch ${size.batch}`;
    const form = { ...size, transposeA, transposeB };
    test(`${title}: within gamma(k) |a||b| of f64, with and without bias`, async () => {
      await check({ ...form, accumulate: false, withBias: false });
      await check({ ...form, accumulate: false, withBias: true });
    });
    test(`${title}, accumulate: within gamma(k) |a||b| of f64, with and without bias`, async () => {
      await check({ ...form, accumulate: true, withBias: false });
      await check({ ...form, accumulate: true, withBias: true });
    });
  }
}

// What is large enough for the widest tiles, and for matrices to be packed first: every form, then none, one or two of them by extents.
for (const { name, transposeA, transposeB } of forms) {
  const form = { batch: 1, transposeA, transposeB };
  test(`matmul ${name} 332x460x444, batch 2: within gamma(k) |a||b| of f64`, () =>
    check({ ...form, batch: 2, m: 332, n: 460, k: 444, accumulate: false, withBias: true }));
  for (const [m, n, k] of [
    [303, 517, 463],
    [325, 449, 452],
    [325, 452, 452],
  ])
    test(`matmul ${name} ${m}x${n}x${k}, accumulate: within gamma(k) |a||b| of f64`, () =>
      check({ ...form, m, n, k, accumulate: true, withBias: false }));
}

for (const { name, transposeA, transposeB } of forms) {
  test(`matmul ${name} 2097161x1x2: more rows than 65535 workgroups of 32 take`, async () => {
    await check({
      batch: 1,
      m: 65535 * 32 + 41,
      n: 1,
      k: 2,
      transposeA,
      transposeB,
      accumulate: false,
      withBias: false,
    });
  });
  test(`matmul ${name} 1x2097160x1: more columns than 65535 workgroups of 32 take`, async () => {
    await check({
      batch: 1,
      m: 1,
      n: 65535 * 32 + 40,
      k: 1,
      transposeA,
      transposeB,
      accumulate: false,
      withBias: false,
    });
  });
  test(`matmul ${name} 1x2x3, batch 65537: more samples than a grid has layers`, async () => {
    await check({ batch: 65537, m: 1, n: 2, k: 3, transposeA, transposeB, accumulate: false, withBias: false });
  });
}

test("matmul NN 5x9x13: an infinity reaches its row, a NaN its column, and no other element", async () => {
  const [m, n, k] = [5, 9, 13];
  const a = normal(m * k, { seed: 5 });
  const b = normal(k * n, { seed: 6 });
  a[2 * k + 4] = Number.POSITIVE_INFINITY;
  b[7 * n + 3] = Number.NaN;
  const { y } = await compute("matmul", {
    ...{ a, b, y: blank(m * n), batch: 1, m, n, k },
    ...{ transposeA: false, transposeB: false, accumulate: false },
  });
  assertWithin(y, product(a, b, { batch: 1, m, n, k, transposeA: false, transposeB: false }), "y");
});

test.after(closeBackend);
test.run();

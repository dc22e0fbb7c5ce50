// Reductions against f64.

import { test } from "uvu";
import { reducePartials } from "../../src/backend/kernels.ts";
import { assertSame, assertWithin } from "./compare.ts";
import { blank, closeBackend, compute } from "./harness.ts";
import { normal } from "./oracle/random.ts";
import { columnSum, sum } from "./oracle/reduce.ts";

const runSum = (x: Float32Array, c: { scale: number; square: boolean; y0?: number }) =>
  compute("sum", {
    ...{ x, partials: blank(reducePartials), n: x.length, scale: c.scale, square: c.square },
    ...(c.y0 === undefined ? { y: blank(1), accumulate: false } : { y: Float32Array.of(c.y0), accumulate: true }),
  });

for (const n of [1, 2, 3, 255, 256, 257, 65_537, 1_000_003]) {
  test(`sum of ${n}, plain and square, fresh and accumulated: within gamma(n) of f64`, async () => {
    const x = normal(n, { seed: 81, mean: 0.1 });
    for (const square of [false, true]) {
      for (const y0 of [undefined, 2.75]) {
        const c = { scale: 1 / 3, square, y0 };
        assertWithin((await runSum(x, c)).y, sum(x, c), `sum, square ${square}, y0 ${y0}`);
      }
    }
  });
}

test("sum of 17000003 ones: exact, beyond 65535 workgroups of 256", async () => {
  const n = 17_000_003;
  const { y } = await runSum(new Float32Array(n).fill(1), { scale: 1, square: false });
  // an order of addition that keeps partial sums below 2^24 rounds only where they meet: 1 in 2^24 each
  assertWithin(y, sum(new Float32Array(n).fill(1), { scale: 1, square: false }), "sum");
});

test("sum: the same bits in every run", async () => {
  const x = normal(100_003, { seed: 82 });
  const first = await runSum(x, { scale: 1, square: true });
  for (let i = 0; i < 3; i++) assertSame((await runSum(x, { scale: 1, square: true })).y, first.y, "sum");
});

test("sum: a NaN or an infinity anywhere reaches the result", async () => {
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
    for (const at of [0, 511, 1000]) {
      const x = normal(1001, { seed: 83 });
      x[at] = bad;
      for (const square of [false, true]) {
        const { y } = await runSum(x, { scale: 1, square });
        if (!Object.is(y[0], bad)) throw new Error(`${bad} at ${at} gave ${y[0]}`);
      }
    }
  }
});

for (const [rows, cols] of [
  [1, 1],
  [1, 133],
  [7, 33],
  [65, 64],
  [64, 68],
  [129, 1],
  [1000, 5],
  [70_003, 3],
  [2, 65_535 * 64 + 3],
]) {
  test(`columnSum ${rows}x${cols}, fresh and accumulated: within gamma(rows) of f64`, async () => {
    const x = normal(rows * cols, { seed: 84 });
    const y0 = normal(cols, { seed: 85 });
    const fresh = await compute("columnSum", { x, y: blank(cols), rows, cols, accumulate: false });
    assertWithin(fresh.y, columnSum(x, { rows, cols }), "y");
    const added = await compute("columnSum", { x, y: y0, rows, cols, accumulate: true });
    assertWithin(added.y, columnSum(x, { rows, cols, y0 }), "y, accumulate");
  });
}

test("columnSum: a NaN stays in its column", async () => {
  const x = normal(9 * 70, { seed: 86 });
  x[4 * 70 + 65] = Number.NaN;
  const { y } = await compute("columnSum", { x, y: blank(70), rows: 9, cols: 70, accumulate: false });
  assertWithin(y, columnSum(x, { rows: 9, cols: 70 }), "y");
});

test.after(closeBackend);
test.run();

// Dropout: the mask is exact, the kept elements are scaled, a block of the whole has the whole's mask.

import { test } from "uvu";
import { expected, gamma, smallest } from "./bounds.ts";
import { assertSame, assertWithin } from "./compare.ts";
import { blank, closeBackend, compute } from "./harness.ts";
import { keeps } from "./oracle/philox.ts";
import { normal } from "./oracle/random.ts";

const key = { seed: 0xdeadbeef, stream: 0xffffffff, step: 123456 };

async function dropped(
  x: Float32Array,
  c: { rows: number; cols: number; rowOffset: number; colOffset: number; probability: number },
) {
  return (await compute("dropout", { ...key, ...c, x, y: blank(c.rows * c.cols) })).y;
}

for (const [rows, cols, rowOffset, colOffset, probability] of [
  [1, 1, 0, 0, 0.5],
  [7, 33, 0, 0, 0.1],
  [16, 64, 0, 0, 0.9],
  [33, 65, 1000, 3, 0.25],
  [5, 130, 4_000_000_000, 70_001, 0.2],
  [12, 68, 3, 8, 0.999],
  [3, 5, 2, 1, 0],
  [65539, 2, 1, 1, 0.5],
]) {
  test(`dropout ${probability} of ${rows}x${cols} at (${rowOffset}, ${colOffset}): exactly the catalogue's elements, scaled by 1/(1-p)`, async () => {
    // no zero among the inputs: an element that comes out zero was dropped
    const x = normal(rows * cols, { seed: 51 }).map((e) => e + Math.sign(e) || 1);
    const kept = keeps({ ...key, probability });
    const y = await dropped(x, { rows, cols, rowOffset, colOffset, probability });
    const wanted = expected(x.length, (i) => {
      if (!kept(Math.floor(i / cols) + rowOffset, (i % cols) + colOffset)) return { value: 0, error: 0 };
      const value = x[i] / (1 - probability);
      // 1 - p, a division of 2.5 ULP, the product
      return { value, error: probability === 0 ? 0 : gamma(7) * Math.abs(value) + smallest };
    });
    assertWithin(y, wanted, "y");
  });
}

test("dropout of a block of rows and columns: bit for bit the slice of the whole's", async () => {
  const [rows, cols, probability] = [21, 50, 0.3];
  const x = normal(rows * cols, { seed: 52 });
  const whole = await dropped(x, { rows, cols, rowOffset: 0, colOffset: 0, probability });
  for (const [row0, col0, blockRows, blockCols] of [
    [0, 25, 21, 25],
    [7, 0, 7, 50],
    [5, 3, 9, 41],
  ]) {
    const block = (a: Float32Array) =>
      a.filter((_, i) => {
        const [row, col] = [Math.floor(i / cols) - row0, (i % cols) - col0];
        return row >= 0 && row < blockRows && col >= 0 && col < blockCols;
      });
    const part = await dropped(block(x), {
      rows: blockRows,
      cols: blockCols,
      rowOffset: row0,
      colOffset: col0,
      probability,
    });
    assertSame(part, block(whole), `block at (${row0}, ${col0})`);
  }
});

test("dropout: a dropped NaN or infinity is zero, a kept one stays", async () => {
  const [rows, cols, probability] = [9, 12, 0.5];
  const x = normal(rows * cols, { seed: 53 }).map((_, i) => (i % 2 ? Number.NaN : Number.POSITIVE_INFINITY));
  const kept = keeps({ ...key, probability });
  const y = await dropped(x, { rows, cols, rowOffset: 0, colOffset: 0, probability });
  const wanted = expected(x.length, (i) => ({ value: kept(Math.floor(i / cols), i % cols) ? x[i] : 0, error: 0 }));
  assertWithin(y, wanted, "y");
});

test.after(closeBackend);
test.run();

// Embedding and its gradient, whole tables and vocabulary blocks.

import { test } from "uvu";
import { assertWithin } from "./compare.ts";
import { blank, closeBackend, compute } from "./harness.ts";
import { embedding, embeddingGrad, segments } from "./oracle/embedding.ts";
import { integers, normal } from "./oracle/random.ts";

const cases = [
  { count: 1, cols: 1, rows: 1, rowOffset: 0, vocabulary: 1 },
  { count: 7, cols: 33, rows: 5, rowOffset: 0, vocabulary: 5 },
  { count: 100, cols: 20, rows: 13, rowOffset: 26, vocabulary: 50 },
  { count: 65, cols: 130, rows: 300, rowOffset: 0, vocabulary: 300 },
  { count: 64, cols: 64, rows: 65, rowOffset: 0, vocabulary: 65 },
  { count: 1000, cols: 3, rows: 2, rowOffset: 1, vocabulary: 4 },
  { count: 65539, cols: 2, rows: 70001, rowOffset: 0, vocabulary: 70001 },
];

for (const { vocabulary, ...shape } of cases) {
  const { count, cols, rows, rowOffset } = shape;
  const title = `${count} ids below ${vocabulary}, rows ${rowOffset} to ${rowOffset + rows}, ${cols} wide`;
  test(`embedding, ${title}: exact, and within one rounding when it accumulates`, async () => {
    const ids = integers(count, { seed: 61, below: vocabulary });
    const table = normal(rows * cols, { seed: 62 });
    const y0 = normal(count * cols, { seed: 63 });
    const fresh = await compute("embedding", { ...shape, ids, table, y: blank(count * cols), accumulate: false });
    assertWithin(fresh.y, embedding(ids, { ...shape, table }), "y");
    const added = await compute("embedding", { ...shape, ids, table, y: y0, accumulate: true });
    assertWithin(added.y, embedding(ids, { ...shape, table, y0 }), "y, accumulate");
  });
  test(`embeddingGrad, ${title}: within gamma(uses) of f64, other rows untouched`, async () => {
    const ids = integers(count, { seed: 61, below: vocabulary });
    const { unique, starts, order } = segments(ids);
    const dy = normal(count * cols, { seed: 64 });
    const dtable = normal(rows * cols, { seed: 65 });
    const got = await compute("embeddingGrad", {
      ...shape,
      unique,
      starts,
      order,
      dy,
      dtable,
      segments: unique.length,
    });
    assertWithin(got.dtable, embeddingGrad(ids, { ...shape, dy, dtable }), "dtable");
  });
}

test("embedding: ids below, above and far outside the block, negative ones too, give zero rows", async () => {
  const ids = Int32Array.of(9, 10, 14, 15, -1, 2147483647, -2147483648, 12);
  const shape = { count: 8, cols: 6, rows: 5, rowOffset: 10 };
  const table = normal(30, { seed: 66 });
  const { y } = await compute("embedding", { ...shape, ids, table, y: blank(48), accumulate: false });
  assertWithin(y, embedding(ids, { ...shape, table }), "y");
});

test("embedding: a NaN in one row of the table reaches exactly the tokens that read it", async () => {
  const ids = Int32Array.of(0, 2, 1, 2);
  const shape = { count: 4, cols: 5, rows: 3, rowOffset: 0 };
  const table = normal(15, { seed: 67 });
  table[2 * 5 + 3] = Number.NaN;
  const { y } = await compute("embedding", { ...shape, ids, table, y: blank(20), accumulate: false });
  assertWithin(y, embedding(ids, { ...shape, table }), "y");
});

test.after(closeBackend);
test.run();

import fc from "fast-check";
import { test } from "uvu";
import { is, ok } from "uvu/assert";
import { lowerBound, score } from "../../src/parallel/bound.ts";

const close = (a: number, b: number, scale: number) => ok(Math.abs(a - b) <= 1e-12 * scale, `${a} is not ${b}`);

test("known values, one in each regime, whatever the order of the extents", () => {
  // 1 <= 8 <= 1000/100: one matrix is gathered, 7/8 of the smallest.
  const tall = { m: 1000, n: 100, k: 10 };
  close(lowerBound(tall, 8), 0.875 * 1000, 1e5);
  // 10 <= 100 <= 1000: 2 sqrt(1000 * 100 * 100 / 100) + 1000 * 100 / 100 - (100000 + 10000 + 1000) / 100.
  close(lowerBound(tall, 100), 2 * Math.sqrt(1e5) + 1000 - 1110, 1e5);
  // 8000 > 1000: 3 (10^6 / 8000)^(2/3) - 111000 / 8000.
  close(lowerBound(tall, 8000), 3 * 25 - 13.875, 1e5);
  // A cube on 8 ranks: 3 ((12^3) / 8)^(2/3) - 3 * 144 / 8.
  close(lowerBound({ m: 12, n: 12, k: 12 }, 8), 108 - 54, 144);
  for (const size of [
    { m: 10, n: 1000, k: 100 },
    { m: 100, n: 10, k: 1000 },
  ])
    for (const ranks of [8, 100, 8000]) is(lowerBound(size, ranks), lowerBound(tall, ranks));
});

test("one rank receives nothing and has no score", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 1e5 }), { minLength: 3, maxLength: 3 }), ([m, n, k]) => {
      is(lowerBound({ m, n, k }, 1), 0);
      is(score({ words: 0, size: { m, n, k }, ranks: 1 }), undefined);
    }),
  );
});

test("the regimes meet at their borders, and the bound never falls when a side grows", () => {
  const sides = fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 3, maxLength: 3 });
  fc.assert(
    fc.property(sides, (unsorted) => {
      const [m, n, k] = unsorted.sort((a, b) => b - a);
      const scale = m * n + m * k + n * k;
      for (const border of [m / n, (m * n) / k ** 2]) {
        // One rank is no border: below it nothing is defined.
        if (border <= 1) continue;
        const [below, above] = [border * (1 - 1e-13), border * (1 + 1e-13)];
        close(lowerBound({ m, n, k }, below), lowerBound({ m, n, k }, above), scale);
      }
    }),
  );
  fc.assert(
    fc.property(sides, fc.integer({ min: 2, max: 5000 }), fc.constantFrom("m", "n", "k"), ([m, n, k], ranks, side) => {
      const size = { m, n, k };
      const larger = { ...size, [side]: size[side as "m"] + 1 };
      ok(lowerBound(larger, ranks) >= lowerBound(size, ranks) - 1e-9 * m * n);
    }),
    { numRuns: 1000 },
  );
});

test("the score is the ratio of words to the bound", () => {
  const size = { m: 1000, n: 100, k: 10 };
  close(score({ words: 2 * 875, size, ranks: 8 }) as number, 2, 2);
});

test.run();

// Rotary embedding against f64.

import { test } from "uvu";
import { assertSame, assertWithin } from "./compare.ts";
import { blank, closeBackend, compute } from "./harness.ts";
import { fusedWidth } from "./oracle/attention.ts";
import { normal, repeated } from "./oracle/random.ts";
import { angles, rotary } from "./oracle/rotary.ts";

const shapes = [
  { heads: 1, kvHeads: 1, headWidth: 2, rows: 1, tokens: 1, offset: 0 },
  { heads: 3, kvHeads: 3, headWidth: 6, rows: 21, tokens: 7, offset: 0 },
  { heads: 4, kvHeads: 2, headWidth: 10, rows: 66, tokens: 33, offset: 5 },
  { heads: 6, kvHeads: 1, headWidth: 64, rows: 65, tokens: 65, offset: 100 },
  { heads: 4, kvHeads: 4, headWidth: 32, rows: 64, tokens: 16, offset: 3 },
  { heads: 2, kvHeads: 1, headWidth: 128, rows: 3, tokens: 1, offset: 77 },
];

for (const shape of shapes) {
  const { heads, kvHeads, headWidth, rows, tokens, offset } = shape;
  test(`rotary ${heads}:${kvHeads} heads of ${headWidth}, ${rows} rows of ${tokens} from ${offset}, and inverse: v exact, q and k within gamma(3)`, async () => {
    const x = normal(rows * fusedWidth(shape), { seed: 21 });
    const table = angles(offset + tokens, headWidth);
    for (const inverse of [false, true]) {
      const { y } = await compute("rotary", { ...shape, x, table, y: blank(x.length), inverse });
      assertWithin(y, rotary(x, { ...shape, table, inverse }), inverse ? "inverse" : "y");
    }
  });
}

test("rotary of 43739 rows of 384: beyond 65535 workgroups of 256, like rows alike", async () => {
  const shape = { heads: 2, kvHeads: 2, headWidth: 64, tokens: 13, offset: 1 };
  const few = { rows: 39, x: normal(39 * 384, { seed: 22 }) };
  const rows = 43_739;
  const x = repeated(few.x, rows * 384);
  const table = angles(14, 64);
  const wanted = await compute("rotary", { ...shape, ...few, table, y: blank(few.x.length), inverse: false });
  assertWithin(wanted.y, rotary(few.x, { ...shape, ...few, table, inverse: false }), "y");
  const { y } = await compute("rotary", { ...shape, rows, x, table, y: blank(x.length), inverse: false });
  assertSame(y, repeated(wanted.y, x.length), "y");
});

test.after(closeBackend);
test.run();

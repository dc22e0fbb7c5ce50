// Rotary embedding against f64.

import { test } from "uvu";
import { assertWithin } from "./compare.ts";
import { blank, closeBackend, compute } from "./harness.ts";
import { fusedWidth } from "./oracle/attention.ts";
import { normal } from "./oracle/random.ts";
import { angles, rotary } from "./oracle/rotary.ts";

const shapes = [
  { heads: 1, kvHeads: 1, headWidth: 2, rows: 1, tokens: 1, offset: 0 },
  { heads: 3, kvHeads: 3, headWidth: 6, rows: 21, tokens: 7, offset: 0 },
  { heads: 4, kvHeads: 2, headWidth: 10, rows: 66, tokens: 33, offset: 5 },
  { heads: 6, kvHeads: 1, headWidth: 64, rows: 65, tokens: 65, offset: 100 },
  { heads: 4, kvHeads: 4, headWidth: 32, rows: 64, tokens: 16, offset: 3 },
  { heads: 2, kvHeads: 1, headWidth: 128, rows: 3, tokens: 1, offset: 77 },
  { heads: 1, kvHeads: 1, headWidth: 2, rows: 65535 * 64 + 5, tokens: 13, offset: 1 },
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

test.after(closeBackend);
test.run();

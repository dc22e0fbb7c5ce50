// f16 on the host: every one of its values both ways, and rounding at the edges.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { fromF16, toF16 } from "../../src/backend/f16.ts";

/** What the format says of bits: sign, 5 of the exponent, 10 of the fraction. */
function meaning(bits: number): number {
  const sign = bits >> 15 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
const all = Uint16Array.from({ length: 65536 }, (_, bits) => bits);

test("all 65536 f16 are read as the format defines them, and written as they were", () => {
  const values = fromF16(all);
  for (const bits of all) assert.ok(Object.is(values[bits], meaning(bits)), `${bits} is ${values[bits]}`);
  const back = toF16(values);
  for (const bits of all) if (!Number.isNaN(values[bits])) assert.is(back[bits], bits);
});

test("what lies between two f16 becomes the nearer one, a tie the even one, on both sides of zero", () => {
  const largest = 0x7bff;
  for (let bits = 0; bits < largest; bits++) {
    const [low, high] = [meaning(bits), meaning(bits + 1)];
    const middle = (low + high) / 2;
    const near = (high - low) / 64;
    for (const [value, wanted] of [
      [middle, bits % 2 === 0 ? bits : bits + 1],
      [middle - near, bits],
      [middle + near, bits + 1],
    ])
      assert.equal([...toF16(Float32Array.of(value, -value))], [wanted, wanted | 0x8000], `${value}`);
  }
});

test("beyond the largest: 65504 up to below 65520, infinity from there; NaN stays NaN, f32's own denormals are 0", () => {
  const { POSITIVE_INFINITY: infinity } = Number;
  const values = Float32Array.of(
    65504,
    65519,
    65520,
    65536,
    3e38,
    infinity,
    -infinity,
    Number.NaN,
    1e-45,
    -1e-40,
    2 ** -25,
  );
  const rounded = [65504, 65504, infinity, infinity, infinity, infinity, -infinity, Number.NaN, 0, -0, 0];
  const read = fromF16(toF16(values));
  for (const [i, wanted] of rounded.entries()) assert.ok(Object.is(read[i], wanted), `${values[i]} became ${read[i]}`);
});

test.run();

// f32 packed as f16, two in a word, and back: the same bits on every device, whether or not it has f16. Exact: all 65536 f16, everything
// between two of them, and what is beyond.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { assertSame } from "./compare.ts";
import { blank, closeBackend, compute, manyGroups } from "./harness.ts";
import { halfBits, halfValue } from "./oracle/half.ts";
import { normal } from "./oracle/random.ts";

const bitsOf = (x: Float32Array) => new Uint32Array(x.buffer, x.byteOffset, x.length);
const vacant = (n: number) => new Int32Array(Math.ceil(n / 2)).fill(-1);

/** Two in a word, the first in the lower half. */
const words = (bits: readonly number[]): Int32Array =>
  Int32Array.from({ length: Math.ceil(bits.length / 2) }, (_, i) => bits[2 * i] | ((bits[2 * i + 1] ?? 0) << 16));

async function packed(x: Float32Array): Promise<Int32Array> {
  const { y } = await compute("packHalf", { x, y: vacant(x.length), n: x.length });
  return y as unknown as Int32Array;
}

const unpacked = async (x: Int32Array, n: number): Promise<Float32Array> =>
  (await compute("unpackHalf", { x, y: blank(n), n })).y;

test("all 65536 f16 come back from a word as the f32 of the same value, and go into it as they were", async () => {
  const all = Array.from({ length: 65536 }, (_, bits) => bits);
  const values = await unpacked(words(all), all.length);
  for (const bits of all) assert.ok(Object.is(values[bits], halfValue(bits)), `${bits} is ${values[bits]}`);
  const isNan = (bits: number) => (bits & 0x7fff) > 0x7c00;
  assertSame(await packed(values), words(all.map((bits) => (isNan(bits) ? 0x7e00 : bits))), "back");
});

test("between every two f16: the nearer one, a tie the even one, on both sides of zero", async () => {
  const between: number[] = [];
  for (let bits = 0; bits < 0x7c00; bits++) {
    const [low, high] = [halfValue(bits), bits === 0x7bff ? 2 ** 16 : halfValue(bits + 1)];
    const middle = (low + high) / 2;
    // Neighbours of the middle in f32, which has it exactly.
    const [word] = bitsOf(Float32Array.of(middle));
    const beside = new Float32Array(Uint32Array.of(word - 1, word, word + 1).buffer);
    for (const value of beside) between.push(value, -value);
    between.push(low + (high - low) / 3);
  }
  const x = Float32Array.from(between);
  assertSame(await packed(x), words([...x].map(halfBits)), "y");
});

test("beyond the largest, below the smallest, and every kind of NaN: infinity from 65520 on, one NaN", async () => {
  const { POSITIVE_INFINITY: infinity } = Number;
  const x = new Float32Array(24).fill(1);
  x.set([65504, 65519.996, 65520, 65536, 3.4e38, infinity, -infinity, -65520, 2 ** -25, -(2 ** -25), 1.5 * 2 ** -25]);
  x.set([1e-45, -1e-40, 2 ** -126, 0, -0], 11);
  bitsOf(x).set([0x7fc00000, 0xffc00000, 0x7f800001, 0xffffffff, 0x7fa5a5a5], 16);
  const wanted = [...x].map(halfBits);
  assert.equal(wanted.slice(0, 9), [0x7bff, 0x7bff, 0x7c00, 0x7c00, 0x7c00, 0x7c00, 0xfc00, 0xfc00, 0]);
  assertSame(await packed(x), words(wanted), "y");
});

for (const n of [1, 2, 3, 4, 5, 6, 7, 8, 255, 1027, 100_001])
  test(`${n} at several scales: exact both ways, the last word's other half zero, longer buffers untouched`, async () => {
    const x = normal(n + 5, { seed: n, deviation: 1 }).map((value, i) => value * 2 ** ((i % 45) - 28));
    const bits = [...x.subarray(0, n)].map(halfBits);
    const y0 = new Int32Array(Math.ceil(n / 2) + 3).fill(-7);
    const wanted = y0.slice();
    wanted.set(words(bits));
    const { y } = await compute("packHalf", { x, y: y0, n });
    assertSame(y, wanted, "y");
    const back = new Float32Array(n + 4).fill(9);
    const values = back.slice();
    values.set(bits.map(halfValue));
    assertSame((await compute("unpackHalf", { x: wanted, y: back, n })).y, values, "back");
  });

test("on 65537 workgroups, more than one dimension of a grid has: exact both ways", async () => {
  const n = 2 * manyGroups.elements - 1;
  const x = normal(n, { seed: 3 });
  const { y } = await compute("packHalf", { x, y: vacant(n), n }, { groups: manyGroups });
  const bits = [...x].map(halfBits);
  assertSame(y, words(bits), "y");
  const half = words(bits.slice(0, manyGroups.elements));
  const args = { x: half, y: blank(manyGroups.elements), n: manyGroups.elements };
  const back = await compute("unpackHalf", args, { groups: manyGroups });
  assertSame(back.y, Float32Array.from(bits.slice(0, manyGroups.elements), halfValue), "back");
});

test.after(closeBackend);
test.run();

// Attention and its gradient against the explicit T x T matrix in f64.

import { test } from "uvu";
import { assertSame, assertWithin } from "./compare.ts";
import { blank, closeBackend, compute } from "./harness.ts";
import type { AttentionDropout, Heads } from "./oracle/attention.ts";
import { attention, attentionGrad, columns, fusedWidth } from "./oracle/attention.ts";
import { normal } from "./oracle/random.ts";

const kinds = [
  { name: "MHA 3:3", heads: 3, kvHeads: 3 },
  { name: "GQA 4:2", heads: 4, kvHeads: 2 },
  { name: "MQA 3:1", heads: 3, kvHeads: 1 },
];
const headWidths = [1, 3, 4, 5, 8, 16, 20, 32, 37, 64, 68, 96, 128, 131];
const lengths = [1, 2, 7, 31, 33, 64, 65];
/** Both sides of 32 columns, multiples of 4 and not: these see more than two tiles of 64 tokens too, the others would only take long. */
const longFor = [5, 32, 37, 68];
const longLengths = [100, 130];
const dropout: AttentionDropout = {
  ...{ probability: 0.3, seed: 0xfedcba98, stream: 17, step: 3_000_000_000 },
  ...{ batchOffset: 5, headOffset: 2, globalHeads: 11 },
};

interface Cached extends Heads {
  batch: number;
  queries: number;
  keys: number;
  capacity: number;
}

/** Forward with a key-value cache: what the kernel must not read (other columns, rows beyond `keys`) is NaN. */
async function checkCached(c: Cached): Promise<void> {
  const { batch, queries, keys, capacity, heads, headWidth } = c;
  const width = fusedWidth(c);
  const scale = 1 / Math.sqrt(headWidth);
  const q = normal(batch * queries * width, { seed: 11 });
  const kv = normal(batch * capacity * width, { seed: 12 });
  const isQuery = new Uint8Array(width);
  for (let h = 0; h < heads; h++) isQuery.fill(1, columns(c, h).q, columns(c, h).q + headWidth);
  for (let i = 0; i < q.length; i++) if (!isQuery[i % width]) q[i] = Number.NaN;
  for (let i = 0; i < kv.length; i++) {
    if (isQuery[i % width] || Math.floor(i / width) % capacity >= keys) kv[i] = Number.NaN;
  }
  const wanted = attention({ ...c, q, kv, scale: Math.fround(scale) });
  const got = await compute("attention", {
    ...{ ...c, q, kv, scale },
    ...{ y: blank(batch * queries * heads * headWidth), lse: blank(batch * heads * queries) },
  });
  const what = `batch ${batch}, queries ${queries}, keys ${keys} of ${capacity}`;
  assertWithin(got.lse, wanted.lse, `lse, ${what}`);
  assertWithin(got.y, wanted.y, `y, ${what}`);
}

/** Forward and gradient as in training: q and kv are one buffer. The gradient's y and lse are the oracle's. */
async function check(c: Heads & { batch: number; tokens: number; dropout?: AttentionDropout }, deviation = 1) {
  const { batch, tokens, heads, headWidth } = c;
  const scale = 1 / Math.sqrt(headWidth);
  const qkv = normal(batch * tokens * fusedWidth(c), { seed: 13, deviation });
  const dy = normal(batch * tokens * heads * headWidth, { seed: 14 });
  const lengths = { queries: tokens, keys: tokens, capacity: tokens };
  const wanted = attention({ ...c, ...lengths, q: qkv, kv: qkv, scale: Math.fround(scale) });
  const what = `batch ${batch}, tokens ${tokens}${c.dropout ? ", dropout" : ""}`;
  const forward = await compute("attention", {
    ...{ ...c, ...lengths, q: qkv, kv: qkv, scale },
    ...{ y: blank(dy.length), lse: blank(batch * heads * tokens) },
  });
  assertWithin(forward.lse, wanted.lse, `lse, ${what}`);
  assertWithin(forward.y, wanted.y, `y, ${what}`);

  const given = { ...c, qkv, dy, y: Float32Array.from(wanted.y.values), lse: Float32Array.from(wanted.lse.values) };
  const wantedGrad = attentionGrad({ ...given, scale: Math.fround(scale) });
  const grad = await compute("attentionGrad", {
    ...{ ...given, scale },
    ...{ delta: blank(batch * heads * tokens), dqkv: blank(qkv.length) },
  });
  assertWithin(grad.delta, wantedGrad.delta, `delta, ${what}`);
  assertWithin(grad.dqkv, wantedGrad.dqkv, `dqkv, ${what}`);
}

/** Two samples where that is cheap; with one, 130 tokens already cross every tile. */
const batchOf = (tokens: number): number => (tokens <= 33 ? 2 : 1);

for (const { name, heads, kvHeads } of kinds) {
  for (const headWidth of headWidths) {
    const tokenCounts = longFor.includes(headWidth) ? [...lengths, ...longLengths] : lengths;
    test(`attention ${name}, head width ${headWidth}, 1 to ${tokenCounts.at(-1)} tokens: y, lse and dqkv within the bound of f64`, async () => {
      for (const tokens of tokenCounts) await check({ heads, kvHeads, headWidth, batch: batchOf(tokens), tokens });
    });
  }
  for (const headWidth of [3, 8]) {
    test(`attention ${name}, head width ${headWidth}, dropout 0.3 with offsets: y, lse and dqkv within the bound of f64`, async () => {
      for (const tokens of [1, 7, 33, 65]) await check({ heads, kvHeads, headWidth, batch: 2, tokens, dropout });
    });
  }
  for (const headWidth of [4, 5, 32]) {
    test(`attention ${name}, head width ${headWidth}, key-value cache: reads no row beyond keys, sees the right ones`, async () => {
      for (const [queries, keys, capacity] of [
        [1, 1, 5],
        [1, 40, 41],
        [1, 129, 300],
        [3, 64, 67],
        [33, 70, 70],
        [65, 66, 130],
      ]) {
        await checkCached({ heads, kvHeads, headWidth, batch: 3, queries, keys, capacity });
      }
    });
  }
}

test("attention with scores of hundreds: y, lse and dqkv within the bound of f64", () =>
  check({ heads: 2, kvHeads: 1, headWidth: 16, batch: 2, tokens: 70 }, 10));

test("attention with 300 keys, and with a head of 264 columns: y, lse and dqkv within the bound of f64", async () => {
  await check({ heads: 2, kvHeads: 1, headWidth: 6, batch: 1, tokens: 300 });
  await check({ heads: 2, kvHeads: 1, headWidth: 264, batch: 1, tokens: 70, dropout });
  await checkCached({ heads: 2, kvHeads: 1, headWidth: 264, batch: 2, queries: 9, keys: 200, capacity: 203 });
});

test("attention over 65539 samples of one token: more than a grid has workgroups in a dimension", () =>
  check({ heads: 1, kvHeads: 1, headWidth: 1, batch: 65539, tokens: 1 }));

test("attention on one rank's key-value groups: bit for bit the whole's, dropout included", async () => {
  const [batch, tokens, headWidth, perGroup, groups] = [2, 37, 12, 2, 3];
  const groupWidth = (perGroup + 2) * headWidth;
  const outWidth = perGroup * headWidth;
  const qkv = normal(batch * tokens * groups * groupWidth, { seed: 15 });
  const run = (x: Float32Array, kvHeads: number, headOffset: number) =>
    compute("attention", {
      ...{ q: x, kv: x, batch, queries: tokens, keys: tokens, capacity: tokens, scale: 0.3 },
      ...{
        heads: perGroup * kvHeads,
        kvHeads,
        headWidth,
        dropout: { ...dropout, headOffset, globalHeads: perGroup * groups },
      },
      ...{ y: blank(batch * tokens * kvHeads * outWidth), lse: blank(batch * kvHeads * perGroup * tokens) },
    });
  const whole = await run(qkv, groups, 0);
  for (let g = 0; g < groups; g++) {
    const part = await run(columnBlock(qkv, groups * groupWidth, g * groupWidth, groupWidth), 1, g * perGroup);
    assertSame(part.y, columnBlock(whole.y, groups * outWidth, g * outWidth, outWidth), `y of group ${g}`);
  }
});

function columnBlock(x: Float32Array, cols: number, first: number, count: number): Float32Array {
  return x.filter((_, i) => i % cols >= first && i % cols < first + count);
}

test.after(closeBackend);
test.run();

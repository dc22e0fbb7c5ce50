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
const headWidths = [1, 3, 4, 5, 8, 16, 20, 32, 64, 68, 96, 128];
const lengths = [1, 2, 7, 31, 33, 64, 65, 100, 130];
const dropout: AttentionDropout = {
  ...{ probability: 0.3, seed: 0xfedcba98, stream: 17, step: 3_000_000_000 },
  ...{ batchOffset: 5, headOffset: 2, globalHeads: 11 },
};

interface Case extends Heads {
  batch: number;
  queries: number;
  keys: number;
  capacity: number;
  dropout?: AttentionDropout;
  deviation?: number;
}

/** Runs the forward kernel and compares; what the kernel must not read (other columns, rows beyond `keys`) is NaN. */
async function checkForward(c: Case): Promise<void> {
  const { batch, queries, keys, capacity, heads, headWidth, deviation = 1 } = c;
  const width = fusedWidth(c);
  const scale = 1 / Math.sqrt(headWidth);
  const q = normal(batch * queries * width, { seed: 11, deviation });
  const kv = normal(batch * capacity * width, { seed: 12, deviation });
  const isQuery = new Uint8Array(width);
  for (let h = 0; h < heads; h++) isQuery.fill(1, columns(c, h).q, columns(c, h).q + headWidth);
  for (let i = 0; i < q.length; i++) if (!isQuery[i % width]) q[i] = Number.NaN;
  for (let i = 0; i < kv.length; i++)
    if (isQuery[i % width] || Math.floor(i / width) % capacity >= keys) kv[i] = Number.NaN;
  const wanted = attention({ ...c, q, kv, scale: Math.fround(scale) });
  const { deviation: _, ...args } = c;
  const got = await compute("attention", {
    ...{ ...args, q, kv, scale },
    ...{ y: blank(batch * queries * heads * headWidth), lse: blank(batch * heads * queries) },
  });
  const what = `batch ${batch}, queries ${queries}, keys ${keys} of ${capacity}${c.dropout ? ", dropout" : ""}`;
  assertWithin(got.lse, wanted.lse, `lse, ${what}`);
  assertWithin(got.y, wanted.y, `y, ${what}`);
}

async function checkGrad(
  c: Heads & { batch: number; tokens: number; dropout?: AttentionDropout; deviation?: number },
): Promise<void> {
  const { batch, tokens, heads, headWidth, deviation = 1 } = c;
  const scale = 1 / Math.sqrt(headWidth);
  const qkv = normal(batch * tokens * fusedWidth(c), { seed: 13, deviation });
  const dy = normal(batch * tokens * heads * headWidth, { seed: 14 });
  const forward = attention({
    ...c,
    q: qkv,
    kv: qkv,
    queries: tokens,
    keys: tokens,
    capacity: tokens,
    scale: Math.fround(scale),
  });
  const y = Float32Array.from(forward.y.values);
  const lse = Float32Array.from(forward.lse.values);
  const wanted = attentionGrad({ ...c, qkv, y, dy, lse, scale: Math.fround(scale) });
  const { deviation: _, ...args } = c;
  const got = await compute("attentionGrad", {
    ...{ ...args, qkv, y, dy, lse, scale },
    ...{ delta: blank(batch * heads * tokens), dqkv: blank(qkv.length) },
  });
  const what = `batch ${batch}, tokens ${tokens}${c.dropout ? ", dropout" : ""}`;
  assertWithin(got.delta, wanted.delta, `delta, ${what}`);
  assertWithin(got.dqkv, wanted.dqkv, `dqkv, ${what}`);
}

/** Two samples where that is cheap; with one, 130 tokens already cross every tile. */
const batchOf = (tokens: number): number => (tokens <= 33 ? 2 : 1);

for (const { name, heads, kvHeads } of kinds) {
  for (const headWidth of headWidths) {
    const shape = { heads, kvHeads, headWidth };
    test(`attention ${name}, head width ${headWidth}, 1 to 130 tokens: y and lse within the bound of f64`, async () => {
      for (const tokens of lengths) {
        await checkForward({ ...shape, batch: batchOf(tokens), queries: tokens, keys: tokens, capacity: tokens });
      }
    });
    test(`attentionGrad ${name}, head width ${headWidth}, 1 to 130 tokens: dqkv within the bound of f64`, async () => {
      for (const tokens of lengths) await checkGrad({ ...shape, batch: batchOf(tokens), tokens });
    });
  }
}

for (const { name, heads, kvHeads } of kinds) {
  for (const headWidth of [3, 8, 20, 64]) {
    const shape = { heads, kvHeads, headWidth };
    test(`attention ${name}, head width ${headWidth}, dropout 0.3 with offsets: y, lse and dqkv within the bound of f64`, async () => {
      for (const tokens of [1, 7, 33, 65]) {
        await checkForward({ ...shape, batch: 2, queries: tokens, keys: tokens, capacity: tokens, dropout });
        await checkGrad({ ...shape, batch: 2, tokens, dropout });
      }
    });
  }
  for (const headWidth of [4, 5, 32]) {
    const shape = { heads, kvHeads, headWidth };
    test(`attention ${name}, head width ${headWidth}, key-value cache: reads no row beyond keys, sees the right ones`, async () => {
      for (const [queries, keys, capacity] of [
        [1, 1, 5],
        [1, 40, 41],
        [1, 129, 300],
        [3, 64, 67],
        [33, 70, 70],
        [65, 66, 130],
      ]) {
        await checkForward({ ...shape, batch: 3, queries, keys, capacity });
      }
    });
  }
}

test("attention with scores of hundreds: y, lse and dqkv within the bound of f64", async () => {
  const shape = { heads: 2, kvHeads: 1, headWidth: 16, deviation: 10 };
  await checkForward({ ...shape, batch: 2, queries: 70, keys: 70, capacity: 70 });
  await checkGrad({ ...shape, batch: 2, tokens: 70 });
});

test("attention over 65539 samples of one token: more than a grid has workgroups in a dimension", async () => {
  const shape = { heads: 1, kvHeads: 1, headWidth: 1, batch: 65539 };
  await checkForward({ ...shape, queries: 1, keys: 1, capacity: 1 });
  await checkGrad({ ...shape, tokens: 1 });
});

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

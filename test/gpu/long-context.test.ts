// Attention over thousands of tokens: memory in proportion to their number, and values still right at the far end.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { attention } from "../../src/tensor/ops/attention.ts";
import { Tape } from "../../src/tensor/tape.ts";
import { gamma } from "./bounds.ts";
import { backendUnderTest, closeBackend } from "./harness.ts";
import { normal } from "./oracle/random.ts";

const headWidth = 8;
const shape = { heads: 1, kvHeads: 1, headWidth };
const columns = 3 * headWidth;

/** Forward and backward over one head, with a gradient of ones. */
async function attend(tokens: number) {
  const backend = await backendUnderTest();
  backend.memory.resetPeak();
  const data = normal(tokens * columns, { seed: 3 });
  using tape = new Tape(backend, { recording: true });
  const ones = tape.input(new Float32Array(tokens * headWidth).fill(1), { shape: [tokens, headWidth] });
  const qkv = tape.view(tape.input(data, { shape: [tokens, columns] }), { requiresGrad: true });
  const y = attention(qkv, { shape, batch: 1, tokens });
  await tape.backward(y, ones);
  const gradient = (await tape.gradient(qkv)?.read()) as Float32Array;
  const values = (await y.read()) as Float32Array;
  return { data, values, gradient, peakBytes: backend.memory.peak.total };
}

// For a token: q, k, v and their gradient; y and its gradient; the two row sums. In words, and nothing beside them.
const wordsOfToken = 2 * columns + 2 * headWidth + 2;

test("attention and its backward hold the same words a token at 500 tokens and at 4,096, and the last token sees them all", async () => {
  const tokens = 4096;
  assert.is((await attend(500)).peakBytes, 4 * wordsOfToken * 500);
  const { data, values, gradient, peakBytes } = await attend(tokens);
  assert.is(peakBytes, 4 * wordsOfToken * tokens);
  const at = (token: number, part: number, column: number) => data[token * columns + part * headWidth + column];
  const scores = Float64Array.from({ length: tokens }, (_, key) => {
    let dot = 0;
    for (let c = 0; c < headWidth; c++) dot += at(tokens - 1, 0, c) * at(key, 1, c);
    return dot / Math.sqrt(headWidth);
  });
  const largest = scores.reduce((a, b) => Math.max(a, b));
  const weights = scores.map((score) => Math.exp(score - largest));
  const total = weights.reduce((a, b) => a + b);
  // Two sums of `tokens` terms, of values below 6.
  const tolerance = 2 * gamma(tokens) * 6;
  for (let c = 0; c < headWidth; c++) {
    const expected = weights.reduce((sum, weight, key) => sum + weight * at(key, 2, c), 0) / total;
    const got = values[(tokens - 1) * headWidth + c];
    assert.ok(Math.abs(got - expected) <= tolerance, `column ${c}: ${got}, expected ${expected}`);
    // Rows of probabilities sum to one, and each row's gradient is one: so column sums of dv are the number of rows.
    let sum = 0;
    for (let token = 0; token < tokens; token++) sum += gradient[token * columns + 2 * headWidth + c];
    assert.ok(Math.abs(sum - tokens) <= 2 * gamma(tokens) * tokens, `column ${c}: dv sums to ${sum}`);
  }
});

test.after(closeBackend);
test.run();

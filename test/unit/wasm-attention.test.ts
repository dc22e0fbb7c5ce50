// Attention's gradient in WebAssembly takes one pass over groups or two over tiles, by the number of threads: the bits are the same.

import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Backend } from "../../src/backend/backend.ts";
import { createWasmBackend } from "../../src/backend/wasm/backend.ts";

/** Three tiles of tokens, of which the last is not full; two slabs of columns, neither of them a multiple of 4. */
const shape = { batch: 1, heads: 4, kvHeads: 2, headWidth: 131, scale: 0.1 };
const tokens = 150;
const dropout = { probability: 0.25, seed: 5, stream: 6, step: 7, batchOffset: 1, headOffset: 2, globalHeads: 9 };

async function run(backend: Backend): Promise<Record<string, Uint8Array>> {
  const { batch, heads, kvHeads, headWidth } = shape;
  const fused = batch * tokens * (heads + 2 * kvHeads) * headWidth;
  const out = batch * tokens * heads * headWidth;
  const buffer = (length: number, phase = Number.NaN) => {
    const made = backend.allocate({ dtype: "f32", length, purpose: "activations" });
    backend.write(
      made,
      Float32Array.from({ length }, (_, i) => Math.sin(phase + i * i)),
    );
    return made;
  };
  const [qkv, dy] = [buffer(fused, 1), buffer(out, 2)];
  const [y, dqkv] = [buffer(out), buffer(fused)];
  const [lse, delta] = [buffer(batch * heads * tokens), buffer(batch * heads * tokens)];
  const lengths = { queries: tokens, keys: tokens, capacity: tokens };
  backend.run("attention", { ...shape, ...lengths, q: qkv, kv: qkv, y, lse, dropout });
  backend.run("attentionGrad", { ...shape, tokens, qkv, y, dy, lse, delta, dqkv, dropout });
  const results: Record<string, Uint8Array> = {};
  for (const [name, each] of Object.entries({ y, lse, delta, dqkv })) {
    const values = await backend.read(each);
    assert.ok(values.every(Number.isFinite), `${name} is finite`);
    results[name] = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  }
  return results;
}

test("attention and its gradient on one, two and five threads: the same bits", async () => {
  const results: Record<string, Uint8Array>[] = [];
  for (const threads of [1, 2, 5]) {
    const backend = await createWasmBackend({ threads });
    results.push(await run(backend));
    backend.dispose();
  }
  assert.equal(results[1], results[0]);
  assert.equal(results[2], results[0]);
});

test.run();

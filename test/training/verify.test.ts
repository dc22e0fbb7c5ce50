// PyTorch's numbers: every fixture replayed, and fixtures that do not fit refused.

import { test } from "uvu";
import * as assert from "uvu/assert";
import type { ReferenceFiles } from "../../src/train/events.ts";
import { readSafetensors, writeSafetensors } from "../../src/train/safetensors.ts";
import { verifyReference } from "../../src/train/verify.ts";
import { fixture } from "../fixtures/reference.ts";
import { backendUnderTest, closeBackend } from "../gpu/harness.ts";

for (const [name, what] of [
  ["gpt2", "GPT-2, gelu_new, 2 layers"],
  ["llama", "Llama, 8 heads on 4 key-value heads, untied head"],
  ["gpt2-exact", "GPT-2, exact gelu, odd sizes"],
  ["llama-tied", "Llama, 6 heads on 2 key-value heads, tied head, odd sizes"],
])
  test(`${what}: logits, gradients, losses and trained weights are PyTorch's`, async () => {
    const backend = await backendUnderTest();
    const result = await verifyReference({ backend, files: fixture(name) });
    assert.ok(result.pass, JSON.stringify(result));
    assert.ok(result.gradNorm <= 2e-5, `gradient norm off by ${result.gradNorm}`);
    assert.is(backend.memory.total, 0, "nothing is left allocated");
  });

test("one weight changed by a part in a thousand: the replay does not pass", async () => {
  const files = fixture("gpt2-exact");
  const weights = readSafetensors(files.weights);
  const { data } = weights.get("h.0.mlp.c_fc.weight")!;
  for (let i = 0; i < data.length; i++) data[i] *= 1.001;
  const backend = await backendUnderTest();
  const result = await verifyReference({ backend, files: { ...files, weights: writeSafetensors(weights) } });
  assert.not(result.pass);
});

test("a missing and a misshapen tensor are refused by name", async () => {
  const files = fixture("gpt2-exact");
  const backend = await backendUnderTest();
  const refused = async (changed: Partial<ReferenceFiles>) =>
    verifyReference({ backend, files: { ...files, ...changed } }).then(
      () => "passed",
      (error: Error) => `${error.name}: ${error.message}`,
    );
  const weights = readSafetensors(files.weights);
  const bias = weights.get("ln_f.bias")!;
  weights.delete("ln_f.bias");
  assert.match(await refused({ weights: writeSafetensors(weights) }), /^UserError: .*no tensor ln_f\.bias/);
  weights.set("ln_f.bias", { dtype: "f32", shape: [35], data: new Float32Array(35) });
  assert.match(await refused({ weights: writeSafetensors(weights) }), /ln_f\.bias is \[35\].* needs \[36\]/);
  weights.set("ln_f.bias", bias);
  assert.match(
    await refused({ losses: new TextEncoder().encode('{"loss": [1]}') }),
    /losses\.json: loss must be a list of 3/,
  );
  assert.match(await refused({ losses: new TextEncoder().encode("{") }), /^UserError: losses\.json/);
  const expected = readSafetensors(files.expected);
  expected.delete("after.wpe.weight");
  assert.match(await refused({ expected: writeSafetensors(expected) }), /^UserError: .*after\.wpe\.weight/);
  assert.is(backend.memory.total, 0, "a refusal leaves nothing allocated");
});

test.after(closeBackend);
test.run();

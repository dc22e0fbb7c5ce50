// Peak memory of a run against the documented closed form.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { type ModelConfig, parseModelConfig } from "../../src/nn/config.ts";
import { trainingBytes } from "../../src/nn/footprint.ts";
import { availableType } from "../../src/train/precision.ts";
import { backendUnderTest, closeBackend } from "../gpu/harness.ts";
import { context, gpt2, llama, runToy, tokenizer } from "./toy.ts";

const wide = parseModelConfig({ ...gpt2, n_embd: 48, n_layer: 3, n_head: 3, n_inner: 100, bias: false });
const tied = parseModelConfig({ ...llama, tie_word_embeddings: true, num_hidden_layers: 3, num_key_value_heads: 4 });
const bigVocabulary = parseModelConfig({ ...gpt2, vocab_size: tokenizer.vocabSize, n_embd: 8, n_layer: 1, n_head: 1 });

for (const [name, config] of [
  ["GPT-2", gpt2],
  ["GPT-2, three layers, narrow feed-forward", wide],
  ["GPT-2, the loss dominates", bigVocabulary],
  ["Llama", llama],
  ["Llama, tied, three layers", tied],
] satisfies [string, ModelConfig][])
  for (const { recompute, dtype } of [
    { recompute: false, dtype: "f32" },
    { recompute: true, dtype: "f32" },
    { recompute: false, dtype: "f16" },
    { recompute: true, dtype: "f16" },
  ] as const)
    test(`${name}${dtype === "f16" ? " in f16" : ""}${recompute ? ", recomputing" : ""}: weights, gradients, optimizer to the byte, peak within 10%`, async () => {
      const batch = 9;
      const { done } = await runToy({ batch, recompute, dtype, steps: 2 }, { config });
      const has = availableType(await backendUnderTest(), dtype);
      const expected = trainingBytes(config, { batch, context, recompute, dtype: has.dtype });
      const got = done!.peakBytes;
      assert.is(got.weights, expected.weights);
      assert.is(got.gradients, expected.gradients);
      // The squared norm is one word more.
      assert.is(got.optimizer, expected.optimizer + 4);
      const report = `got ${JSON.stringify(got)}, closed form ${JSON.stringify(expected)}`;
      assert.ok(Math.abs(got.total / expected.total - 1) <= 0.1, report);
      assert.ok(Math.abs(got.activations / expected.activations - 1) <= 0.1, report);
      assert.ok(Math.abs(got.scratch / expected.scratch - 1) <= 0.1, report);
    });

test.after(closeBackend);
test.run();

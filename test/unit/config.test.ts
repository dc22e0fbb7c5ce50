import fc from "fast-check";
import { test } from "uvu";
import { equal, is, ok } from "uvu/assert";
import { headWidth, maxContext, parameterCount, parseModelConfig, parseRunConfig } from "../../src/nn/config.ts";
import { nearest } from "../../src/nn/fields.ts";
import { refuses, unlessRefused } from "./refusal.ts";

const gpt2 = { model_type: "gpt2", vocab_size: 50257, n_positions: 1024, n_embd: 768, n_layer: 12, n_head: 12 };
const llama = {
  model_type: "llama",
  vocab_size: 32000,
  max_position_embeddings: 2048,
  hidden_size: 2048,
  intermediate_size: 5632,
  num_hidden_layers: 22,
  num_attention_heads: 32,
  num_key_value_heads: 4,
};

test("GPT-2's published sizes have its published 124,439,808 parameters", () => {
  const config = parseModelConfig({
    ...gpt2,
    n_inner: null,
    architectures: ["GPT2LMHeadModel"],
    n_ctx: 1024,
    resid_pdrop: 0.1,
  });
  is(parameterCount(config), 124439808);
  is(headWidth(config), 64);
  is(maxContext(config), 1024);
});

test("TinyLlama's published sizes have its published 1,100,048,384 parameters", () => {
  const config = parseModelConfig({
    ...llama,
    rms_norm_eps: 1e-5,
    rope_scaling: null,
    attention_bias: false,
    torch_dtype: "float32",
  });
  is(parameterCount(config), 1100048384);
  is(headWidth(config), 64);
  is(maxContext(config), 2048);
});

test("a GPT-2 without biases loses exactly its vectors' second halves and its products' biases", () => {
  const small = { ...gpt2, vocab_size: 65, n_positions: 64, n_embd: 128, n_layer: 4, n_head: 4 };
  const biases = 4 * (128 + 3 * 128 + 128 + 128 + 4 * 128 + 128) + 128;
  is(parameterCount(parseModelConfig(small)) - parameterCount(parseModelConfig({ ...small, bias: false })), biases);
});

test("tied Llama embeddings count once", () => {
  const untied = parameterCount(parseModelConfig(llama));
  is(untied - parameterCount(parseModelConfig({ ...llama, tie_word_embeddings: true })), 32000 * 2048);
});

test("every default is filled in", () => {
  equal(parseModelConfig(gpt2), {
    ...{ ...gpt2, n_inner: 3072, activation_function: "gelu_new", layer_norm_epsilon: 1e-5 },
    ...{ resid_pdrop: 0, embd_pdrop: 0, attn_pdrop: 0, bias: true, tie_word_embeddings: true },
  });
  const { num_key_value_heads: _, ...multiHead } = llama;
  equal(parseModelConfig(multiHead), {
    ...{ ...llama, num_key_value_heads: 32, rms_norm_eps: 1e-6, rope_theta: 10000 },
    ...{ tie_word_embeddings: false, hidden_act: "silu" },
  });
});

test("what was parsed parses again to the same", () => {
  for (const json of [gpt2, llama]) equal(parseModelConfig(parseModelConfig(json)), parseModelConfig(json));
});

test("an unknown field is refused with the nearest known one", () => {
  refuses(() => parseModelConfig({ ...gpt2, n_heads: 12 }), /unknown field "n_heads"; did you mean "n_head"\?/);
  refuses(
    () => parseModelConfig({ ...llama, num_kv_heads: 4 }),
    /unknown field "num_kv_heads"; its fields are model_type/,
  );
  refuses(() => parseModelConfig({ ...llama, rope_thetta: 4 }), /did you mean "rope_theta"\?/);
});

test("heads that do not divide the width are refused with the nearest that do", () => {
  refuses(
    () => parseModelConfig({ ...gpt2, n_embd: 64, n_head: 7 }),
    /got n_head 7 with n_embd 64, need a divisor of 64; use n_head 4 or 8, or n_embd 63 or 70$/,
  );
  refuses(() => parseModelConfig({ ...gpt2, n_embd: 64, n_head: 65 }), /use n_head 64, or n_embd 65$/);
  refuses(
    () => parseModelConfig({ ...llama, num_key_value_heads: 5 }),
    /need a divisor of 32; use num_key_value_heads 4 or 8/,
  );
  refuses(() => parseModelConfig({ ...llama, num_key_value_heads: 64 }), /use num_key_value_heads 32/);
});

test("an odd head width is refused for rotary embeddings", () => {
  refuses(
    () => parseModelConfig({ ...llama, hidden_size: 96, num_key_value_heads: 32 }),
    /head width of 3, need an even one.*hidden_size 128/,
  );
});

test("wrong types, NaN, fractions, zero and negative sizes are refused by name", () => {
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY, 0, -4, 2.5, "12", true, [12], {}, 2 ** 31]) {
    refuses(() => parseModelConfig({ ...gpt2, n_layer: value }), /got n_layer .*, need a whole number from 1/);
  }
  refuses(() => parseModelConfig({ ...gpt2, n_layer: undefined }), /got n_layer nothing, need/);
  refuses(
    () => parseModelConfig({ ...gpt2, layer_norm_epsilon: 0 }),
    /got layer_norm_epsilon 0, need a number above 0/,
  );
  refuses(() => parseModelConfig({ ...gpt2, resid_pdrop: 1 }), /got resid_pdrop 1, need a number from 0 to below 1/);
  refuses(() => parseModelConfig({ ...gpt2, bias: "yes" }), /got bias "yes", need true or false/);
  refuses(() => parseModelConfig({ ...gpt2, activation_function: "gelu_mew" }), /did you mean "gelu_new"\?/);
  refuses(() => parseModelConfig({ ...gpt2, model_type: "gtp2" }), /did you mean "gpt2"\?/);
});

test("fields that would change results and are not supported are refused by name", () => {
  refuses(() => parseModelConfig({ ...gpt2, tie_word_embeddings: false }), /tie_word_embeddings false, need true/);
  refuses(
    () => parseModelConfig({ ...gpt2, scale_attn_by_inverse_layer_idx: true }),
    /scale_attn_by_inverse_layer_idx true, need false/,
  );
  refuses(() => parseModelConfig({ ...llama, rope_scaling: { type: "linear" } }), /rope_scaling an object, need null/);
  refuses(() => parseModelConfig({ ...llama, attention_bias: true }), /attention_bias true, need false/);
  refuses(() => parseModelConfig({ ...llama, hidden_act: "gelu" }), /hidden_act "gelu", need "silu"/);
  refuses(() => parseModelConfig({ ...llama, head_dim: 128 }), /head_dim 128, need 64/);
});

test("what is no object is refused", () => {
  for (const json of [null, undefined, 3, "gpt2", [gpt2], true])
    refuses(() => parseModelConfig(json), /need a JSON object/);
});

test("names of object prototypes are unknown fields, not results", () => {
  for (const name of ["__proto__", "constructor", "toString"]) {
    refuses(() => parseModelConfig(JSON.parse(`{"model_type": "gpt2", "${name}": {"n_embd": 64}}`)), /unknown field/);
  }
});

test("arbitrary JSON is a config or a UserError, near misses too", () => {
  const names = [
    ...Object.keys(parseModelConfig(gpt2)),
    ...Object.keys(parseModelConfig(llama)),
    "head_dim",
    "__proto__",
    "run",
  ];
  const value = fc.oneof(fc.jsonValue(), fc.integer(), fc.double(), fc.constantFrom("gpt2", "llama", null));
  const changed = fc
    .tuple(
      fc.constantFrom(gpt2, llama),
      fc.dictionary(fc.oneof(fc.constantFrom(...names), fc.string()), value, { maxKeys: 3 }),
    )
    .map(([base, changes]) => ({ ...base, ...changes }));
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), changed), (json) => {
      const config = unlessRefused(() => parseModelConfig(json));
      if (!config) return;
      ok(Number.isInteger(headWidth(config)) && headWidth(config) > 0);
      ok(parameterCount(config) > 0);
    }),
    { numRuns: 3000 },
  );
});

test("the run object of a reference run is read, and refused by name", () => {
  const run = {
    ...{ batch: 16, seq: 24, steps: 8, lr: 1e-2, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 },
    ...{ grad_clip: 1, seed: 1 },
  };
  equal(parseRunConfig({ ...gpt2, run }), run);
  equal(parseModelConfig({ ...gpt2, run }), parseModelConfig(gpt2));
  refuses(() => parseRunConfig(gpt2), /"run": got nothing, need a JSON object/);
  refuses(() => parseRunConfig({ run: { ...run, lr: Number.NaN } }), /got lr NaN, need a number above 0/);
  refuses(() => parseRunConfig({ run: { ...run, beta1: 1 } }), /got beta1 1, need/);
  refuses(() => parseRunConfig({ run: { ...run, betta1: 1 } }), /did you mean "beta1"\?/);
});

test("the nearest word is a slip of the pen away, or there is none", () => {
  is(nearest("hidden_sise", ["hidden_size", "hidden_act"]), "hidden_size");
  is(nearest("zzzzzz", ["hidden_size", "hidden_act"]), undefined);
});

test.run();

// GPT-2 (Radford et al. 2019): learned positions, LayerNorm first, tied head; nanoGPT's variant without biases too.
// Weights carry Hugging Face's names.

import { add, gelu } from "../tensor/ops/elementwise.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type Architecture, dropoutArgs, maybeDropout, type Pass } from "./architecture.ts";
import type { Gpt2Config } from "./config.ts";
import { plainWeight, type WeightSpec } from "./weights.ts";

export function gpt2(config: Gpt2Config): Architecture {
  const { n_embd: D, n_inner: F, n_head, n_layer, vocab_size: V, n_positions } = config;
  const K = D / n_head;
  const heads = { heads: n_head, kvHeads: n_head, headWidth: K };
  const form = config.activation_function === "gelu_new" ? "tanh" : "exact";
  const residualStd = 0.02 / Math.sqrt(2 * n_layer);

  /** Column c of the fused weight, [q, k, v] of head 0, then of head 1, ..., stands in c_attn's [all q, all k, all v]. */
  const fused = (c: number) => {
    const head = Math.floor(c / (3 * K));
    const third = Math.floor((c % (3 * K)) / K);
    return { part: 0, column: third * D + head * K + (c % K) };
  };

  const linear = (
    name: string,
    spec: { inputs: number; outputs: number; kind: "column" | "row"; std: number },
  ): WeightSpec[] => {
    const { kind, inputs, outputs, std } = spec;
    const weight = plainWeight({ name: `${name}.weight`, shape: [inputs, outputs], kind, start: { std } });
    const bias = plainWeight({ name: `${name}.bias`, shape: [outputs], kind: `${kind}Bias`, start: { constant: 0 } });
    return config.bias ? [weight, bias] : [weight];
  };
  const normWeights = (name: string): WeightSpec[] => {
    const gain = plainWeight({ name: `${name}.weight`, shape: [D], kind: "vector", start: { constant: 1 } });
    const bias = plainWeight({ name: `${name}.bias`, shape: [D], kind: "vector", start: { constant: 0 } });
    return config.bias ? [gain, bias] : [gain];
  };
  const layerWeights = (layer: number): WeightSpec[] => {
    const p = `h.${layer}.`;
    const qkv = linear(`${p}attn.c_attn`, { inputs: D, outputs: 3 * D, kind: "column", std: 0.02 });
    return [
      ...normWeights(`${p}ln_1`),
      ...qkv.map((spec) => ({ ...spec, column: fused })),
      ...linear(`${p}attn.c_proj`, { inputs: D, outputs: D, kind: "row", std: residualStd }),
      ...normWeights(`${p}ln_2`),
      ...linear(`${p}mlp.c_fc`, { inputs: D, outputs: F, kind: "column", std: 0.02 }),
      ...linear(`${p}mlp.c_proj`, { inputs: F, outputs: D, kind: "row", std: residualStd }),
    ];
  };
  const weights = [
    plainWeight({ name: "wte.weight", shape: [V, D], kind: "vocabulary", start: { std: 0.02 } }),
    plainWeight({ name: "wpe.weight", shape: [n_positions, D], kind: "positions", start: { std: 0.02 } }),
    ...Array.from({ length: n_layer }, (_, layer) => layerWeights(layer)).flat(),
    ...normWeights("ln_f"),
  ];

  const project = (pass: Pass, x: Tensor, name: string) =>
    pass.layout.linear(x, pass.weight(`${name}.weight`), pass.bias(`${name}.bias`));
  const layerNorm = (pass: Pass, x: Tensor, name: string) =>
    pass.layout.norm(x, {
      kind: "layer",
      gain: pass.weight(`${name}.weight`),
      bias: pass.bias(`${name}.bias`),
      eps: config.layer_norm_epsilon,
    });

  // x[B T, D] + projection of attention [B T, D] over qkv [B T, 3 D] of norm(x)
  async function attend(pass: Pass, x: Tensor, layer: number): Promise<Tensor> {
    const p = `h.${layer}.`;
    const site = 1 + 3 * layer;
    using normed = await layerNorm(pass, x, `${p}ln_1`);
    using qkv = await project(pass, normed, `${p}attn.c_attn`);
    using mixed = await pass.layout.attention(qkv, {
      shape: heads,
      sequence: pass.sequence,
      dropout: dropoutArgs(pass, { place: "attention", site }),
      cache: pass.cache?.[layer],
    });
    using projected = await project(pass, mixed, `${p}attn.c_proj`);
    using kept = maybeDropout(pass, projected, { place: "residual", site: site + 1 });
    return add(x, kept);
  }

  // x[B T, D] + projection of gelu(up [B T, F]) of norm(x)
  async function feedForward(pass: Pass, x: Tensor, layer: number): Promise<Tensor> {
    const p = `h.${layer}.`;
    using normed = await layerNorm(pass, x, `${p}ln_2`);
    using up = await project(pass, normed, `${p}mlp.c_fc`);
    using active = gelu(up, form);
    using down = await project(pass, active, `${p}mlp.c_proj`);
    using kept = maybeDropout(pass, down, { place: "residual", site: 3 + 3 * layer });
    return add(x, kept);
  }

  return {
    layers: n_layer,
    vocabSize: V,
    maxPositions: n_positions,
    heads,
    dropout: { embedding: config.embd_pdrop, residual: config.resid_pdrop, attention: config.attn_pdrop },
    weights,

    async embed(pass) {
      const h = await pass.layout.embedding(pass.tape, {
        tokens: pass.tokens,
        table: pass.weight("wte.weight"),
        positions: { ids: pass.positions, table: pass.weight("wpe.weight") },
      });
      const kept = maybeDropout(pass, h, { place: "embedding", site: 0 });
      if (kept !== h) h.dispose();
      return kept;
    },

    async block(pass, x, layer) {
      using h = await attend(pass, x, layer);
      return await feedForward(pass, h, layer);
    },

    async head(pass, x) {
      using normed = await layerNorm(pass, x, "ln_f");
      return await pass.layout.head(normed, pass.weight("wte.weight"));
    },
  };
}

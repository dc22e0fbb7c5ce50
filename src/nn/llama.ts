// Llama (arXiv 2302.13971): RMSNorm first, rotary positions, SwiGLU, grouped-query attention, tied or untied head.
// In checkpoints it has Hugging Face's names; inside, q, k, v and gate, up are one weight each.

import { add, siluGate } from "../tensor/ops/elementwise.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type Architecture, dropoutArgs, maybeDropout, type Pass } from "./architecture.ts";
import type { LlamaConfig } from "./config.ts";
import { plainWeight, type WeightSpec } from "./weights.ts";

export function llama(config: LlamaConfig): Architecture {
  const { hidden_size: D, intermediate_size: F, vocab_size: V, num_hidden_layers, num_attention_heads: H } = config;
  const kvHeads = config.num_key_value_heads;
  const K = D / H;
  const group = (H / kvHeads + 2) * K;
  const heads = { heads: H, kvHeads, headWidth: K };
  const residualStd = 0.02 / Math.sqrt(2 * num_hidden_layers);

  /** Column c of the fused weight: per key-value head its query heads, then k, then v. */
  const fusedQkv = (c: number) => {
    const g = Math.floor(c / group);
    const within = c % group;
    const queries = group - 2 * K;
    if (within < queries) return { part: 0, column: g * queries + within };
    return within < queries + K
      ? { part: 1, column: g * K + within - queries }
      : { part: 2, column: g * K + within - queries - K };
  };
  const part = (name: string, outputs: number) => ({ name: `${name}.weight`, shape: [outputs, D], transposed: true });
  const gain = (name: string) =>
    plainWeight({ name: `${name}.weight`, shape: [D], kind: "vector", start: { constant: 1 } });
  const layerWeights = (layer: number): WeightSpec[] => {
    const p = `model.layers.${layer}.`;
    return [
      gain(`${p}input_layernorm`),
      {
        name: `${p}self_attn.qkv_proj.weight`,
        shape: [D, group * kvHeads],
        kind: "column",
        start: { std: 0.02 },
        parts: [
          part(`${p}self_attn.q_proj`, D),
          part(`${p}self_attn.k_proj`, K * kvHeads),
          part(`${p}self_attn.v_proj`, K * kvHeads),
        ],
        column: fusedQkv,
      },
      plainWeight({
        name: `${p}self_attn.o_proj.weight`,
        shape: [D, D],
        kind: "row",
        start: { std: residualStd },
        transposed: true,
      }),
      gain(`${p}post_attention_layernorm`),
      {
        name: `${p}mlp.gate_up_proj.weight`,
        shape: [D, 2 * F],
        kind: "column",
        start: { std: 0.02 },
        parts: [part(`${p}mlp.gate_proj`, F), part(`${p}mlp.up_proj`, F)],
        column: (c) => ({ part: c % 2, column: c >> 1 }),
      },
      plainWeight({
        name: `${p}mlp.down_proj.weight`,
        shape: [F, D],
        kind: "row",
        start: { std: residualStd },
        transposed: true,
      }),
    ];
  };
  const table = (name: string) => plainWeight({ name, shape: [V, D], kind: "vocabulary", start: { std: 0.02 } });
  const weights = [
    table("model.embed_tokens.weight"),
    ...Array.from({ length: num_hidden_layers }, (_, layer) => layerWeights(layer)).flat(),
    gain("model.norm"),
    ...(config.tie_word_embeddings ? [] : [table("lm_head.weight")]),
  ];

  const rmsNorm = (pass: Pass, x: Tensor, name: string) =>
    pass.layout.norm(x, { kind: "rms", gain: pass.weight(`${name}.weight`), eps: config.rms_norm_eps });

  // x[B T, D] + projection of attention [B T, D] over rotated qkv [B T, C] of norm(x)
  async function attend(pass: Pass, x: Tensor, layer: number): Promise<Tensor> {
    const p = `model.layers.${layer}.`;
    const site = 1 + 3 * layer;
    using normed = await rmsNorm(pass, x, `${p}input_layernorm`);
    using qkv = await pass.layout.linear(normed, pass.weight(`${p}self_attn.qkv_proj.weight`));
    using mixed = await pass.layout.attention(qkv, {
      shape: heads,
      sequence: pass.sequence,
      rotary: pass.rotary,
      dropout: dropoutArgs(pass, { place: "attention", site }),
      cache: pass.cache?.[layer],
    });
    using projected = await pass.layout.linear(mixed, pass.weight(`${p}self_attn.o_proj.weight`));
    using kept = maybeDropout(pass, projected, { place: "residual", site: site + 1 });
    return add(x, kept);
  }

  // x[B T, D] + projection of silu(gate) up [B T, F] of norm(x)
  async function feedForward(pass: Pass, x: Tensor, layer: number): Promise<Tensor> {
    const p = `model.layers.${layer}.`;
    using normed = await rmsNorm(pass, x, `${p}post_attention_layernorm`);
    using gateUp = await pass.layout.linear(normed, pass.weight(`${p}mlp.gate_up_proj.weight`));
    using active = siluGate(gateUp);
    using down = await pass.layout.linear(active, pass.weight(`${p}mlp.down_proj.weight`));
    using kept = maybeDropout(pass, down, { place: "residual", site: 3 + 3 * layer });
    return add(x, kept);
  }

  return {
    layers: num_hidden_layers,
    vocabSize: V,
    maxPositions: config.max_position_embeddings,
    heads,
    ropeTheta: config.rope_theta,
    dropout: { embedding: 0, residual: 0, attention: 0 },
    weights,

    async embed(pass) {
      const h = await pass.layout.embedding(pass.tape, {
        tokens: pass.tokens,
        table: pass.weight("model.embed_tokens.weight"),
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
      using normed = await rmsNorm(pass, x, "model.norm");
      return await pass.layout.head(
        normed,
        pass.weight(config.tie_word_embeddings ? "model.embed_tokens.weight" : "lm_head.weight"),
      );
    },
  };
}

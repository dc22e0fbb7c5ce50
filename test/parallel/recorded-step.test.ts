// A step that ranks make on shapes alone against the same step on a device: every message, every byte of memory.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { purposes } from "../../src/backend/memory.ts";
import { Ledger, type LedgerEntry } from "../../src/comm/ledger.ts";
import { runRanks } from "../../src/comm/loopback.ts";
import { type ModelConfig, parseModelConfig } from "../../src/nn/config.ts";
import { parametersOf, recordStep, spreadCorpus } from "../../src/plan/record-step.ts";
import { Works } from "../../src/plan/recorder.ts";
import type { TrainParameters } from "../../src/train/events.ts";
import type { Tokenizer } from "../../src/train/tokenizer.ts";
import { train } from "../../src/train/trainer.ts";
import { backendUnderTest, closeBackend } from "../gpu/harness.ts";
import { layoutOn, mesh, type NamedMesh } from "./meshes.ts";

const [batch, context] = [24, 16];
const vocab = 53;

const configs: Record<string, ModelConfig> = {
  "GPT-2": parseModelConfig({
    ...{ model_type: "gpt2", vocab_size: vocab, n_positions: context, n_layer: 2, n_embd: 48, n_head: 24 },
  }),
  Llama: parseModelConfig({
    ...{ model_type: "llama", vocab_size: vocab, max_position_embeddings: 40, num_hidden_layers: 2, hidden_size: 48 },
    ...{ num_attention_heads: 24, num_key_value_heads: 24, intermediate_size: 120 },
  }),
};

const plain: TrainParameters = parametersOf({ batch, context });

/** What a rank receives, by sender, operation and purpose. */
const lines = (entries: readonly LedgerEntry[]): string[] =>
  entries
    .map(({ from, to, op, purpose, messages, words, bytes }) =>
      [from, to, op, purpose, messages, words, bytes].join(" "),
    )
    .sort();

async function onDevice(
  shape: NamedMesh,
  { config, parameters }: { config: ModelConfig; parameters: TrainParameters },
) {
  const corpus = spreadCorpus(parameters, config.vocab_size);
  const tokenizer = { vocabSize: config.vocab_size } as Tokenizer;
  return runRanks({ size: shape.size, backend: await backendUnderTest() }, async (rank) => {
    const { backend } = rank;
    const ledger = new Ledger();
    const layout = layoutOn(shape, { ...rank, ledger, wire: parameters.wire });
    for await (const { event } of train({ backend, config, tokenizer, corpus, parameters, layout, ledger }))
      if (event === "step")
        return { entries: ledger.entries.filter(({ step }) => step > 0), peak: backend.memory.peak };
    throw new Error("no step");
  });
}

async function compare(shape: NamedMesh, run: { config: ModelConfig; parameters: TrainParameters }): Promise<void> {
  const { config, parameters } = run;
  const real = await onDevice(shape, run);
  const works = new Works();
  const corpus = spreadCorpus(parameters, config.vocab_size);
  for (const [rank, { entries, peak }] of real.entries()) {
    const recorded = await recordStep(rank, { step: { shape, ...run }, works, corpus });
    assert.equal(lines(recorded.entries), lines(entries), `messages to rank ${rank}`);
    for (const purpose of purposes) {
      const [got, wanted] = [recorded.peakBytes[purpose], peak[purpose]];
      // Blocks under way are scratch: how many at a time is decided by who is faster.
      if (purpose === "scratch") continue;
      if (purpose === "activations")
        assert.ok(Math.abs(got - wanted) <= 0.1 * wanted, `rank ${rank}, ${purpose}: ${got} bytes, not ${wanted}`);
      else assert.is(got, wanted, `rank ${rank}: ${purpose}`);
    }
    const [got, wanted] = [recorded.peakBytes.total, peak.total];
    assert.ok(Math.abs(got - wanted) <= 0.1 * wanted, `rank ${rank}: ${got} bytes in all, not ${wanted}`);
  }
}

for (const shape of [
  mesh("1d", [2]),
  mesh("1d", [4]),
  mesh("1d", [8]),
  mesh("1d-sp", [4]),
  mesh("2d", [2, 2]),
  mesh("2d", [4, 4]),
  mesh("2d", [3, 3]),
  mesh("2.5d", [2, 2, 2]),
  mesh("2.5d", [2, 2, 4]),
  mesh("2.5d", [4, 4, 2]),
  mesh("2.5d", [3, 3, 2]),
])
  for (const [name, config] of Object.entries(configs))
    test(`${shape.name}, ${name}: messages and bytes of memory as on a device`, () =>
      compare(shape, { config, parameters: plain }));

const others: Record<string, Partial<TrainParameters>> = {
  "recomputing, two micro-batches": { recompute: true, accumulate: 2 },
  "f16 on the wire": { wire: "f16" },
  "dropout, the loss in blocks": { dropout: 0.1, lossBlocks: 2 },
};
for (const [name, more] of Object.entries(others))
  test(`2.5d 2x2x2, ${name}: messages and bytes of memory as on a device`, () =>
    compare(mesh("2.5d", [2, 2, 2]), { config: configs["GPT-2"], parameters: { ...plain, ...more } }));

test.after(closeBackend);
test.run();

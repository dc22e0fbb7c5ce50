// The ledger of real steps against the closed forms: every rank, every purpose, to the word and the message.

import { test } from "uvu";
import * as assert from "uvu/assert";
import type { FloatType } from "../../src/backend/buffer.ts";
import { Ledger } from "../../src/comm/ledger.ts";
import { type Rank, runRanks } from "../../src/comm/loopback.ts";
import { type ModelConfig, parseModelConfig } from "../../src/nn/config.ts";
import { Model } from "../../src/nn/model.ts";
import { evaluationTraffic, logitsTraffic, type Traffic, trainingTraffic } from "../../src/nn/traffic.ts";
import { Tape } from "../../src/tensor/tape.ts";
import { AdamW } from "../../src/train/optimizer.ts";
import { backendUnderTest, closeBackend } from "../gpu/harness.ts";
import { layoutOn, mesh, type NamedMesh } from "./meshes.ts";
import { receivedByPurpose } from "./ranks.ts";

const context = 11;
const vocabSize = 53;
const gpt2 = (sizes: object) =>
  parseModelConfig({ model_type: "gpt2", vocab_size: vocabSize, n_positions: 14, n_layer: 2, ...sizes });
const llama = (sizes: object) =>
  parseModelConfig({
    model_type: "llama",
    vocab_size: vocabSize,
    max_position_embeddings: 14,
    num_hidden_layers: 2,
    ...sizes,
  });

// Heads divide over 2, 3 and 4 ranks.
const wide: [string, ModelConfig][] = [
  ["GPT-2", gpt2({ n_embd: 48, n_head: 12, n_inner: 60 })],
  ["GPT-2 without biases", gpt2({ n_embd: 24, n_head: 12, n_inner: 36, bias: false })],
  [
    "Llama, untied",
    llama({ hidden_size: 48, num_attention_heads: 24, num_key_value_heads: 12, intermediate_size: 36 }),
  ],
  [
    "Llama, tied",
    llama({ hidden_size: 24, num_attention_heads: 12, intermediate_size: 60, tie_word_embeddings: true }),
  ],
];
// Its gradients, summed over three planes by ring, are in parts that differ by one element.
const uneven: [string, ModelConfig] = ["GPT-2, uneven parts", gpt2({ n_embd: 40, n_head: 4, n_inner: 70 })];

const ids = (length: number, from: number) => Int32Array.from({ length }, (_, i) => ((i + from) * 7919) % vocabSize);

const receivedIn = (ledger: Ledger, step: number) =>
  receivedByPurpose(ledger.entries.filter((entry) => entry.step === step));

/** Of one rank, as the ledger's counts are given. */
const expectedOf = ({ words, messages }: Traffic, rank: number) => ({ words: words[rank], messages: messages[rank] });

/** Ledgers of all ranks after `program`. */
async function ledgersOf(
  shape: NamedMesh,
  program: (rank: Rank & { ledger: Ledger; model: Model }) => Promise<void>,
  { config, wire }: { config: ModelConfig; wire?: FloatType },
): Promise<Ledger[]> {
  const backend = await backendUnderTest();
  return runRanks({ size: shape.size, backend }, async (rank) => {
    const ledger = new Ledger();
    using model = new Model(rank.backend, { config, layout: layoutOn(shape, { ...rank, ledger, wire }), seed: 4 });
    await program({ ...rank, ledger, model });
    return ledger;
  });
}

const shapes = [
  mesh("2d", [2, 2]),
  mesh("2d", [3, 3]),
  mesh("2.5d", [2, 2, 2]),
  mesh("2.5d", [2, 2, 3]),
  mesh("2.5d", [3, 3, 2]),
  mesh("1d", [2]),
  mesh("1d", [3]),
  mesh("1d", [4]),
  mesh("1d-sp", [2]),
  mesh("1d-sp", [3]),
  mesh("1d-sp", [4]),
];

/** Of these the bytes are counted on a wire of f16 too. */
const halved = new Set(["1d 3", "1d-sp 4", "2d 2x2", "2.5d 2x2x2", "2.5d 2x2x3"]);
const waysOn = ({ name }: NamedMesh): { recompute: boolean; wire?: FloatType }[] => [
  { recompute: false },
  { recompute: true },
  ...(halved.has(name) ? [{ recompute: false, wire: "f16" as const }] : []),
];
/** What travels in f32 on every wire. */
const exact = new Set(["norm forward", "norm backward", "loss", "gradient norm"]);

for (const shape of shapes)
  for (const [name, config] of shape.name === "2.5d 2x2x3" ? [...wide, uneven] : wide)
    for (const { recompute, wire } of waysOn(shape))
      test(`${shape.name}, ${name}${recompute ? ", recomputing" : ""}${wire ? ", on a wire of f16" : ""}: each step's words and messages are the closed form's`, async () => {
        const batch = 12;
        const steps = [1, 2];
        // One of the two: micro-batches change a factor only.
        const accumulate = recompute ? 1 : 2;
        const ledgers = await ledgersOf(
          shape,
          async ({ backend, ledger, model }) => {
            const hyper = { beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1, clip: 1 };
            const { layout, parameters } = model;
            using optimizer = new AdamW(backend, { ...hyper, layout, parameters });
            for (const step of steps) {
              ledger.step = step;
              for (let micro = 0; micro < accumulate; micro++) {
                using tape = new Tape(backend, { recording: true });
                const loss = await model.loss(tape, {
                  tokens: ids(batch * context, micro),
                  targets: ids(batch * context, micro + 1),
                  sequence: { batch, tokens: context, offset: 0 },
                  scale: 1 / (accumulate * batch * context),
                  recompute,
                });
                await tape.backward(loss);
              }
              await optimizer.step({ gradients: await layout.reduceGradients(parameters), learningRate: 0.01 });
              // As a run does: only a wait for the device lets it free what the step no longer needs.
              assert.ok((await optimizer.normSquared.read())[0] > 0);
            }
          },
          { config, wire },
        );
        const traffic = trainingTraffic(config, { shape, batch, context, accumulate, recompute, wire });
        for (const [rank, ledger] of ledgers.entries())
          for (const step of steps) {
            assert.equal(receivedIn(ledger, step), expectedOf(traffic, rank), `rank ${rank}, step ${step}`);
            const bytes = ledger.entries
              .filter((each) => each.step === step)
              .reduce((sum, each) => sum + each.bytes, 0);
            assert.is(bytes, traffic.bytesReceived[rank]);
            if (!wire) continue;
            for (const { purpose, words, bytes } of ledger.entries)
              assert.is(bytes, (exact.has(purpose) ? 4 : 2) * words, purpose);
          }
      });

for (const shape of shapes)
  test(`${shape.name}: evaluation and logits of a batch that does not divide`, async () => {
    const [, config] = wide[0];
    const sequence = { batch: 5, tokens: 7, offset: 0 };
    const tokens = ids(35, 0);
    const ledgers = await ledgersOf(
      shape,
      async ({ backend, ledger, model }) => {
        ledger.step = 1;
        using tape = new Tape(backend, { recording: false });
        await model.loss(tape, { tokens, targets: ids(35, 1), sequence, scale: 1 / 35 });
        for (const last of [false, true]) {
          ledger.step = last ? 3 : 2;
          const logits = await model.logits(tape, { tokens, sequence });
          await model.layout.gatherLogits(logits, { sequence, vocabSize, last });
        }
      },
      { config },
    );
    const expected = [
      evaluationTraffic(config, { shape, batch: 5, context: 7 }),
      ...[false, true].map((last) => logitsTraffic(config, { shape, sequence, last })),
    ];
    for (const [rank, ledger] of ledgers.entries())
      for (const [index, form] of expected.entries())
        assert.equal(
          receivedIn(ledger, index + 1),
          expectedOf(form, rank),
          `rank ${rank}, ${["loss", "logits", "last"][index]}`,
        );
  });

for (const shape of shapes)
  test(`${shape.name}: evaluation of a whole batch, its loss in two blocks of rows`, async () => {
    const [, config] = wide[0];
    const [batch, context] = [24, 4];
    const ledgers = await ledgersOf(
      shape,
      async ({ backend, ledger, model }) => {
        ledger.step = 1;
        using tape = new Tape(backend, { recording: false });
        const sequence = { batch, tokens: context, offset: 0 };
        await model.loss(tape, { tokens: ids(96, 0), targets: ids(96, 1), sequence, scale: 1 / 96, lossBlocks: 2 });
      },
      { config },
    );
    const form = evaluationTraffic(config, { shape, batch, context, lossBlocks: 2 });
    for (const [rank, ledger] of ledgers.entries())
      assert.equal(receivedIn(ledger, 1), expectedOf(form, rank), `rank ${rank}`);
  });

test.after(closeBackend);
test.run();

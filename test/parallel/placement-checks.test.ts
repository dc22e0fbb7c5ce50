// Whole steps on a mesh with placements checked while running: none complains, every tensor of the models is followed, and what a user
// of a layout hands over by mistake is refused in a sentence.

import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Backend } from "../../src/backend/backend.ts";
import { runRanks } from "../../src/comm/loopback.ts";
import { type ModelConfig, parseModelConfig } from "../../src/nn/config.ts";
import { Model } from "../../src/nn/model.ts";
import { place, placementsOf, setPlacementChecks } from "../../src/parallel/placement.ts";
import { Summa } from "../../src/parallel/summa.ts";
import { add, gelu } from "../../src/tensor/ops/elementwise.ts";
import { Ids } from "../../src/tensor/ops/embedding.ts";
import { Tape } from "../../src/tensor/tape.ts";
import type { Parameter, Tensor } from "../../src/tensor/tensor.ts";
import { generate } from "../../src/train/generate.ts";
import { AdamW } from "../../src/train/optimizer.ts";
import { backendUnderTest, closeBackend } from "../gpu/harness.ts";

test.after.each(() => setPlacementChecks(false));
test.after(closeBackend);

const [vocabSize, tokens, samples] = [29, 7, 8];
const gpt2 = parseModelConfig({
  model_type: "gpt2",
  ...{ vocab_size: vocabSize, n_positions: 9, n_embd: 24, n_layer: 2, n_head: 6 },
});
const llama = parseModelConfig({
  model_type: "llama",
  ...{ vocab_size: vocabSize, max_position_embeddings: 9, hidden_size: 24, intermediate_size: 20 },
  ...{ num_hidden_layers: 2, num_attention_heads: 6, num_key_value_heads: 2 },
  ...{ rms_norm_eps: 1e-5, rope_theta: 10000, tie_word_embeddings: false },
});
const rates = { embedding: 0.3, residual: 0.2, attention: 0.4 };
const ids = (length: number, from: number) => Int32Array.from({ length }, (_, i) => ((i + from) * 7919) % vocabSize);

/** Two steps of two micro-batches with dropout, a gradient norm, and tokens generated with a cache. */
async function run({ layout, backend, config }: { layout: Summa; backend: Backend; config: ModelConfig }) {
  using model = new Model(backend, { config, layout, seed: 4 });
  const hyper = { beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1, clip: 1 };
  using optimizer = new AdamW(backend, { ...hyper, layout, parameters: model.parameters });
  const made = new Map<Tensor, string>();
  // A layout places what an op has made only after the op is recorded, so the question comes at the end.
  const observer = (op: string, output: Tensor) => made.set(output, op);
  const losses: number[] = [];
  let placements: unknown;
  for (let micro = 0; micro < 4; micro++) {
    using tape = new Tape(backend, { recording: true, observer });
    const loss = await model.loss(tape, {
      tokens: ids(samples * tokens, micro),
      targets: ids(samples * tokens, micro + 1),
      sequence: { batch: samples, tokens, offset: 0 },
      scale: 1 / (2 * samples * tokens),
      dropout: { seed: 9, step: micro, rates },
      recompute: micro % 2 === 1,
    });
    placements = placementsOf(loss);
    losses.push((await loss.read())[0]);
    await tape.backward(loss);
    if (micro % 2 === 0) continue;
    await optimizer.step({ gradients: await layout.reduceGradients(model.parameters), learningRate: 0.01 });
  }
  losses.push((await optimizer.normSquared.read())[0]);
  const sampling = { temperature: 1, topK: 5, topP: 1, seed: 1 };
  const text: number[] = [];
  for await (const token of generate(model, { ...sampling, prompt: ids(3, 0), tokens: 4 })) text.push(token);
  const unknown = [...made].filter(([output]) => !placementsOf(output)).map(([, op]) => op);
  return { numbers: [...losses, ...text], placements, made: made.size, unknown };
}

async function onMesh<T>({ q, d }: { q: number; d: number }, program: (layout: Summa, backend: Backend) => Promise<T>) {
  const device = await backendUnderTest();
  return runRanks({ size: q * q * d, backend: device, timeoutMs: 60_000 }, ({ link, backend }) =>
    program(new Summa({ backend, link, q, d }), backend),
  );
}

for (const { q, d } of [
  { q: 2, d: 1 },
  { q: 2, d: 2 },
])
  for (const config of [gpt2, llama])
    test(`${config.model_type} on ${q}x${q}x${d} with checks on: nothing to complain of, no tensor unknown, and the same numbers`, async () => {
      const free = await onMesh({ q, d }, (layout, backend) => run({ layout, backend, config }));
      setPlacementChecks(true);
      const checked = await onMesh({ q, d }, (layout, backend) => run({ layout, backend, config }));
      for (const [rank, { numbers, placements, made, unknown }] of checked.entries()) {
        assert.equal(unknown, []);
        assert.equal(placements, { i: "invariant", j: "invariant", k: "invariant" });
        assert.equal(numbers, free[rank].numbers);
        assert.is(free[rank].placements, undefined);
        assert.ok(made > 0);
        assert.is(free[rank].unknown.length, made);
      }
    });

// ---- what a user of a layout hands over ----------------------------------------------------------------------------------

const block = { i: "shard 0", j: "shard 1", k: "shard 0" } as const;

interface Hands {
  layout: Summa;
  /** [4, 4] of no known placement */
  x: Tensor;
  gain: Parameter;
  w: Parameter;
  targets: Ids;
}

/** What the first rank of 2x2x2 is told when every rank's program makes the same mistake, before anything is sent. */
async function refusal(program: (hands: Hands) => Promise<unknown>): Promise<string> {
  setPlacementChecks(true);
  const told = await onMesh({ q: 2, d: 2 }, async (layout, backend) => {
    using tape = new Tape(backend, { recording: true });
    const x = tape.input(new Float32Array(16), { shape: [4, 4], name: "x" });
    const initial = { kind: "constant", value: 1 } as const;
    using gain = layout.parameter({ name: "gain", shape: [8], kind: "vector", initial });
    using w = layout.parameter({ name: "w", shape: [8, 8], kind: "column", initial });
    const targets = tape.keep(new Ids(backend, { ids: new Int32Array(16), limit: 8 }));
    try {
      await program({ layout, x, gain, w, targets });
    } catch (error) {
      if (error instanceof TypeError) return error.message;
      throw error;
    }
    return "nothing was refused";
  });
  for (const other of told) assert.is(other, told[0]);
  return told[0];
}

const norm = ({ layout, gain }: Hands, x: Tensor) => layout.norm(x, { kind: "rms", gain, eps: 1e-5 });

test("a tensor of unknown origin is taken at its word", async () => {
  assert.is(await refusal((hands) => norm(hands, hands.x)), "nothing was refused");
});

test("a hand-made partial sum given to a norm is refused, also after ops that know no placements", async () => {
  const sentence = "norm's x is a partial sum on axis j, needed shard 1; reduceScatter it over j (to shard 1)";
  assert.is(await refusal((hands) => norm(hands, place(hands.x, { ...block, j: "partial" }))), sentence);
  assert.is(await refusal((hands) => norm(hands, gelu(place(hands.x, { ...block, j: "partial" }), "exact"))), sentence);
});

test("a partial sum added to the residual stream is refused", async () => {
  const said = await refusal(async ({ layout, x, w }) => {
    const h = await layout.linear(place(x, block), w);
    return add(h, place(x, { ...block, j: "partial" }));
  });
  assert.is(said, "a term of a sum is a partial sum on axis j, needed shard 1; reduceScatter it over j (to shard 1)");
});

test("gathered logits given to the loss, which would be off by the log of a row's ranks, are refused", async () => {
  const said = await refusal(({ layout, x, targets }) =>
    layout.crossEntropy(place(x, { ...block, j: "invariant" }), { targets, vocabSize: 8, scale: 1, rows: 16 }),
  );
  assert.is(said, "crossEntropy's logits is invariant on axis j, needed shard 1; split it over j (to shard 1)");
});

test("a vector given as a product's weight is refused", async () => {
  const said = await refusal(({ layout, x, gain }) => layout.linear(x, gain));
  assert.match(said, /^linear's w is replicate on axis i, needed shard 0; /);
});

test.run();

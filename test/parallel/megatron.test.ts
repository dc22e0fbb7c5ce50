// 1D, with and without sequence parallelism: PyTorch's numbers on 2, 3, 4 and 8 ranks, and the serial layout's where PyTorch's fixtures
// have nothing to say (dropout, padded batches, generation, words sent).

import { test } from "uvu";
import * as assert from "uvu/assert";
import { Ledger, totals } from "../../src/comm/ledger.ts";
import { type Rank, runRanks } from "../../src/comm/loopback.ts";
import { type ModelConfig, parseModelConfig } from "../../src/nn/config.ts";
import { type CheckpointTensors, Model } from "../../src/nn/model.ts";
import type { Layout } from "../../src/parallel/layout.ts";
import { Megatron } from "../../src/parallel/megatron.ts";
import { setPlacementChecks } from "../../src/parallel/placement.ts";
import { Serial } from "../../src/parallel/serial.ts";
import { Tape } from "../../src/tensor/tape.ts";
import { meanLoss } from "../../src/train/evaluate.ts";
import { verifyTolerances } from "../../src/train/events.ts";
import { generate } from "../../src/train/generate.ts";
import { AdamW } from "../../src/train/optimizer.ts";
import { verifyReference } from "../../src/train/verify.ts";
import { fixture } from "../fixtures/reference.ts";
import { backendUnderTest, closeBackend } from "../gpu/harness.ts";

test.before(() => setPlacementChecks(true));
test.after(() => setPlacementChecks(false));
test.after(closeBackend);

type Shape = { size: number; sequenceParallel: boolean };
const named = ({ size, sequenceParallel }: Shape) => `${sequenceParallel ? "1d-sp" : "1d"} on ${size} ranks`;
const both = (sizes: readonly number[]): Shape[] =>
  sizes.flatMap((size) => [false, true].map((sequenceParallel) => ({ size, sequenceParallel })));

/** Every rank's result, after seeing that none left memory behind. */
async function onRanks<T>(
  { size, sequenceParallel, ledger }: Shape & { ledger?: Ledger },
  program: (rank: Rank & { layout: Megatron }) => Promise<T>,
): Promise<T[]> {
  const device = await backendUnderTest();
  const results = await runRanks({ size, backend: device, timeoutMs: 60_000 }, async ({ link, backend }) => {
    const layout = new Megatron({ backend, link, sequenceParallel, ledger });
    return { backend, result: await program({ link, backend, layout }) };
  });
  // Only now: a rank's last message may be read after the rank has ended.
  for (const [rank, { backend }] of results.entries())
    assert.is(backend.memory.total, 0, `rank ${rank} left memory allocated`);
  assert.is(device.memory.total, 0, "nothing is left allocated");
  return results.map(({ result }) => result);
}

async function onOne<T>(program: (layout: Serial) => Promise<T>): Promise<T> {
  return program(new Serial(await backendUnderTest()));
}

// ---- PyTorch's numbers --------------------------------------------------------------------------------------------------

for (const [name, shapes] of [
  ["gpt2", both([2, 4, 8])],
  ["llama", both([2, 4])],
  // 55 rows: no number of ranks that divides the heads divides them too.
  ["gpt2-exact", [{ size: 3, sequenceParallel: false }]],
  ["llama-tied", [{ size: 2, sequenceParallel: false }]],
] as const)
  for (const shape of shapes)
    test(`${named(shape)}, ${name}: logits, gradients, losses and trained weights are PyTorch's`, async () => {
      const files = fixture(name);
      const [result] = await onRanks(shape, ({ backend, layout }) =>
        verifyReference({ backend, files, layout, slack: 2 }),
      );
      assert.ok(result.pass, JSON.stringify(result));
      assert.ok(result.gradNorm <= 4e-5, `gradient norm off by ${result.gradNorm}`);
    });

// ---- the serial layout's ------------------------------------------------------------------------------------------------

// 84 rows divide over 2, 3 and 6 ranks, 7 samples do not: a rank's rows begin in the middle of one.
const tokens = 12;
const samples = 7;
const vocabSize = 53;
const gpt2 = parseModelConfig({
  model_type: "gpt2",
  vocab_size: vocabSize,
  n_positions: 14,
  n_embd: 36,
  n_layer: 2,
  n_head: 6,
});
const llama = parseModelConfig({
  model_type: "llama",
  vocab_size: vocabSize,
  max_position_embeddings: 14,
  hidden_size: 48,
  intermediate_size: 66,
  num_hidden_layers: 2,
  num_attention_heads: 12,
  num_key_value_heads: 6,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  tie_word_embeddings: false,
});
const ids = (length: number, from: number) => Int32Array.from({ length }, (_, i) => ((i + from) * 7919) % vocabSize);

interface Step {
  config: ModelConfig;
  layout: Layout;
  recompute: boolean;
  steps: number;
}

const rates = { embedding: 0.3, residual: 0.2, attention: 0.4 };

/** Steps with dropout over two micro-batches; the first step's gradients, each step's loss, and this rank's blocks after the last. */
async function train(backend: Model["backend"], { config, layout, recompute, steps }: Step) {
  using model = new Model(backend, { config, layout, seed: 4 });
  const hyper = { beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1, clip: 1 };
  using optimizer = new AdamW(backend, { ...hyper, layout, parameters: model.parameters });
  const losses: number[] = [];
  let gradients: CheckpointTensors = new Map();
  for (let step = 0; step < steps; step++) {
    for (const micro of [0, 1]) {
      using tape = new Tape(backend, { recording: true });
      const loss = await model.loss(tape, {
        tokens: ids(samples * tokens, micro + 2 * step),
        targets: ids(samples * tokens, micro + 2 * step + 1),
        sequence: { batch: samples, tokens, offset: 0 },
        scale: 1 / (2 * samples * tokens),
        dropout: { seed: 9, step: 2 * step + micro, rates },
        recompute,
      });
      losses.push((await loss.read())[0]);
      await tape.backward(loss);
    }
    const reduced = await layout.reduceGradients(model.parameters);
    if (step === 0) gradients = await model.checkpoint((parameter) => parameter.gradient, { to: 0 });
    await optimizer.step({ gradients: reduced, learningRate: 0.01 });
  }
  const norm = (await optimizer.normSquared.read())[0];
  const blocks = new Map<string, { kind: string; data: Float32Array; gradient: Float32Array }>();
  for (const [index, { name, kind }] of model.architecture.weights.entries()) {
    const parameter = model.parameters[index];
    const read = async (of: typeof parameter.gradient) => (await of.read()) as Float32Array;
    blocks.set(name, { kind, data: await read(parameter), gradient: await read(parameter.gradient) });
  }
  return { losses, gradients, norm, blocks };
}

function relativeError(ours: ArrayLike<number>, theirs: ArrayLike<number>): number {
  let [difference, size] = [0, 0];
  for (let i = 0; i < theirs.length; i++) {
    difference += (ours[i] - theirs[i]) ** 2;
    size += theirs[i] ** 2;
  }
  return Math.sqrt(difference / size);
}

for (const [config, shapes] of [
  [gpt2, both([2, 3])],
  [llama, both([3, 6])],
] as const)
  for (const shape of shapes)
    test(`${named(shape)}, ${config.model_type} with dropout over two micro-batches: serial's masks, losses and gradients`, async () => {
      const backend = await backendUnderTest();
      const serial = await onOne((layout) => train(backend, { config, layout, recompute: false, steps: 1 }));
      for (const recompute of [false, true]) {
        const [ours] = await onRanks(shape, ({ backend: own, layout }) =>
          train(own, { config, layout, recompute, steps: 1 }),
        );
        // Each of the two is held to this much of the exact gradient, so they are no further apart than twice that. Another mask
        // changes a gradient by as much as its size.
        assert.is(ours.gradients.size, serial.gradients.size);
        for (const [name, { data }] of serial.gradients) {
          const error = relativeError(ours.gradients.get(name)!.data, data);
          assert.ok(error <= 2 * verifyTolerances.grad, `${name}: gradient off by ${error}`);
        }
        const off = relativeError(ours.losses, serial.losses);
        assert.ok(off <= 2 * verifyTolerances.loss, `losses off by ${off}`);
        const norm = Math.abs(Math.sqrt(ours.norm / serial.norm) - 1);
        assert.ok(norm <= 2 * verifyTolerances.grad, `gradient norm off by ${norm}`);
      }
    });

for (const shape of both([3]))
  test(`${named(shape)}: what every rank holds whole is the same to the bit after three steps, gradients too`, async () => {
    for (const config of [gpt2, llama]) {
      const ranks = await onRanks(shape, ({ backend, layout }) =>
        train(backend, { config, layout, recompute: false, steps: 3 }),
      );
      let compared = 0;
      for (const { blocks, losses, norm } of ranks.slice(1)) {
        assert.equal(losses, ranks[0].losses);
        assert.is(norm, ranks[0].norm);
        for (const [name, { kind, data, gradient }] of blocks) {
          if (!["rowBias", "vector", "positions"].includes(kind)) continue;
          const first = ranks[0].blocks.get(name)!;
          assert.equal(data, first.data, name);
          assert.equal(gradient, first.gradient, `gradient of ${name}`);
          assert.ok(
            gradient.some((value) => value !== 0),
            `gradient of ${name} is zero`,
          );
          compared++;
        }
      }
      assert.ok(compared > 0);
    }
  });

for (const shape of both([2, 3]))
  test(`${named(shape)}: dropout on the residual stream and inside attention drops what serial's drops`, async () => {
    const cols = 6;
    const batch = 3;
    const rows = batch * shape.size;
    const head = { heads: 2 * shape.size, kvHeads: shape.size, headWidth: 4 };
    const width = (head.heads + 2 * head.kvHeads) * head.headWidth;
    const draw = { probability: 0.5, seed: 5, stream: 3, step: 2 };
    const sequence = { batch, tokens: shape.size, offset: 0 };
    const x = Float32Array.from({ length: rows * cols }, (_, i) => i + 1);
    const qkv = Float32Array.from({ length: rows * width }, (_, i) => Math.sin(i));
    const compute = async (backend: Model["backend"], layout: Layout, own: { x: Float32Array; qkv: Float32Array }) => {
      using tape = new Tape(backend, { recording: false });
      const stream = tape.input(own.x, { shape: [own.x.length / cols, cols] });
      const fused = tape.input(own.qkv, { shape: [rows, own.qkv.length / rows] });
      const kept = await layout.dropout(stream, draw).read();
      const mixed = await layout.attention(fused, { shape: head, sequence, dropout: draw });
      return { kept: kept as Float32Array, mixed: (await mixed.read()) as Float32Array };
    };
    const backend = await backendUnderTest();
    const whole = await onOne((layout) => compute(backend, layout, { x, qkv }));
    const columns = (data: Float32Array, { of, rank }: { of: number; rank: number }) => {
      const part = of / shape.size;
      return data.filter((_, at) => Math.floor((at % of) / part) === rank);
    };
    const block = (data: Float32Array, rank: number) =>
      shape.sequenceParallel
        ? data.slice((rank * data.length) / shape.size, ((rank + 1) * data.length) / shape.size)
        : data;
    const ranks = await onRanks(shape, ({ backend: own, layout }) =>
      compute(own, layout, { x: block(x, layout.rank), qkv: columns(qkv, { of: width, rank: layout.rank }) }),
    );
    const dropped = whole.kept.filter((value) => value === 0).length;
    assert.ok(dropped > 0 && dropped < whole.kept.length);
    for (const [rank, { kept, mixed }] of ranks.entries()) {
      assert.equal(kept, block(whole.kept, rank));
      assert.equal(mixed, columns(whole.mixed, { of: head.heads * head.headWidth, rank }));
    }
  });

for (const [config, shapes] of [
  [gpt2, both([2, 3])],
  [llama, both([6])],
] as const)
  for (const shape of shapes) {
    test(`${named(shape)}, ${config.model_type}: the loss of windows whose rows do not divide is serial's`, async () => {
      const [count, context] = [5, 11];
      const windows = { inputs: ids(count * context, 3), targets: ids(count * context, 4), count };
      const measure = async (backend: Model["backend"], layout: Layout) => {
        using model = new Model(backend, { config, layout, seed: 4 });
        // Batches of 2, 2 and 1 sample of 11 tokens.
        return await meanLoss(model, { windows, context, batch: 2 });
      };
      const backend = await backendUnderTest();
      const serial = await onOne((layout) => measure(backend, layout));
      for (const loss of await onRanks(shape, ({ backend: own, layout }) => measure(own, layout)))
        assert.ok(Math.abs(loss / serial - 1) <= 2 * verifyTolerances.loss, `${loss} instead of ${serial}`);
    });

    test(`${named(shape)}, ${config.model_type}: serial's text on every rank, with a key-value cache and without`, async () => {
      const prompt = Int32Array.from([3, 1, 4, 1, 5]);
      const text = async (backend: Model["backend"], layout: Layout) => {
        using model = new Model(backend, { config, layout, seed: 2 });
        const texts: number[][] = [];
        for (const cache of [true, false]) {
          const text: number[] = [];
          const sampling = { temperature: 1, topK: 0, topP: 1, seed: 5 };
          for await (const token of generate(model, { ...sampling, prompt, tokens: 14, cache })) text.push(token);
          texts.push(text);
        }
        return texts;
      };
      const backend = await backendUnderTest();
      const [serial] = await onOne((layout) => text(backend, layout));
      assert.is(serial.length, 14);
      for (const texts of await onRanks(shape, ({ backend: own, layout }) => text(own, layout)))
        assert.equal(texts, [serial, serial]);
    });
  }

// ---- words --------------------------------------------------------------------------------------------------------------

for (const { sequenceParallel, backward } of [
  { sequenceParallel: false, backward: 4 },
  { sequenceParallel: true, backward: 6 },
]) {
  const shape = { size: 3, sequenceParallel };
  test(`${named(shape)}: a layer's linears receive 4 (P-1)/P T h words forward, ${backward} backward`, async () => {
    const ledger = new Ledger();
    const [layers, width, batch] = [2, 48, 9];
    // Large enough for all-reduces by ring, the form that the formula is of; every extent divides over the ranks.
    const sequence = { batch, tokens: 12, offset: 0 };
    const rows = batch * sequence.tokens;
    assert.ok(rows * width > 4096);
    const config = parseModelConfig({ ...gpt2, n_embd: width, n_layer: layers });
    await onRanks({ ...shape, ledger }, async ({ backend, layout }) => {
      using model = new Model(backend, { config, layout, seed: 4 });
      using tape = new Tape(backend, { recording: true });
      const batches = { tokens: ids(rows, 0), targets: ids(rows, 1), sequence, scale: 1 / rows };
      await tape.backward(await model.loss(tape, batches));
    });
    for (let rank = 0; rank < shape.size; rank++) {
      const own = ledger.entries.filter(({ to }) => to === rank);
      const words = totals(own, ({ purpose }) => purpose);
      const unit = (layers * (shape.size - 1) * rows * width) / shape.size;
      assert.is(words.get("linear forward")?.words, 4 * unit);
      assert.is(words.get("linear backward")?.words, backward * unit);
    }
  });
}

test.run();

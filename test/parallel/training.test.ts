// Longer runs on meshes: copies stay equal to the bit, runs repeat, samples are shared out and not repeated, and what a user sees
// (losses, evaluations, text) is the serial layout's.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { trainOnMesh } from "../../src/cluster/launch.ts";
import { runRanks } from "../../src/comm/loopback.ts";
import { parseModelConfig } from "../../src/nn/config.ts";
import { Model } from "../../src/nn/model.ts";
import type { Layout } from "../../src/parallel/layout.ts";
import { placeOf, rankOf } from "../../src/parallel/place.ts";
import { meshShape, parseMesh } from "../../src/parallel/shape.ts";
import { Ids } from "../../src/tensor/ops/embedding.ts";
import { Tape } from "../../src/tensor/tape.ts";
import { meanLoss } from "../../src/train/evaluate.ts";
import { type EvalEvent, type StepEvent, type TrainParameters, verifyTolerances } from "../../src/train/events.ts";
import { generate } from "../../src/train/generate.ts";
import { backendUnderTest, closeBackend } from "../gpu/harness.ts";
import * as toy from "../training/toy.ts";
import { layoutOn, mesh } from "./meshes.ts";
import { ids, type Program, type Seen, unequalCopies, watchRanks, watchSerial } from "./observed.ts";

const vocabSize = 53;
const gpt2 = parseModelConfig({
  ...{ model_type: "gpt2", vocab_size: vocabSize, n_positions: 9 },
  ...{ n_embd: 24, n_inner: 42, n_layer: 1, n_head: 6 },
});
const llama = parseModelConfig({
  ...{ model_type: "llama", vocab_size: vocabSize, max_position_embeddings: 9, tie_word_embeddings: false },
  ...{ hidden_size: 24, intermediate_size: 42, num_hidden_layers: 1, num_attention_heads: 12, num_key_value_heads: 6 },
});
const models = [
  { name: "GPT-2", config: gpt2 },
  { name: "Llama", config: llama },
];
/** The long runs take one model each where a CPU stands in for a GPU: both together took lavapipe 180 s, on
 *  two cores that others were using too, and the cpu backend 45. */
const all = process.env.SHARDGRAD_TEST_BACKEND === "cpu";
const cube = mesh("2.5d", [2, 2, 2]);
const deep = mesh("2.5d", [2, 2, 3]);

// ---- copies, and runs of the same seed ----------------------------------------------------------------------------------

const long: Omit<Program, "config"> = {
  ...{ batch: 4, context: 5, accumulate: 1, steps: 50, dropout: 0.1, clip: 0.1, recompute: false, samples: 3 },
};

const bitsOf = ({ losses, norms, blocks }: Seen) => ({
  ...{ losses, norms },
  blocks: [...blocks].map(([name, { data, gradient }]) => ({ name, data, gradient })),
});

for (const { name, config } of all ? models : models.slice(0, 1))
  test(`2.5d 2x2x2, ${name}: after 50 steps copies of weights, biases and norms are equal to the bit, and runs repeat`, async () => {
    const device = await backendUnderTest();
    const program = { ...long, config };
    const ranks = await watchRanks(cube, { device, program });
    assert.equal(unequalCopies(ranks), []);
    // Every block is on two planes at least: there was something to compare.
    for (const [block, { copies }] of ranks[0].blocks)
      assert.ok(
        ranks.slice(4).some((other) => other.blocks.get(block)?.copies === copies),
        `${block} has no copy`,
      );
    assert.ok(
      ranks[0].norms.every((norm) => norm > long.clip),
      "clipping is not always active",
    );
    const first = await watchRanks(cube, { device, program: { ...program, steps: 9 } });
    const second = await watchRanks(cube, { device, program: { ...program, steps: 9 } });
    assert.equal(second.map(bitsOf), first.map(bitsOf));
    assert.equal(first[0].losses, ranks[0].losses.slice(0, 9));
    assert.is(device.memory.total, 0, "nothing is left allocated");
  });

// ---- who sees which samples ------------------------------------------------------------------------------------------------

/** Every (sample, token) has an id of its own, embedded as that number; attention averages over the tokens so far. */
async function samplesSeen(layout: Layout, { q, d, backend }: { q: number; d: number; backend: Model["backend"] }) {
  const [batch, tokens, heads, headWidth] = [2 * d * q, 3, q, 2];
  const width = heads * headWidth;
  const count = batch * tokens;
  const vocab = count + 1;
  const sequence = { batch, tokens, offset: 0 };
  const filled = (rows: number, cols: number, value: (row: number, col: number) => number) =>
    Float32Array.from({ length: rows * cols }, (_, at) => value(Math.floor(at / cols), at % cols));
  const initial = (data: Float32Array) => ({ initial: { kind: "data" as const, data } });
  using table = layout.parameter({
    ...{ name: "table", shape: [vocab, width], kind: "vocabulary" },
    ...initial(filled(vocab, width, (row) => row)),
  });
  // Of each head's q, k and v columns only v's get the (equal) columns' mean; queries and keys are zero.
  using values = layout.parameter({
    ...{ name: "values", shape: [width, 3 * width], kind: "column" },
    ...initial(filled(width, 3 * width, (_, col) => (Math.floor(col / headWidth) % 3 === 2 ? 1 / width : 0))),
  });
  using tape = new Tape(backend, { recording: true });
  const own = tape.keep(new Ids(backend, { ids: Int32Array.from({ length: count }, (_, at) => at), limit: vocab }));
  using embedded = await layout.embedding(tape, { tokens: own, table });
  using qkv = await layout.linear(embedded, values);
  using mixed = await layout.attention(qkv, { shape: { heads, kvHeads: heads, headWidth }, sequence });
  using logits = await layout.head(embedded, table);
  const next = tape.keep(
    new Ids(backend, { ids: Int32Array.from({ length: count }, (_, at) => at + 1), limit: vocab }),
  );
  const uniform = tape.empty({ shape: logits.shape, requiresGrad: true });
  backend.run("fill", { y: uniform.buffer, n: uniform.size, value: 0 });
  const loss = await layout.crossEntropy(uniform, { targets: next, vocabSize: vocab, scale: 1, rows: count });
  const lossValue = (await loss.read())[0];
  await tape.backward(loss);
  const [rows, cols] = uniform.shape;
  const gradient = await (tape.gradient(uniform) as NonNullable<ReturnType<Tape["gradient"]>>).read();
  const firstOfRow = (data: ArrayLike<number>, of: number) => Array.from({ length: rows }, (_, row) => data[row * of]);
  const column = layout.rank % q;
  const targets: number[] = [];
  for (const [at, value] of gradient.entries()) if (value < 0) targets.push(column * cols + (at % cols));
  return {
    embedded: firstOfRow(await embedded.read(), width / q),
    mixed: firstOfRow(await mixed.read(), width / q),
    /** of this rank's vocabulary block */
    targets,
    ...{ tokens, count, loss: lossValue, vocab },
  };
}

for (const shape of [mesh("2d", [3, 3]), deep, mesh("2.5d", [3, 3, 2])])
  test(`${shape.name}: rows and planes embed, attend over and lose on samples of their own, together the batch`, async () => {
    const { q, d, size } = shape;
    const backend = await backendUnderTest();
    const ranks = await runRanks({ size, backend }, (rank) =>
      samplesSeen(layoutOn(shape, rank), { q, d, backend: rank.backend }),
    );
    const { count, tokens, vocab } = ranks[0];
    const own = count / (d * q);
    for (const [rank, { embedded, mixed }] of ranks.entries()) {
      const { i, k } = placeOf(rank, q);
      const from = (i + q * k) * own;
      assert.equal(
        embedded,
        Array.from({ length: own }, (_, at) => from + at),
      );
      for (const [at, mean] of mixed.entries()) {
        // Tokens 0 .. t of a sample whose ids follow each other: half-way between the first and t. Whole numbers round nowhere but in
        // the division by 3 and in exponentials' sums.
        const t = at % tokens;
        const expected = from + at - t / 2;
        assert.ok(Math.abs(mean - expected) <= 8 * 2 ** -24 * (expected + 1), `rank ${rank}: ${mean} for ${expected}`);
      }
    }
    for (let i = 0; i < q; i++)
      for (let k = 0; k < d; k++) {
        const row = Array.from({ length: q }, (_, j) => ranks[rankOf({ i, j, k }, q)]);
        const targets = row.flatMap((rank) => rank.targets).sort((a, b) => a - b);
        const from = (i + q * k) * own;
        assert.equal(
          targets,
          Array.from({ length: own }, (_, at) => from + at + 1),
        );
      }
    // Equal logits: the loss of guessing, on every rank, not off by the log of the padding's or the ranks' number.
    for (const { loss } of ranks)
      assert.ok(Math.abs(loss / (count * Math.log(vocab)) - 1) <= verifyTolerances.loss, `loss ${loss}`);
  });

// ---- what published code gets wrong ----------------------------------------------------------------------------------------

for (const shape of [cube, deep, mesh("2d", [3, 3]), mesh("1d", [3]), mesh("1d-sp", [3])])
  test(`${shape.name}: biases and norms count once in the gradient norm, not once a copy`, async () => {
    const device = await backendUnderTest();
    const program = { ...long, config: gpt2, batch: 12, context: 6, steps: 1 };
    const ranks = await watchRanks(shape, { device, program });
    let once = 0;
    let often = 0;
    for (const [name, { data, shape: extents }] of ranks[0].gradients) {
      const square = data.reduce((sum, x) => sum + x * x, 0);
      const copies = extents.length === 1 && !/c_attn|c_fc/.test(name) ? shape.size : 1;
      once += square;
      often += copies * square;
    }
    const off = (square: number) => Math.abs(ranks[0].norms[0] / Math.sqrt(square) - 1);
    assert.ok(off(once) <= verifyTolerances.grad, `gradient norm off by ${off(once)}`);
    assert.ok(off(often) > 1e-2, "counting copies would show");
  });

for (const layout of ["1d", "1d-sp", "2d", "2.5d"] as const)
  for (const vocab of [5, 53])
    test(`${layout}: ${vocab} words on ranks that do not divide them: equal logits cost log ${vocab}, whatever padding holds`, async () => {
      const shape = { "1d": mesh("1d", [3]), "1d-sp": mesh("1d-sp", [3]), "2d": mesh("2d", [3, 3]), "2.5d": deep }[
        layout
      ];
      const backend = await backendUnderTest();
      const rows = 12;
      const losses = await runRanks({ size: shape.size, backend }, async (rank) => {
        const own = layoutOn(shape, rank);
        const across = layout === "1d" || layout === "1d-sp" ? shape.size : shape.q;
        const cols = (Math.ceil(vocab / (4 * across)) * 4 * across) / across;
        const here = rows / (shape.size / across);
        const first = (own.rank % across) * cols;
        using tape = new Tape(rank.backend, { recording: false });
        const data = Float32Array.from({ length: here * cols }, (_, at) => (first + (at % cols) < vocab ? 7 : 100));
        const targets = tape.keep(new Ids(rank.backend, { ids: ids(rows, { vocab, from: 1 }), limit: vocab }));
        const logits = tape.input(data, { shape: [here, cols] });
        const loss = await own.crossEntropy(logits, { targets, vocabSize: vocab, scale: 1 / rows, rows });
        return (await loss.read())[0];
      });
      for (const loss of losses)
        assert.ok(Math.abs(loss / Math.log(vocab) - 1) <= verifyTolerances.loss, `${loss}, log ${Math.log(vocab)}`);
    });

// ---- what a user sees -----------------------------------------------------------------------------------------------------------

async function runOn(text: string, changes: Partial<TrainParameters>, config = toy.llama) {
  const layout = text === "1" ? "serial" : undefined;
  const shape = meshShape({ layout, dims: parseMesh(text) });
  const run = { backend: await backendUnderTest(), shape, config, tokenizer: toy.tokenizer, corpus: toy.corpus };
  const steps: StepEvent[] = [];
  const evaluations: EvalEvent[] = [];
  for await (const event of trainOnMesh({ ...run, parameters: { ...toy.parameters, ...changes } })) {
    if (event.event === "step") steps.push(event);
    if (event.event === "eval") evaluations.push(event);
  }
  return { steps, evaluations };
}

const apart = (a: number, b: number) => Math.abs(a / b - 1);

for (const [name, config] of [["Llama", toy.llama] as const, ...(all ? [["GPT-2", toy.gpt2] as const] : [])])
  test(`2.5d 2x2x2, ${name}: 30 clipped steps of two micro-batches, each loss within 1e-4 of one rank's`, async () => {
    assert.is.not(toy.corpus.windows("validation").count % 4, 0, "the last batch of an evaluation is whole");
    const changes = { steps: 30, batch: 4, accumulate: 2, clip: 0.5, dropout: 0.1, evalEvery: 15, evalBatches: 0 };
    const serial = await runOn("1", changes, config);
    const { steps, evaluations } = await runOn("2x2x2", changes, config);
    assert.is(steps.length, 30);
    for (const [index, { loss, gradNorm }] of steps.entries()) {
      const wanted = serial.steps[index];
      assert.ok(apart(loss, wanted.loss) <= 1e-4, `step ${index + 1}: loss ${loss}, one rank's ${wanted.loss}`);
      assert.ok(gradNorm > changes.clip, `step ${index + 1} is not clipped`);
    }
    assert.is(evaluations.length, serial.evaluations.length);
    for (const [index, { trainLoss, validationLoss }] of evaluations.entries()) {
      const wanted = serial.evaluations[index];
      assert.ok(apart(trainLoss, wanted.trainLoss) <= 1e-4, `${trainLoss}, one rank's ${wanted.trainLoss}`);
      assert.ok(apart(validationLoss, wanted.validationLoss) <= 1e-4, `${validationLoss}, ${wanted.validationLoss}`);
    }
  });

test("2.5d 2x2x2: two micro-batches of four are one batch of eight", async () => {
  const whole = await runOn("2x2x2", { batch: 8, steps: 6 });
  const halves = await runOn("2x2x2", { batch: 4, accumulate: 2, steps: 6 });
  for (const [index, { loss, gradNorm }] of halves.steps.entries()) {
    const wanted = whole.steps[index];
    // The same 96 losses summed in another order, each way within its tolerance of the exact result.
    assert.ok(apart(loss, wanted.loss) <= 2 * verifyTolerances.loss, `step ${index + 1}: ${loss} and ${wanted.loss}`);
    if (index === 0) assert.ok(apart(gradNorm, wanted.gradNorm) <= 2 * verifyTolerances.grad);
  }
});

for (const { name, config } of models)
  for (const shape of [mesh("2d", [3, 3]), deep]) {
    test(`${shape.name}, ${name}: evaluation's batches do not divide, and its loss is one rank's`, async () => {
      const [context, count] = [7, 8];
      const part = (from: number) => ids(count * context, { vocab: vocabSize, from });
      const windows = { inputs: part(3), targets: part(4), count };
      const measure = async (backend: Model["backend"], layout: Layout) => {
        using model = new Model(backend, { config, layout, seed: 4 });
        // Batches of 5 and 3.
        return await meanLoss(model, { windows, context, batch: 5 });
      };
      const backend = await backendUnderTest();
      const [serial] = await runRanks({ size: 1, backend }, (rank) =>
        measure(rank.backend, layoutOn(mesh("serial", [1]), rank)),
      );
      const ranks = await runRanks({ size: shape.size, backend }, (rank) =>
        measure(rank.backend, layoutOn(shape, rank)),
      );
      for (const loss of ranks)
        assert.ok(apart(loss, serial) <= 2 * verifyTolerances.loss, `${loss}, one rank's ${serial}`);
    });

    test(`${shape.name}, ${name}: one rank's text on every rank, with a key-value cache and without`, async () => {
      const prompt = Int32Array.from([3, 1, 4]);
      const write = async (backend: Model["backend"], layout: Layout) => {
        using model = new Model(backend, { config, layout, seed: 2 });
        const texts: number[][] = [];
        for (const cache of [true, false]) {
          const text: number[] = [];
          const sampling = { temperature: 1, topK: 0, topP: 1, seed: 5 };
          for await (const token of generate(model, { ...sampling, prompt, tokens: 11, cache })) text.push(token);
          texts.push(text);
        }
        return texts;
      };
      const backend = await backendUnderTest();
      const [[serial]] = await runRanks({ size: 1, backend }, (rank) =>
        write(rank.backend, layoutOn(mesh("serial", [1]), rank)),
      );
      assert.is(serial.length, 11);
      const ranks = await runRanks({ size: shape.size, backend }, (rank) => write(rank.backend, layoutOn(shape, rank)));
      for (const texts of ranks) assert.equal(texts, [serial, serial]);
    });
  }

test("clipping on a mesh changes the weights as on one rank", async () => {
  const device = await backendUnderTest();
  const program = { ...long, config: gpt2, steps: 3, clip: 0.1 };
  const [clipped] = await watchRanks(cube, { device, program });
  const [free] = await watchRanks(cube, { device, program: { ...program, clip: 0 } });
  const serial = await watchSerial(device, program);
  assert.is(clipped.losses[0], free.losses[0]);
  assert.is.not(clipped.losses[2], free.losses[2]);
  assert.ok(apart(clipped.losses[2], serial.losses[2]) <= 2 * verifyTolerances.loss);
});

test.after(closeBackend);
test.run();

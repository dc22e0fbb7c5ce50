// Checkpoints come from anywhere: what is no intact one of the run's model is refused in a sentence, before anything is allocated.

import { test } from "uvu";
import { equal, is, match, ok } from "uvu/assert";
import { createBackend } from "../../src/backend/select.ts";
import { trainOnMesh } from "../../src/cluster/launch.ts";
import { type ModelConfig, parseModelConfig } from "../../src/nn/config.ts";
import { meshShape } from "../../src/parallel/shape.ts";
import { openCheckpoint, readCheckpoint } from "../../src/train/checkpoint.ts";
import { TrainControls } from "../../src/train/controls.ts";
import { makeCorpus } from "../../src/train/corpus.ts";
import type { TrainParameters } from "../../src/train/events.ts";
import { type HostTensor, readMetadata, readSafetensors, writeSafetensors } from "../../src/train/safetensors.ts";
import { charTokenizer } from "../../src/train/tokenizer.ts";
import { train } from "../../src/train/trainer.ts";
import { randomNumbers } from "../parallel/ranks.ts";
import { refuses, unlessRefused } from "./refusal.ts";

const context = 8;
const tokenizer = charTokenizer("abcdefg ");
const corpus = makeCorpus({ tokens: tokenizer.encode("a bad cab fed a bee ".repeat(20)), context });
const config = parseModelConfig({
  ...{ model_type: "gpt2", vocab_size: tokenizer.vocabSize, n_positions: context },
  ...{ n_embd: 8, n_layer: 1, n_head: 2 },
});
const parameters: TrainParameters = {
  ...{ batch: 2, context, steps: 3, learningRate: 1e-2, minLearningRate: 1e-3, warmup: 0, beta1: 0.9, beta2: 0.99 },
  ...{ weightDecay: 0.1, clip: 1, dropout: 0, accumulate: 1, recompute: false, seed: 1, evalEvery: 0, evalBatches: 1 },
  sampleTokens: 0,
};
const run = { config, tokenizer, parameters };

const { backend } = await createBackend({ backend: "cpu", threads: 1 });
test.after(() => backend.dispose());

/** Saved behind the second step. */
let file: Uint8Array;
test.before(async () => {
  const controls = new TrainControls();
  for await (const event of train({ backend, corpus, controls, ...run })) {
    if (event.event === "step" && event.step === 2) controls.checkpoint();
    if (event.event === "checkpoint") file = event.bytes;
  }
});

type Head = Record<string, unknown>;

/** The file with another head, or other tensors. */
function changed({
  head = (same) => same,
  tensors,
}: {
  head?: (head: Head) => unknown;
  tensors?: (all: Map<string, HostTensor>) => void;
}) {
  const all = readSafetensors(file.slice());
  tensors?.(all);
  const saved = JSON.parse(readMetadata(file).get("shardgrad") as string) as Head;
  return writeSafetensors(all, { format: "pt", shardgrad: JSON.stringify(head(saved)) });
}

const refusesFile = (bytes: Uint8Array, pattern: RegExp) => refuses(() => openCheckpoint(bytes, run), pattern);

test("a checkpoint is a safetensors file with the weights under Hugging Face's names, and moments beside them", () => {
  const tensors = readSafetensors(file);
  const names = [...tensors.keys()].filter((name) => !name.startsWith("adamw."));
  ok(names.includes("wte.weight") && names.includes("h.0.attn.c_attn.weight") && names.includes("ln_f.bias"));
  equal(tensors.get("h.0.attn.c_attn.weight")?.shape, [8, 24]);
  is(tensors.size, 3 * names.length);
  for (const name of names)
    for (const moment of ["first", "second"])
      equal(tensors.get(`adamw.${moment}.${name}`)?.shape, tensors.get(name)?.shape);
  is(readMetadata(file).get("format"), "pt");
  const { step, weightsAs } = openCheckpoint(file, run);
  is(step, 2);
  equal([...weightsAs("f32").keys()].sort(), names.sort());
});

test("every truncation is refused, and so are files that are none", () => {
  for (let length = 0; length < file.length; length += 97)
    refusesFile(file.subarray(0, length), /^(safetensors|checkpoint): .*; use an intact file$/);
  refusesFile(file.subarray(0, file.length - 1), /truncated/);
  refusesFile(new TextEncoder().encode("what is this?"), /truncated, or not safetensors/);
  const weights = writeSafetensors(new Map([["wte.weight", { dtype: "f32", shape: [1], data: Float32Array.of(1) }]]));
  refusesFile(weights, /^checkpoint: got a safetensors file without a run's state, need one that a training run has/);
  refuses(() => readCheckpoint(weights), /without a run's state/);
});

test("files with random bytes in them open, or are refused in a sentence", () => {
  const next = randomNumbers(7);
  let opened = 0;
  const tries = 400;
  // Half of them in the header.
  const header = 8 + new DataView(file.buffer, file.byteOffset).getUint32(0, true);
  for (let index = 0; index < tries; index++) {
    const bytes = file.slice();
    for (let count = 0; count < 3; count++)
      bytes[Math.floor(next() * (index % 2 === 0 ? header : file.length))] = Math.floor(next() * 256);
    if (unlessRefused(() => openCheckpoint(bytes, run))) opened++;
  }
  ok(opened > 0 && opened < tries, `${opened} of ${tries} opened`);
});

test("a head that is not a run's is refused by its field", () => {
  const refusesHead = (fields: Head, pattern: RegExp) =>
    refusesFile(changed({ head: (saved) => ({ ...saved, ...fields }) }), pattern);
  refusesHead({ version: 2 }, /^checkpoint: got version 2, need 1; use the version of shardgrad that saved it$/);
  refusesHead({ step: -1 }, /got step -1, need a whole number from 0/);
  refusesHead({ updates: 3 }, /got updates 3, need a whole number from 0 to 2/);
  refusesHead({ parameters: { batch: 0 } }, /got parameters an object, need those of a training run/);
  refusesHead({ tokenizer: { name: "word" } }, /a tokenizer this version does not know/);
  refusesHead({ tokenizer: { name: "byte" } }, /got a tokenizer of 256 tokens with a vocab_size of 8, need the same/);
  refusesHead({ config: { model_type: "rnn" } }, /got model_type "rnn"/);
  refusesHead({ lossScale: { value: 3, skipped: 0, good: 0 } }, /got a loss scale of 3, need a power of two/);
  refusesHead({ lossScale: { value: 4, skipped: -1, good: 0 } }, /got skipped -1/);
  refusesFile(changed({ head: () => [1] }), /^checkpoint: got a list, need a JSON object/);
  const noJson = writeSafetensors(readSafetensors(file), { shardgrad: "{" });
  refusesFile(noJson, /got a head that is not JSON/);
});

test("another model, tokenizer, or a run of fewer steps is refused with what was got and what is needed", () => {
  const refusesRun = (changes: Partial<typeof run>, pattern: RegExp) =>
    refuses(() => openCheckpoint(file, { ...run, ...changes }), pattern);
  refusesRun(
    { config: { ...config, n_layer: 2 } as ModelConfig },
    /^checkpoint: got n_layer 1, need the run's 2; use the/,
  );
  const llama = parseModelConfig({
    ...{ model_type: "llama", vocab_size: tokenizer.vocabSize, max_position_embeddings: context, hidden_size: 8 },
    ...{ intermediate_size: 8, num_hidden_layers: 1, num_attention_heads: 2 },
  });
  refusesRun({ config: llama }, /got model_type "gpt2", need the run's "llama"/);
  refusesRun({ tokenizer: charTokenizer("abcdefgh") }, /got the char tokenizer of another text/);
  refusesRun(
    { parameters: { ...parameters, steps: 1 } },
    /got one of 2 steps, need at most the run's 1; use more steps/,
  );
  // What it was saved with may change.
  is(openCheckpoint(file, { ...run, parameters: { ...parameters, steps: 9, batch: 7, seed: 4 } }).step, 2);
});

test("tensors that are missing, strange, misshapen or no numbers of a run are refused", () => {
  const refusesTensors = (tensors: (all: Map<string, HostTensor>) => void, pattern: RegExp) =>
    refusesFile(changed({ tensors }), pattern);
  const name = "h.0.mlp.c_fc.weight";
  refusesTensors(
    (all) => all.delete(`adamw.first.${name}`),
    /got no tensor "adamw.first.h.0.mlp.c_fc.weight", need f32 \[8, 32\]/,
  );
  refusesTensors((all) => all.delete(name), /got weights of \d+ numbers and 2 tensors of no weight, need \d+ and none/);
  const strange: HostTensor = { dtype: "f32", shape: [1], data: Float32Array.of(1) };
  refusesTensors((all) => all.set("strange", strange), /got no tensor "adamw.first.strange"/);
  refusesTensors((all) => all.set("adamw.first.strange", strange), /and 1 tensors of no weight/);
  refusesTensors(
    (all) => all.set(name, strange),
    /got "adamw.first.h.0.mlp.c_fc.weight" as f32 \[8, 32\], need f32 \[1\]/,
  );
  for (const [bad, prefix] of [
    [Number.NaN, ""],
    [Number.POSITIVE_INFINITY, "adamw.first."],
    [-1, "adamw.second."],
  ] as const)
    refusesTensors(
      (all) => {
        all.get(prefix + name)!.data[3] = bad;
      },
      new RegExp(`got ${bad} at 3 in "${prefix}${name}", need a finite number`),
    );
});

test("a made-up model of billions of layers is refused by its size", () => {
  const huge = { ...config, n_layer: 2 ** 31 - 1 } as ModelConfig;
  const bytes = changed({ head: (saved) => ({ ...saved, config: huge }) });
  refuses(() => openCheckpoint(bytes, { ...run, config: huge }), /got weights of \d+ numbers .* need \d+ and none/);
});

/** The error of a run that resumes. */
async function failureOf(bytes: Uint8Array, where: "serial" | "1d"): Promise<string> {
  backend.memory.resetPeak();
  const shape = meshShape({ layout: where, dims: where === "1d" ? [2] : undefined });
  try {
    await trainOnMesh({ backend, corpus, shape, ...run, resume: bytes }).next();
  } catch (error) {
    is(backend.memory.peak.total, 0, "something was allocated before");
    return String(error);
  }
  throw new Error("it was resumed");
}

for (const where of ["serial", "1d"] as const)
  test(`${where}: a run that cannot be resumed is refused before anything is allocated`, async () => {
    match(await failureOf(file.subarray(0, 1000), where), /^UserError: safetensors: .*; use an intact file$/);
    // As many numbers in weights of other names, or other shapes.
    const renamed = changed({
      tensors(all) {
        for (const prefix of ["", "adamw.first.", "adamw.second."]) {
          all.set(`${prefix}other`, all.get(`${prefix}wte.weight`)!);
          all.delete(`${prefix}wte.weight`);
        }
      },
    });
    match(
      await failureOf(renamed, where),
      /^UserError: the checkpoint has no tensor wte.weight, which this config needs/,
    );
    const turned = changed({
      tensors(all) {
        for (const prefix of ["", "adamw.first.", "adamw.second."]) {
          const tensor = all.get(`${prefix}h.0.mlp.c_fc.weight`)!;
          all.set(`${prefix}h.0.mlp.c_fc.weight`, { ...tensor, shape: [32, 8] } as HostTensor);
        }
      },
    });
    match(await failureOf(turned, where), /^UserError: tensor h.0.mlp.c_fc.weight is \[32, 8\] in the checkpoint/);
  });

test.run();

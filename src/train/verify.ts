// Replays a reference run (weights, batches, and what PyTorch computed from them in float64) and measures how far
// this library's numbers are from it.

import type { Backend } from "../backend/backend.ts";
import { UserError } from "../backend/errors.ts";
import { type ModelConfig, parseModelConfig, parseRunConfig, type RunConfig } from "../nn/config.ts";
import { type CheckpointTensors, Model } from "../nn/model.ts";
import type { Layout } from "../parallel/layout.ts";
import { Serial } from "../parallel/serial.ts";
import { Tape } from "../tensor/tape.ts";
import { constant } from "../tensor/tensor.ts";
import type { ReferenceFiles, Tolerances, VerifyResult, WorstError } from "./events.ts";
import { verifyTolerances } from "./events.ts";
import { AdamW } from "./optimizer.ts";
import { readSafetensors, requireTensor } from "./safetensors.ts";

/** GPT-2's key bias has a true gradient of zero (softmax does not see a constant added to a row of scores): its rounding noise, which AdamW
 *  scales up, is held to this instead. */
const keyBiasLimit = 2e-2;

/** What the loss's gradient is multiplied by where gradients travel as f16: those down to 2^-26 are normal numbers then, those up to 16 finite. */
const wireLossScale = 2 ** 12;

/** The reference's tensor of that name, which must have that shape. */
type Expected = (name: string, shape: readonly number[]) => Float32Array;

/** What a reference run trained, and how.
 *  @throws UserError when config.json is malformed */
export function referenceModel(files: Pick<ReferenceFiles, "config">): { config: ModelConfig; run: RunConfig } {
  const json = parseJson(files.config, "config.json");
  return { config: parseModelConfig(json), run: parseRunConfig(json) };
}

export interface VerifyOptions {
  backend: Backend;
  files: ReferenceFiles;
  layout?: Layout;
  /** factor on all limits: 1, or 2 for ranks that add what one rank adds in another order */
  slack?: number;
  /** other limits, for ranks that round what they send */
  limits?: Tolerances;
}

/** @throws UserError when a file is malformed, or names or shapes do not fit the config */
export async function verifyReference(options: VerifyOptions): Promise<VerifyResult> {
  const { backend, files, slack = 1 } = options;
  const limits: Tolerances = options.limits ?? verifyTolerances;
  const laterLosses = limits.laterLosses ?? limits.loss;
  const { config, run } = referenceModel(files);
  const weights = tensorsOf(files, "weights");
  const expectedTensors = tensorsOf(files, "expected");
  const expected: Expected = (name, shape) =>
    requireTensor(expectedTensors, { name, dtype: "f32", shape, file: "expected.safetensors" }).data;
  const { data: tokens } = requireTensor(tensorsOf(files, "batch"), {
    name: "tokens",
    dtype: "i32",
    shape: [run.steps, run.batch, run.seq + 1],
    file: "batch.safetensors",
  });
  const losses = parseLosses(files.losses, run.steps);

  const layout = options.layout ?? new Serial(backend);
  using model = new Model(backend, { config, layout, seed: 0, weights });
  using optimizer = new AdamW(backend, {
    layout,
    parameters: model.parameters,
    beta1: run.beta1,
    beta2: run.beta2,
    eps: run.eps,
    weightDecay: run.weight_decay,
    clip: run.grad_clip,
  });
  // A power of two: without a wire of f16 it changes no bit, and is not there.
  const lossScale = layout.wire === "f16" ? wireLossScale : 1;
  using seed =
    lossScale === 1
      ? undefined
      : constant(backend, { shape: [1], data: Float32Array.of(lossScale), purpose: "scratch" });
  const sequence = { batch: run.batch, tokens: run.seq, offset: 0 };
  const rows = run.batch * run.seq;
  const result: VerifyResult = {
    logits: 0,
    grad: { worst: 0, name: "" },
    loss: [],
    gradNorm: 0,
    after: { worst: 0, name: "" },
    pass: false,
  };

  for (let step = 0; step < run.steps; step++) {
    const { inputs, targets } = split(tokens.subarray(step * run.batch * (run.seq + 1)), run);
    if (step === 0) {
      using tape = new Tape(backend, { recording: false });
      const logits = await model.logits(tape, { tokens: inputs, sequence });
      const ours = await layout.gatherLogits(logits, { sequence, vocabSize: model.vocabSize, last: false });
      result.logits = relativeError(ours, expected("logits", [run.batch, run.seq, model.vocabSize]));
    }
    using tape = new Tape(backend, { recording: true });
    const loss = await model.loss(tape, { tokens: inputs, targets, sequence, scale: 1 / rows });
    const lossValue = (await loss.read())[0];
    await tape.backward(loss, seed);
    const gradients = await layout.reduceGradients(model.parameters);
    if (step === 0)
      result.grad = worstOf(await model.checkpoint((parameter) => parameter.gradient, { to: 0 }), {
        expected: (name, shape) => expected(name, shape).map((value) => value * lossScale),
        prefix: "grad.",
      });
    await optimizer.step({ gradients, learningRate: run.lr, lossScale });
    const norm = Math.sqrt((await optimizer.normSquared.read())[0]) / lossScale;
    result.loss.push(Math.abs(lossValue - losses.loss[step]) / Math.abs(losses.loss[step]));
    result.gradNorm = Math.max(result.gradNorm, Math.abs(norm - losses.grad_norm[step]) / losses.grad_norm[step]);
  }
  result.after = worstOf(await model.checkpoint(undefined, { to: 0 }), { expected, prefix: "after." });
  // Comparisons say what must hold, so that a NaN fails.
  result.pass =
    result.logits <= slack * limits.logits &&
    result.grad.worst <= slack * limits.grad &&
    result.loss.every((error, step) => error <= slack * (step === 0 ? limits.loss : laterLosses)) &&
    result.after.worst <= slack * limits.after;
  return result;
}

/** @throws UserError that says which of the files is malformed */
function tensorsOf(files: ReferenceFiles, name: "weights" | "expected" | "batch"): ReturnType<typeof readSafetensors> {
  try {
    return readSafetensors(files[name]);
  } catch (error) {
    // The reader's sentences begin with the format's name: it has bytes only.
    throw error instanceof UserError
      ? new UserError(error.message.replace("safetensors", `${name}.safetensors`))
      : error;
  }
}

/** |ours - theirs| / |theirs| in L2. */
function relativeError(ours: ArrayLike<number>, theirs: ArrayLike<number>): number {
  let difference = 0;
  let size = 0;
  for (let i = 0; i < theirs.length; i++) {
    difference += (ours[i] - theirs[i]) ** 2;
    size += theirs[i] ** 2;
  }
  return Math.sqrt(difference / size);
}

function worstOf(ours: CheckpointTensors, options: { expected: Expected; prefix: "grad." | "after." }): WorstError {
  const { expected, prefix } = options;
  let worst: WorstError = { worst: 0, name: "" };
  const note = (error: number, name: string) => {
    if (!(error <= worst.worst)) worst = { worst: error, name };
  };
  for (const [name, tensor] of ours) {
    const theirs = expected(prefix + name, tensor.shape);
    if (prefix === "grad." || !name.endsWith("attn.c_attn.bias")) {
      note(relativeError(tensor.data, theirs), name);
      continue;
    }
    const third = tensor.data.length / 3;
    for (const [index, part] of ["query", "key", "value"].entries()) {
      const cut = <T extends ArrayLike<number>>(data: T) => Array.from(data).slice(index * third, (index + 1) * third);
      const error = relativeError(cut(tensor.data), cut(theirs));
      note(part === "key" ? (error * verifyTolerances.after) / keyBiasLimit : error, `${name} (${part} third)`);
    }
  }
  return worst;
}

/** Inputs are all tokens but each sample's last, targets all but its first. */
function split(tokens: Int32Array, run: { batch: number; seq: number }) {
  const inputs = new Int32Array(run.batch * run.seq);
  const targets = new Int32Array(run.batch * run.seq);
  for (let row = 0; row < run.batch; row++) {
    const from = row * (run.seq + 1);
    inputs.set(tokens.subarray(from, from + run.seq), row * run.seq);
    targets.set(tokens.subarray(from + 1, from + 1 + run.seq), row * run.seq);
  }
  return { inputs, targets };
}

function parseJson(bytes: Uint8Array, file: string): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw new UserError(
      `${file} is not JSON: ${(error as Error).message}; write it again with the reference generator`,
    );
  }
}

function parseLosses(bytes: Uint8Array, steps: number): { loss: number[]; grad_norm: number[] } {
  const json = parseJson(bytes, "losses.json");
  const list = (key: "loss" | "grad_norm"): number[] => {
    const values: unknown =
      typeof json === "object" && json !== null ? (json as Record<string, unknown>)[key] : undefined;
    if (!Array.isArray(values) || values.length !== steps || !values.every((value) => Number.isFinite(value)))
      throw new UserError(
        `losses.json: ${key} must be a list of ${steps} finite numbers, one a step; write it again with the reference generator`,
      );
    return values;
  };
  return { loss: list("loss"), grad_norm: list("grad_norm") };
}

// A training run as a file that a run goes on from: weights whole under Hugging Face's names, whatever mesh they were on, AdamW's moments
// beside them, the rest in the file's metadata. Believes nothing a file says before checking it.

import type { FloatType } from "../backend/buffer.ts";
import { UserError } from "../backend/errors.ts";
import { toF16 } from "../backend/f16.ts";
import { type ModelConfig, parameterCount, parseModelConfig } from "../nn/config.ts";
import { Fields, show } from "../nn/fields.ts";
import type { CheckpointTensors } from "../nn/model.ts";
import { importWeight } from "../nn/weights.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { TrainParameters } from "./events.ts";
import { LossScale, type LossScaleState } from "./loss-scale.ts";
import { isTrainParameters } from "./parameters.ts";
import type { TrainingState } from "./run.ts";
import {
  type HalfTensor,
  type HostTensor,
  readMetadata,
  readSafetensors,
  requireTensor,
  writeSafetensors,
} from "./safetensors.ts";
import { type Tokenizer, tokenizerFromJson } from "./tokenizer.ts";

const version = 1;

/** Where the file's metadata have what is no tensor, as JSON. */
const headName = "shardgrad";

/** Of tensors that stand beside a weight, before its name. Masters are the f32 numbers of weights that are f16. */
const beside = { first: "adamw.first.", second: "adamw.second.", master: "master." } as const;

/** What a checkpoint is of. */
export interface CheckpointHead {
  config: ModelConfig;
  /** of the run that saved it */
  parameters: TrainParameters;
  /** steps finished */
  step: number;
  tokenizer: Tokenizer;
}

interface Head extends CheckpointHead {
  /** steps that were none to AdamW are left out */
  updates: number;
  lossScale?: LossScaleState;
}

/** A state as a file, on rank 0; nothing on the others. Every rank calls it. */
export async function saveCheckpoint(
  { model, optimizer, scale }: TrainingState,
  { step, parameters, tokenizer }: { step: number; parameters: TrainParameters; tokenizer: Tokenizer },
): Promise<Uint8Array> {
  const { config, layout } = model;
  const tensors = new Map<string, HostTensor | HalfTensor>();
  const add = (prefix: string, all: CheckpointTensors) => {
    for (const [name, { shape, data }] of all) tensors.set(prefix + name, { dtype: "f32", shape, data });
  };
  const to = 0;
  add(beside.first, await model.checkpoint((parameter) => optimizer.moments(parameter).first, { to }));
  add(beside.second, await model.checkpoint((parameter) => optimizer.moments(parameter).second, { to }));
  const plain = await model.checkpoint((parameter) => parameter, { to });
  if (model.dtype === "f16") {
    add(beside.master, matrices(await model.checkpoint(undefined, { to })));
    add("", vectors(plain));
    // How a device rounds a master is its own affair: a resumed run is to have the same halves. They stand behind all that wants to be
    // aligned to four bytes.
    for (const [name, { shape, data }] of matrices(plain))
      tensors.set(name, { dtype: "f16", shape, data: toF16(data) });
  } else add("", plain);
  if (layout.rank !== to) return new Uint8Array();
  const head = {
    ...{ version, step, updates: optimizer.updates, lossScale: scale?.state },
    ...{ config, parameters, tokenizer: tokenizer.toJSON() },
  };
  // "pt" is what Hugging Face's readers ask for.
  return writeSafetensors(tensors, { format: "pt", [headName]: JSON.stringify(head) });
}

/** Which f16 has masters of, and which not. */
const matrices = (all: CheckpointTensors) => new Map([...all].filter(([, { shape }]) => shape.length > 1));
const vectors = (all: CheckpointTensors) => new Map([...all].filter(([, { shape }]) => shape.length === 1));

/** What a checkpoint is of, its tensors unread.
 *  @throws UserError when `bytes` are no checkpoint, or one of another version */
export function readCheckpoint(bytes: Uint8Array): CheckpointHead {
  const { config, parameters, step, tokenizer } = headOf(bytes);
  return { config, parameters, step, tokenizer };
}

function headOf(bytes: Uint8Array): Head {
  const text = readMetadata(bytes).get(headName);
  if (text === undefined)
    throw new UserError(
      "checkpoint: got a safetensors file without a run's state, need one that a training run has saved",
    );
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new UserError("checkpoint: got a head that is not JSON; use an intact file");
  }
  const fields = new Fields(json, "checkpoint");
  if (fields.get("version") !== version)
    throw fields.refuse("version", `${version}; use the version of shardgrad that saved it`);
  const parameters = fields.get("parameters");
  if (!isTrainParameters(parameters)) throw fields.refuse("parameters", "those of a training run");
  const config = parseModelConfig(fields.get("config"));
  const tokenizer = tokenizerFromJson(fields.get("tokenizer"));
  if (tokenizer.vocabSize !== config.vocab_size)
    throw new UserError(
      `checkpoint: got a tokenizer of ${tokenizer.vocabSize} tokens with a vocab_size of ${config.vocab_size}, need the same; use an intact file`,
    );
  const step = count(fields, "step");
  const updates = count(fields, "updates", step);
  const scale = fields.get("lossScale");
  const head: Head = { config, parameters, step, tokenizer, updates };
  return scale === undefined ? head : { ...head, lossScale: lossScaleOf(new Fields(scale, "checkpoint's loss scale")) };
}

function count(fields: Fields, name: string, most = 2 ** 31 - 1): number {
  const ok = (value: number) => Number.isInteger(value) && value >= 0 && value <= most;
  return fields.number(name, { needed: `a whole number from 0 to ${most}`, ok });
}

function lossScaleOf(fields: Fields): LossScaleState {
  const { value } = new LossScale(fields.positive("value"));
  return { value, skipped: count(fields, "skipped"), good: count(fields, "good") };
}

/** A checkpoint that fits a run. */
export interface SavedRun {
  /** steps finished */
  step: number;
  /** What a model that stores them as `dtype` starts from. */
  weightsAs(dtype: FloatType): CheckpointTensors;
  /** All else, into the state of a run whose model has these weights. */
  restore(state: TrainingState): void;
}

/** Its weights' names and shapes are looked at by the model that is made of them.
 *  @throws UserError when it is no intact checkpoint, or one of another model or tokenizer, or of more steps than the run has */
export function openCheckpoint(
  bytes: Uint8Array,
  run: { config: ModelConfig; tokenizer: Tokenizer; parameters: TrainParameters },
): SavedRun {
  const head = headOf(bytes);
  requireSame(head, run);
  const { plain, first, second, masters } = tensorsOf(bytes, parameterCount(run.config));
  return {
    step: head.step,
    weightsAs: (dtype) => (dtype === "f16" ? plain : new Map([...plain, ...masters])),
    restore({ model, optimizer, scale }) {
      for (const [index, weight] of model.architecture.weights.entries()) {
        const parameter = model.parameters[index];
        const moments = optimizer.moments(parameter);
        const put = (from: CheckpointTensors, to: Tensor) => {
          const { name, shape, kind } = weight;
          const data = importWeight(weight, from);
          // The layout alone knows which block of the whole is this rank's.
          using block = model.layout.parameter({ name, shape, kind, initial: { kind: "data", data } });
          model.backend.run("copy", {
            ...{ x: block.buffer, y: to.buffer, shape: [1, 1, 1, to.size] },
            ...{ xStrides: [0, 0, 0, 1], yStrides: [0, 0, 0, 1], xOffset: 0, yOffset: 0 },
          });
        };
        put(first, moments.first);
        put(second, moments.second);
        if (parameter.master && masters.size > 0) put(masters, parameter.master);
      }
      optimizer.updates = head.updates;
      if (scale && head.lossScale) scale.state = head.lossScale;
    },
  };
}

/** Weights and what stands beside each, all finite, by the weights' names.
 *  @param parameters how many numbers the weights are */
function tensorsOf(bytes: Uint8Array, parameters: number) {
  const tensors = readSafetensors(bytes);
  const isBeside = (name: string) => Object.values(beside).some((prefix) => name.startsWith(prefix));
  const names = [...tensors.keys()].filter((name) => !isBeside(name));
  const shapeOf = (name: string) => tensors.get(name)?.shape ?? [];
  const found = (prefix: string, of: readonly string[]): CheckpointTensors =>
    new Map(of.map((name) => [name, finite(tensors, { prefix, name, shape: shapeOf(name) })]));
  const plain = found("", names);
  const first = found(beside.first, names);
  const second = found(beside.second, names);
  const halved = [...tensors.keys()].some((name) => name.startsWith(beside.master));
  const masters = found(beside.master, halved ? names.filter((name) => shapeOf(name).length > 1) : []);
  const got = [...plain.values()].reduce((sum, { data }) => sum + data.length, 0);
  const others = tensors.size - plain.size - first.size - second.size - masters.size;
  if (got !== parameters || others !== 0)
    throw new UserError(
      `checkpoint: got weights of ${got} numbers and ${others} tensors of no weight, need ${parameters} and none; use an intact file`,
    );
  return { plain, first, second, masters };
}

/** @throws UserError when the tensor is missing, misshapen, or holds what no run has */
function finite(
  tensors: ReadonlyMap<string, HostTensor>,
  { prefix, name, shape }: { prefix: string; name: string; shape: readonly number[] },
): { shape: readonly number[]; data: Float32Array } {
  const tensor = requireTensor(tensors, { name: prefix + name, dtype: "f32", shape, file: "checkpoint" });
  const least = prefix === beside.second ? 0 : Number.NEGATIVE_INFINITY;
  const at = tensor.data.findIndex((value) => !(value >= least && Math.abs(value) < Number.POSITIVE_INFINITY));
  if (at >= 0)
    throw new UserError(
      `checkpoint: got ${tensor.data[at]} at ${at} in ${show(prefix + name)}, need a finite number${least === 0 ? " from 0" : ""}; use an intact file, or an earlier one`,
    );
  return tensor;
}

function requireSame(
  { config, tokenizer, step }: Head,
  run: { config: ModelConfig; tokenizer: Tokenizer; parameters: TrainParameters },
): void {
  const [saved, wanted] = [config, run.config].map((each) => each as unknown as Record<string, unknown>);
  for (const name of ["model_type", ...Object.keys(wanted)])
    if (saved[name] !== wanted[name])
      throw new UserError(
        `checkpoint: got ${name} ${show(saved[name])}, need the run's ${show(wanted[name])}; use the config it was saved with`,
      );
  if (JSON.stringify(tokenizer.toJSON()) !== JSON.stringify(run.tokenizer.toJSON()))
    throw new UserError(
      `checkpoint: got the ${tokenizer.name} tokenizer of another text, need the run's; use the tokenizer it was saved with`,
    );
  if (step > run.parameters.steps)
    throw new UserError(
      `checkpoint: got one of ${step} steps, need at most the run's ${run.parameters.steps}; use more steps`,
    );
}

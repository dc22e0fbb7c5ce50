// This library as a contestant: public ops on a backend, and the backend itself with the kernels that measure a device's ceilings.

import type { Backend } from "../src/backend/backend.ts";
import type { HostArray } from "../src/backend/buffer.ts";
import { findAdapter } from "../src/backend/select.ts";
import { WebGpuBackend } from "../src/backend/webgpu/backend.ts";
import { openDevice } from "../src/backend/webgpu/device.ts";
import { openTuned } from "../src/backend/webgpu/tuning/open.ts";
import {
  AdamW,
  attention,
  createBackend,
  Model,
  matmul,
  norm,
  parseModelConfig,
  Serial,
  Tape,
  type Tensor,
  type TuningTable,
  UserError,
} from "../src/index.ts";
import type { CheckpointTensors } from "../src/nn/model.ts";
import type { Contestant, Engine } from "./harness.ts";
import copyRate from "./reference/copyRate.wgsl";
import direct4 from "./reference/direct4.wgsl";
import direct8 from "./reference/direct8.wgsl";
import multiplyAdd from "./reference/multiplyAdd.wgsl";
import naive from "./reference/naive.wgsl";
import shared64 from "./reference/shared64.wgsl";
import { type AttentionTask, inputsOf, type NormTask, type ProductTask, recipe, recipeIds } from "./tasks.ts";

const benchShaders = { copyRate, direct4, direct8, multiplyAdd, naive, shared64 };

export type Device = "webgpu" | "cpu";

/** A webgpu backend tunes unless told not to.
 *  @throws UserError where there is no such backend */
export async function openBackend(
  device: Device,
  { threads, tune }: { threads?: number; tune: boolean },
): Promise<{ backend: Backend; tuning?: { readonly table: TuningTable } }> {
  if (device === "cpu") return createBackend({ backend: "cpu", threads });
  const found = await findAdapter();
  if ("missing" in found) throw new UserError(`webgpu: ${found.missing}`);
  const opened = await openDevice(found.adapter);
  if (tune) return openTuned(opened, { sources: benchShaders, tell: console.error });
  return { backend: new WebGpuBackend({ ...opened, sources: { ...opened.sources, ...benchShaders } }) };
}

export function ours(backend: Backend, version: string): Engine {
  return {
    name: "shardgrad",
    version,
    adapter: backend.adapter.description,
    async prepare(task, weights) {
      const make = () => {
        if (task.subject === "products") return product(backend, task);
        if (task.subject === "attention") return attentionOf(backend, task);
        if (task.subject === "norms") return normOf(backend, task);
        return trainingStep(backend, weights);
      };
      if (backend.tune) {
        // What the task calls is met once, then measured. It starts anew: a step's losses are compared from the first.
        const first = make();
        await first.run();
        await backend.tune();
        first.dispose?.();
      }
      return make();
    },
    close: () => backend.dispose(),
  };
}

/** An op on inputs that stay; its result goes after each run. */
function contestant(
  backend: Backend,
  inputs: readonly { data: HostArray; shape: readonly number[] }[],
  op: (...inputs: Tensor[]) => Tensor | Promise<Tensor>,
): Contestant {
  const tape = new Tape(backend, { recording: false });
  const tensors = inputs.map(({ data, shape }) => tape.input(data, { shape }));
  return {
    async run() {
      using result = await op(...tensors);
      return await result.read();
    },
    dispose: () => tape[Symbol.dispose](),
  };
}

function product(backend: Backend, task: ProductTask): Contestant {
  const { m, n, k, form } = task;
  const { a, b } = inputsOf(task);
  const inputs = [
    { data: a, shape: form === "TN" ? [k, m] : [m, k] },
    { data: b, shape: form === "NT" ? [n, k] : [k, n] },
  ];
  const lower = form.toLowerCase() as "nn" | "nt" | "tn";
  return contestant(backend, inputs, (x, w) => matmul(x, w, { form: lower }));
}

/** Attention's input here: fused rows [B T, 3 H K], [q, k, v] of head 0, then of head 1, ... */
export function fusedRows(task: AttentionTask): Float32Array<ArrayBuffer> {
  const { batch, tokens, heads, headWidth: K } = task;
  const { q, k, v } = inputsOf(task);
  const fused = new Float32Array(3 * q.length);
  for (const [part, values] of [q, k, v].entries())
    for (let group = 0; group < batch * tokens * heads; group++)
      fused.set(values.subarray(group * K, (group + 1) * K), (3 * group + part) * K);
  return fused;
}

function attentionOf(backend: Backend, task: AttentionTask): Contestant {
  const { batch, tokens, heads, headWidth } = task;
  const shape = { heads, kvHeads: heads, headWidth };
  const inputs = [{ data: fusedRows(task), shape: [batch * tokens, 3 * heads * headWidth] }];
  return contestant(backend, inputs, (qkv) => attention(qkv, { shape, batch, tokens }));
}

function normOf(backend: Backend, { rows, cols }: NormTask): Contestant {
  const { x, gain } = inputsOf({ subject: "norms", rows, cols });
  const inputs = [
    { data: x, shape: [rows, cols] },
    { data: gain, shape: [cols] },
  ];
  const options = { kind: "layer", eps: recipe.eps, width: cols } as const;
  return contestant(backend, inputs, (values, scale) => norm(values, { ...options, gain: scale }));
}

/** The recipe's model with weights of its own. */
export function recipeModel(backend: Backend, weights?: CheckpointTensors): Model {
  const { context, layers, heads, width, vocabulary, eps } = recipe;
  const config = parseModelConfig({
    model_type: "gpt2",
    ...{ vocab_size: vocabulary, n_positions: context, n_embd: width, n_layer: layers, n_head: heads },
    ...{ activation_function: "gelu", bias: false, layer_norm_epsilon: eps },
  });
  return new Model(backend, { config, layout: new Serial(backend), seed: 1, weights });
}

/** Forward, backward, clip and AdamW, then the loss read back, behind everything else: nothing of the step can still be under way. */
function trainingStep(backend: Backend, weights: CheckpointTensors): Contestant {
  const { batch, context, learningRate, beta1, beta2, adamEps, weightDecay, clip } = recipe;
  const model = recipeModel(backend, weights);
  const { layout, parameters } = model;
  const optimizer = new AdamW(backend, { layout, parameters, beta1, beta2, eps: adamEps, weightDecay, clip });
  const [tokens, targets] = [recipeIds(1), recipeIds(2)];
  const sequence = { batch, tokens: context, offset: 0 };
  return {
    async run() {
      using tape = new Tape(backend, { recording: true });
      using loss = await model.loss(tape, { tokens, targets, sequence, scale: 1 / (batch * context) });
      await tape.backward(loss);
      await optimizer.step({ gradients: await layout.reduceGradients(parameters), learningRate });
      return await loss.read();
    },
    dispose() {
      optimizer.dispose();
      model.dispose();
    },
  };
}

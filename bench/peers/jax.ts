// jax-js: everything jitted, as its README has it; the training step is one jit of loss, gradients, clip and AdamW.

import { blockUntilReady, defaultDevice, init, jit, nn, numpy as np, tree, valueAndGrad } from "@jax-js/jax";
import type { CheckpointTensors } from "../../src/nn/model.ts";
import type { Contestant, Engine } from "../harness.ts";
import { type AttentionTask, inputsOf, type NormTask, type ProductTask, recipe, recipeIds } from "../tasks.ts";

type Weights = Record<string, np.Array>;

export async function openJax(device: "webgpu" | "wasm", version: string): Promise<Engine> {
  const available = await init(device);
  if (!available.includes(device)) throw new Error(`jax-js has no ${device} here`);
  defaultDevice(device);
  return {
    name: "jax-js",
    version,
    adapter: device,
    async prepare(task, weights) {
      if (task.subject === "products") return product(task);
      if (task.subject === "attention") return attention(task);
      if (task.subject === "norms") return norm(task);
      return trainingStep(weights);
    },
    close() {},
  };
}

/** Arrays are consumed by every use: `.ref` keeps them. */
function contestant(f: (...inputs: np.Array[]) => np.Array, inputs: readonly np.Array[]): Contestant {
  const compiled = jit(f);
  return {
    run: () => compiled(...inputs.map((input) => input.ref)).data(),
    dispose() {
      compiled.dispose();
      for (const input of inputs) input.dispose();
    },
  };
}

function product(task: ProductTask): Contestant {
  const { m, n, k, form } = task;
  const { a, b } = inputsOf(task);
  return contestant(
    (x, y) => np.matmul(form === "TN" ? x.transpose() : x, form === "NT" ? y.transpose() : y),
    [np.array(a).reshape(form === "TN" ? [k, m] : [m, k]), np.array(b).reshape(form === "NT" ? [n, k] : [k, n])],
  );
}

function attention(task: AttentionTask): Contestant {
  const { q, k, v } = inputsOf(task);
  const shape = [task.batch, task.tokens, task.heads, task.headWidth];
  return contestant(
    (query, key, value) => nn.dotProductAttention(query, key, value, { isCausal: true }),
    [q, k, v].map((values) => np.array(values).reshape(shape)),
  );
}

function norm(task: NormTask): Contestant {
  const { x, gain } = inputsOf(task);
  return contestant(
    (values, scale) => nn.standardize(values, -1).mul(scale),
    [np.array(x).reshape([task.rows, task.cols]), np.array(gain)],
  );
}

const layerNorm = (x: np.Array, gain: np.Array) => nn.standardize(x, -1, { epsilon: recipe.eps }).mul(gain);

/** Mean loss of the recipe's model. tokens, targets: one-hot [B T, V]. */
function loss(w: Weights, tokens: np.Array, targets: np.Array): np.Array {
  const { batch: B, context: T, layers, heads: H, width: D } = recipe;
  let x = np
    .matmul(tokens, w["wte.weight"].ref)
    .reshape([B, T, D])
    .add(w["wpe.weight"])
    .reshape([B * T, D]);
  for (let layer = 0; layer < layers; layer++) {
    const p = `h.${layer}.`;
    const qkv = np.matmul(layerNorm(x.ref, w[`${p}ln_1.weight`]), w[`${p}attn.c_attn.weight`]);
    const [q, k, v] = np.split(qkv, 3, -1).map((part) => part.reshape([B, T, H, D / H]));
    const mixed = nn.dotProductAttention(q, k, v, { isCausal: true }).reshape([B * T, D]);
    x = x.add(np.matmul(mixed, w[`${p}attn.c_proj.weight`]));
    const up = np.matmul(layerNorm(x.ref, w[`${p}ln_2.weight`]), w[`${p}mlp.c_fc.weight`]);
    x = x.add(np.matmul(nn.gelu(up, { approximate: false }), w[`${p}mlp.c_proj.weight`]));
  }
  const logits = np.matmul(layerNorm(x, w["ln_f.weight"]), w["wte.weight"].transpose());
  return nn
    .logSoftmax(logits, -1)
    .mul(targets)
    .sum()
    .mul(-1 / (B * T));
}

type State = { weights: Weights; first: Weights; second: Weights };

/** corrections [2]: 1 - beta^t of both moments. */
function step(state: State, tokens: np.Array, targets: np.Array, corrections: np.Array): [np.Array, State] {
  const { learningRate, beta1, beta2, adamEps, weightDecay, clip } = recipe;
  const [value, gradients] = valueAndGrad(loss)(tree.ref(state.weights), tokens, targets) as [np.Array, Weights];
  const names = Object.keys(gradients);
  const squares = names.map((name) => np.square(gradients[name].ref).sum()).reduce((sum, square) => sum.add(square));
  // As torch's clip_grad_norm_.
  const factor = np.minimum(np.reciprocal(np.sqrt(squares).add(1e-6)).mul(clip), 1);
  const [correction1, correction2] = np.split(corrections, 2);
  const next: State = { weights: {}, first: {}, second: {} };
  for (const name of names) {
    const gradient = gradients[name].mul(factor.ref);
    const first = state.first[name].mul(beta1).add(gradient.ref.mul(1 - beta1));
    const second = state.second[name].mul(beta2).add(np.square(gradient).mul(1 - beta2));
    const root = np.sqrt(second.ref.div(correction2.ref)).add(adamEps);
    const update = first.ref.div(correction1.ref).div(root);
    const weight = state.weights[name];
    const decayed = weight.ndim > 1 ? weight.mul(1 - learningRate * weightDecay) : weight;
    next.weights[name] = decayed.sub(update.mul(learningRate));
    next.first[name] = first;
    next.second[name] = second;
  }
  for (const array of [factor, correction1, correction2]) array.dispose();
  return [value, next];
}

function trainingStep(checkpoint: CheckpointTensors): Contestant {
  const compiled = jit(step);
  const made = (values: (data: Float32Array) => Float32Array): Weights =>
    Object.fromEntries(
      [...checkpoint].map(([name, { shape, data }]) => [
        name,
        np.array(values(data) as Float32Array<ArrayBuffer>).reshape([...shape]),
      ]),
    );
  const zeros = () => made((data) => new Float32Array(data.length));
  let state: State = { weights: made((data) => data), first: zeros(), second: zeros() };
  const oneHot = (stream: number) => nn.oneHot(np.array(recipeIds(stream)), recipe.vocabulary);
  const [tokens, targets] = [oneHot(1), oneHot(2)];
  let steps = 0;
  return {
    async run() {
      steps++;
      const corrections = np.array([1 - recipe.beta1 ** steps, 1 - recipe.beta2 ** steps]);
      const [value, next] = compiled(state, tokens.ref, targets.ref, corrections) as [np.Array, State];
      state = next;
      const read = await value.data();
      // The WebAssembly device gives the loss before it has updated the weights.
      await blockUntilReady(state);
      return read;
    },
    dispose() {
      tree.dispose(state);
      tokens.dispose();
      targets.dispose();
      compiled.dispose();
    },
  };
}

// TensorFlow.js: tidy around everything, variableGrads for the training step, AdamW with clipping by hand (it has none).

import * as tf from "@tensorflow/tfjs-core";
// Its backends register kernels when they are loaded; gradients have to be asked for.
import "@tensorflow/tfjs-core/dist/register_all_gradients";
import type { CheckpointTensors } from "../../src/nn/model.ts";
import type { Contestant, Engine } from "../harness.ts";
import { inputsOf, recipe, recipeIds } from "../tasks.ts";

/** @param options.wasmPath URL of the folder with its .wasm files */
export async function openTfjs(
  device: "webgpu" | "wasm",
  { version, threads, wasmPath }: { version: string; threads: number; wasmPath: string },
): Promise<Engine> {
  if (device === "webgpu") await import("@tensorflow/tfjs-backend-webgpu");
  else {
    const wasm = await import("@tensorflow/tfjs-backend-wasm");
    wasm.setWasmPaths(wasmPath);
    wasm.setThreadsCount(threads);
    // One thread is its build without threads.
    if (threads === 1) tf.env().set("WASM_HAS_MULTITHREAD_SUPPORT", false);
  }
  if (!(await tf.setBackend(device))) throw new Error(`tfjs has no ${device} here`);
  await tf.ready();
  return {
    name: "tfjs",
    version,
    adapter: device,
    async prepare(task, weights) {
      if (task.subject === "products") {
        const { m, n, k, form } = task;
        const { a, b } = inputsOf(task);
        const x = tf.tensor2d(a, form === "TN" ? [k, m] : [m, k]);
        const y = tf.tensor2d(b, form === "NT" ? [n, k] : [k, n]);
        return contestant(() => tf.matMul(x, y, form === "TN", form === "NT"), [x, y]);
      }
      if (task.subject === "attention") {
        const { q, k, v } = inputsOf(task);
        const shape: [number, number, number, number] = [task.batch, task.tokens, task.heads, task.headWidth];
        const [query, key, value] = [q, k, v].map((values) => tf.tensor4d(values, shape));
        const mask = causal(task.tokens);
        return contestant(() => attend(query, key, value, mask), [query, key, value, mask]);
      }
      if (task.subject === "norms") {
        const { x, gain } = inputsOf(task);
        const [values, scale] = [tf.tensor2d(x, [task.rows, task.cols]), tf.tensor1d(gain)];
        return contestant(() => layerNorm(values, scale), [values, scale]);
      }
      return trainingStep(weights);
    },
    close: () => tf.removeBackend(device),
  };
}

function contestant(f: () => tf.Tensor, inputs: readonly tf.Tensor[]): Contestant {
  return {
    async run() {
      const result = tf.tidy(f);
      const data = await result.data();
      result.dispose();
      return data;
    },
    dispose: () => tf.dispose([...inputs]),
  };
}

/** 0 where a query may look, -1e9 elsewhere, [T, T]. */
const causal = (tokens: number) =>
  tf.tensor2d(
    Float32Array.from({ length: tokens ** 2 }, (_, i) => (i % tokens <= Math.floor(i / tokens) ? 0 : -1e9)),
    [tokens, tokens],
  );

/** [B, T, H, K] of the same three. */
function attend(q: tf.Tensor, k: tf.Tensor, v: tf.Tensor, mask: tf.Tensor): tf.Tensor {
  const [query, key, value] = [q, k, v].map((x) => tf.transpose(x, [0, 2, 1, 3]));
  const scores = tf.add(tf.mul(tf.matMul(query, key, false, true), 1 / Math.sqrt(q.shape[3] as number)), mask);
  return tf.transpose(tf.matMul(tf.softmax(scores), value), [0, 2, 1, 3]);
}

function layerNorm(x: tf.Tensor, gain: tf.Tensor): tf.Tensor {
  const { mean, variance } = tf.moments(x, -1, true);
  return tf.mul(tf.mul(tf.sub(x, mean), tf.rsqrt(tf.add(variance, recipe.eps))), gain);
}

/** 0.5 x (1 + erf(x / sqrt(2))); its kernels have no derivative of their own for gelu. */
const gelu = (x: tf.Tensor) => tf.mul(tf.mul(x, 0.5), tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1));

function trainingStep(checkpoint: CheckpointTensors): Contestant {
  const { batch: B, context: T, layers, heads: H, width: D, vocabulary: V } = recipe;
  const weights = new Map(
    [...checkpoint].map(([name, { shape, data }]) => [name, tf.variable(tf.tensor(data, [...shape]))]),
  );
  const zeros = () => new Map([...weights].map(([name, weight]) => [name, tf.variable(tf.zerosLike(weight))]));
  const [first, second] = [zeros(), zeros()];
  const weight = (name: string) => weights.get(name) as tf.Variable;
  // Its WebAssembly backend has no gradient of gather: products with one-hot rows serve both. It writes integers for oneHot whatever the
  // dtype asked for, hence the cast.
  const oneHot = (stream: number) => tf.cast(tf.oneHot(tf.tensor1d(recipeIds(stream), "int32"), V), "float32");
  const [tokens, targets] = [oneHot(1), oneHot(2)];
  const mask = causal(T);

  function loss(): tf.Scalar {
    const embedded = tf.reshape(tf.matMul(tokens, weight("wte.weight")), [B, T, D]);
    let x: tf.Tensor = tf.reshape(tf.add(embedded, weight("wpe.weight")), [B * T, D]);
    for (let layer = 0; layer < layers; layer++) {
      const p = `h.${layer}.`;
      const qkv = tf.matMul(layerNorm(x, weight(`${p}ln_1.weight`)), weight(`${p}attn.c_attn.weight`));
      const [q, k, v] = tf.split(qkv, 3, -1).map((part) => tf.reshape(part, [B, T, H, D / H]));
      const mixed = tf.reshape(attend(q, k, v, mask), [B * T, D]);
      x = tf.add(x, tf.matMul(mixed, weight(`${p}attn.c_proj.weight`)));
      const up = tf.matMul(layerNorm(x, weight(`${p}ln_2.weight`)), weight(`${p}mlp.c_fc.weight`));
      x = tf.add(x, tf.matMul(gelu(up), weight(`${p}mlp.c_proj.weight`)));
    }
    const logits = tf.matMul(layerNorm(x, weight("ln_f.weight")), weight("wte.weight"), false, true);
    return tf.mul(tf.sum(tf.mul(tf.logSoftmax(logits), targets)), -1 / (B * T));
  }

  let steps = 0;
  function step(): tf.Scalar {
    steps++;
    const { learningRate, beta1, beta2, adamEps, weightDecay, clip } = recipe;
    const { value, grads } = tf.variableGrads(loss);
    const byName = new Map([...weights].map(([name, variable]) => [name, grads[variable.name]]));
    const squares = tf.addN([...byName.values()].map((gradient) => tf.sum(tf.square(gradient))));
    const factor = tf.minimum(tf.div(clip, tf.add(tf.sqrt(squares), 1e-6)), 1);
    for (const [name, raw] of byName) {
      const [w, m, v] = [weight(name), first.get(name) as tf.Variable, second.get(name) as tf.Variable];
      const gradient = tf.mul(raw, factor);
      m.assign(tf.add(tf.mul(m, beta1), tf.mul(gradient, 1 - beta1)));
      v.assign(tf.add(tf.mul(v, beta2), tf.mul(tf.square(gradient), 1 - beta2)));
      const root = tf.add(tf.sqrt(tf.div(v, 1 - beta2 ** steps)), adamEps);
      const update = tf.mul(tf.div(m, root), learningRate / (1 - beta1 ** steps));
      const decayed = w.rank > 1 ? tf.mul(w, 1 - learningRate * weightDecay) : w;
      w.assign(tf.sub(decayed, update));
    }
    return value;
  }

  return {
    ...contestant(step, [tokens, targets, mask]),
    dispose: () => tf.dispose([...weights.values(), ...first.values(), ...second.values(), tokens, targets, mask]),
  };
}

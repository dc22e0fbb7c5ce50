// The training step of nanoGPT's CPU recipe and the 512 x 512 product it is measured by, in one run, interleaved.
//   npm run bench -- step [--backend auto|webgpu|cpu] [--repeats 9] [--json]
// Model FLOPs per token = 6 N + 12 layers context width (arXiv 2204.02311, appendix B): recomputation and masked scores do not count.

import { parseArgs } from "node:util";
import { AdamW, createBackend, Model, parameterCount, parseModelConfig, Serial, Tape, uniform } from "../src/index.ts";

const { values } = parseArgs({
  options: {
    backend: { type: "string", default: "auto" },
    repeats: { type: "string", default: "9" },
    json: { type: "boolean", default: false },
  },
});
const repeats = Number(values.repeats);
if (!["auto", "webgpu", "cpu"].includes(values.backend) || !(repeats >= 1)) {
  console.error(
    `got --backend ${values.backend} --repeats ${values.repeats}; need auto, webgpu or cpu, and at least 1 repeat`,
  );
  process.exit(2);
}
const { backend, note } = await createBackend({ backend: values.backend as "auto" | "webgpu" | "cpu" });

const [batch, context, size] = [12, 64, 512];
const config = parseModelConfig({
  model_type: "gpt2",
  vocab_size: 65,
  n_positions: context,
  n_embd: 128,
  n_layer: 4,
  n_head: 4,
  activation_function: "gelu",
  bias: false,
});
const stepFlops = batch * context * (6 * parameterCount(config) + 12 * 4 * context * 128);
const productFlops = 2 * size ** 3;

const model = new Model(backend, { config, layout: new Serial(backend), seed: 1 });
const optimizer = new AdamW(backend, {
  layout: model.layout,
  parameters: model.parameters,
  ...{ beta1: 0.9, beta2: 0.99, eps: 1e-8, weightDecay: 0.1, clip: 1 },
});
const ids = (stream: number) =>
  Int32Array.from({ length: batch * context }, (_, index) =>
    Math.floor(65 * uniform({ seed: 1, stream, step: 0, index })),
  );
const [tokens, targets] = [ids(1), ids(2)];

/** Forward, backward, clip and AdamW, then the norm read back: nothing of the step can still be under way. */
async function step(): Promise<void> {
  using tape = new Tape(backend, { recording: true });
  const sequence = { batch, tokens: context, offset: 0 };
  await tape.backward(await model.loss(tape, { tokens, targets, sequence, scale: 1 / (batch * context) }));
  const gradients = await model.layout.reduceGradients(model.parameters);
  await optimizer.step({ gradients, learningRate: 1e-3 });
  await optimizer.normSquared.read();
}

const matrix = () => {
  const buffer = backend.allocate({ dtype: "f32", length: size * size, purpose: "scratch" });
  const data = Float32Array.from(
    { length: size * size },
    (_, index) => uniform({ seed: 2, stream: 1, step: buffer.id, index }) - 0.5,
  );
  backend.write(buffer, data);
  return buffer;
};
const [a, b, y] = [matrix(), matrix(), matrix()];
async function product(): Promise<void> {
  const form = { batch: 1, m: size, n: size, k: size, transposeA: false, transposeB: false, accumulate: false };
  backend.run("matmul", { a, b, y, ...form });
  await backend.read(y, 1);
}

const timed = async (work: () => Promise<void>) => {
  const started = performance.now();
  await work();
  return performance.now() - started;
};
const times = { step: [] as number[], product: [] as number[] };
// The first runs compile pipelines and fill pools.
for (const work of [step, product, step, product]) await work();
for (let repeat = 0; repeat < repeats; repeat++) {
  times.step.push(await timed(step));
  // Several products, so that both take a comparable share of the run and of its disturbances.
  for (let i = 0; i < 5; i++) times.product.push(await timed(product));
}

function row(name: string, ms: number[], flops: number) {
  const sorted = ms.toSorted((p, q) => p - q);
  const medianMs = sorted[sorted.length >> 1];
  return { name, medianMs, fastestMs: sorted[0], slowestMs: sorted[sorted.length - 1], gflops: flops / medianMs / 1e6 };
}
const rows = [
  row("training step", times.step, stepFlops),
  row(`product ${size}x${size}x${size}`, times.product, productFlops),
];
const ratio = rows[0].gflops / rows[1].gflops;
if (values.json) {
  for (const entry of rows)
    console.log(JSON.stringify({ ...entry, dtype: "f32", adapter: backend.adapter.description, repeats }));
  console.log(JSON.stringify({ name: "step / product", ratio }));
} else {
  console.log(
    `${note}\n${backend.adapter.description}, f32, median of ${repeats} (product: ${5 * repeats}), result read back`,
  );
  for (const { name, medianMs, fastestMs, slowestMs, gflops } of rows)
    console.log(
      `${name.padEnd(22)} ${medianMs.toFixed(1).padStart(8)} ms  (${fastestMs.toFixed(1)} to ${slowestMs.toFixed(1)})  ${gflops.toFixed(2).padStart(7)} GFLOP/s`,
    );
  console.log(`the step runs at ${(100 * ratio).toFixed(0)}% of the product's rate`);
}
optimizer.dispose();
model.dispose();
backend.dispose();

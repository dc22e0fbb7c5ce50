// What a mesh costs in one process, on one device: the training step of nanoGPT's CPU recipe by one rank and by 2 x 2 x 2, interleaved;
// then a step of a tiny model on 64 ranks, and what it holds.

import { Relay } from "../src/cluster/relay.ts";
import { runRanks } from "../src/comm/loopback.ts";
import { AdamW, type Backend, createBackend, Model, parseModelConfig, Tape, uniform } from "../src/index.ts";
import type { Layout } from "../src/parallel/layout.ts";
import { Serial } from "../src/parallel/serial.ts";
import { Summa } from "../src/parallel/summa.ts";
import { summary } from "./harness.ts";
import type { Options } from "./options.ts";

interface Task {
  q: number;
  d: number;
  batch: number;
  context: number;
  width: number;
  layers: number;
  heads: number;
}
const recipe = { batch: 12, context: 64, width: 128, layers: 4, heads: 4 };

/** Ranks that each take a step when asked: forward, backward, clip and AdamW, then the norm read back. */
function start(backend: Backend, { q, d, batch, context, width, layers, heads }: Task) {
  const config = parseModelConfig({
    model_type: "gpt2",
    ...{ vocab_size: 65, n_positions: context, n_embd: width, n_layer: layers, n_head: heads },
    ...{ activation_function: "gelu", bias: false },
  });
  const ids = (stream: number) =>
    Int32Array.from({ length: batch * context }, (_, index) =>
      Math.floor(65 * uniform({ seed: 1, stream, step: 0, index })),
    );
  const [tokens, targets] = [ids(1), ids(2)];
  const relay = new Relay<void, boolean>(q * q * d, (goOn) => goOn);
  const ended = runRanks({ size: q * q * d, backend }, async ({ link, backend: own }) => {
    const layout: Layout = q * d === 1 ? new Serial(own) : new Summa({ backend: own, link, q, d });
    using model = new Model(own, { config, layout, seed: 1 });
    using optimizer = new AdamW(own, {
      ...{ layout, parameters: model.parameters, beta1: 0.9, beta2: 0.99, eps: 1e-8, weightDecay: 0.1, clip: 1 },
    });
    while (await relay.give(link.rank, undefined)) {
      using tape = new Tape(own, { recording: true });
      const sequence = { batch, tokens: context, offset: 0 };
      await tape.backward(await model.loss(tape, { tokens, targets, sequence, scale: 1 / (batch * context) }));
      const gradients = await layout.reduceGradients(model.parameters);
      await optimizer.step({ gradients, learningRate: 1e-3 });
      await optimizer.normSquared.read();
    }
  }).then(
    () => relay.end(),
    (error: unknown) => relay.fail(error),
  );
  const steps = relay[Symbol.asyncIterator]();
  return {
    step: async () => {
      await steps.next();
    },
    stop: async () => {
      relay.stop();
      await ended;
    },
  };
}

async function timed(work: () => Promise<void>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

async function overhead(backend: Backend, repeats: number) {
  const tasks = {
    serial: start(backend, { q: 1, d: 1, ...recipe }),
    mesh: start(backend, { q: 2, d: 2, ...recipe }),
  };
  const ms: Record<keyof typeof tasks, number[]> = { serial: [], mesh: [] };
  const names = ["serial", "mesh"] as const;
  // The first call makes the models, the second compiles pipelines and fills pools.
  for (let i = 0; i < 3; i++) {
    for (const name of names) await tasks[name].step();
    await backend.tune?.();
  }
  for (let i = 0; i < repeats; i++) for (const name of names) ms[name].push(await timed(tasks[name].step));
  for (const name of names) await tasks[name].stop();
  return [
    { name: "recipe step, 1 rank", ...summary(ms.serial) },
    { name: "recipe step, 2x2x2", ...summary(ms.mesh) },
  ];
}

async function many(device: Backend) {
  const task = start(device, { q: 4, d: 4, batch: 16, context: 8, width: 32, layers: 2, heads: 4 });
  for (let i = 0; i < 2; i++) await task.step();
  const ms: number[] = [];
  for (let i = 0; i < 3; i++) ms.push(await timed(task.step));
  const bytes = device.memory.reservedBytes;
  await task.stop();
  const processBytes = process.memoryUsage().rss;
  return { name: "tiny step, 4x4x4 = 64 ranks", ...summary(ms), reservedBytes: bytes, processBytes };
}

export async function benchMesh({ devices, json, repeats, tune }: Options): Promise<void> {
  const { backend, note } = await createBackend({ backend: devices.length > 1 ? "auto" : devices[0], tune });
  const rows = await overhead(backend, repeats);
  const ratio = rows[1].medianMs / rows[0].medianMs;
  backend.trim();
  const large = await many(backend);
  if (json) {
    for (const row of [...rows, large])
      console.log(JSON.stringify({ ...row, dtype: "f32", adapter: backend.adapter.description }));
    console.log(JSON.stringify({ name: "2x2x2 / 1 rank", ratio }));
  } else {
    console.log(`${note}\n${backend.adapter.description}, f32, median of ${repeats}, result read back`);
    for (const { name, medianMs, fastestMs, slowestMs } of [...rows, large])
      console.log(
        `${name.padEnd(28)} ${medianMs.toFixed(1).padStart(8)} ms  (${fastestMs.toFixed(1)} to ${slowestMs.toFixed(1)})`,
      );
    console.log(`a step on 2x2x2 takes ${ratio.toFixed(2)} times one rank's`);
    console.log(
      `64 ranks hold ${Math.round(large.reservedBytes / 2 ** 20)} MiB of the device, the process ${Math.round(large.processBytes / 2 ** 20)} MiB`,
    );
  }
  backend.dispose();
}

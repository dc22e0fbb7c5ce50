// A profile of the device at hand: products, memory, launches and messages, measured on the spot.

import type { Backend } from "../backend/backend.ts";
import type { DType } from "../backend/buffer.ts";
import { type ModelConfig, maxContext, parseModelConfig } from "../nn/config.ts";
import { type MeshShape, meshShape } from "../parallel/shape.ts";
import { constant } from "../tensor/tensor.ts";
import { median } from "./distribution.ts";
import { copied, deviceFrom, estimate, measured, unknownNetwork } from "./fit.ts";
import { noKernelTimes, observed, serial, stepSeconds } from "./observe.ts";
import { type NetworkLevel, type Profile, parsePart, whole } from "./profile.ts";
import { kernelOp, type StepProgram } from "./program.ts";
import { clampQuantities } from "./quantity.ts";
import { parametersOf, type StepToRecord } from "./record-step.ts";
import { recordRanks, simulate } from "./simulate.ts";

/** Steps that are timed, after some that warm up. */
const [warmup, timed] = [3, 9];

const gpt2 = (width: number, { layers, context }: { layers: number; context: number }): ModelConfig =>
  parseModelConfig({
    ...{ model_type: "gpt2", vocab_size: 96, n_positions: context, n_layer: layers, n_embd: width, n_head: width / 16 },
  });

const llama = (width: number, { layers, context }: { layers: number; context: number }): ModelConfig =>
  parseModelConfig({
    ...{ model_type: "llama", vocab_size: 96, max_position_embeddings: context, hidden_size: width },
    ...{ intermediate_size: 3 * width, num_hidden_layers: layers, num_attention_heads: width / 16 },
    num_key_value_heads: width / 16,
  });

const stepOf = (shape: MeshShape, config: ModelConfig, batch: number): StepToRecord => {
  const rates = { learningRate: 1e-4, minLearningRate: 1e-5, warmup: 1 };
  return { shape, config, parameters: parametersOf({ batch, context: maxContext(config), ...rates }) };
};

/** Models whose kernels are timed: the sizes that fit a device without a GPU. */
const models = [
  stepOf(serial, gpt2(64, { layers: 2, context: 32 }), 8),
  stepOf(serial, gpt2(128, { layers: 2, context: 64 }), 16),
  stepOf(serial, gpt2(256, { layers: 2, context: 64 }), 16),
  stepOf(serial, llama(128, { layers: 2, context: 64 }), 16),
];

/** Extents of products, beside those of the models. */
const extents = [16, 64, 256, 512];

/** Models whose kernels take next to nothing. */
const tinyModels = [stepOf(serial, gpt2(32, { layers: 6, context: 8 }), 4)];

const shapes = [meshShape({ layout: "1d", dims: [4] }), meshShape({ dims: [2, 2] }), meshShape({ dims: [2, 2, 2] })];
/** Ranks that share the device, of models from whose steps the cost of a message is taken. */
const tinyMeshes = shapes.map((shape) => stepOf(shape, gpt2(64, { layers: 2, context: 8 }), 8));
const meshes = shapes.map((shape) => stepOf(shape, gpt2(128, { layers: 2, context: 64 }), 16));

async function productsAndCopies(backend: Backend): Promise<void> {
  {
    using x = constant(backend, { shape: [copied], purpose: "scratch" });
    using y = constant(backend, { shape: [copied], purpose: "scratch" });
    for (let i = 0; i < 5; i++) backend.run("scale", { x: x.buffer, y: y.buffer, n: copied, alpha: 1 });
    await backend.sync();
  }
  await products(backend, "f32");
  if (backend.adapter.features.includes("shader-f16")) await products(backend, "f16");
}

async function products(backend: Backend, dtype: DType): Promise<void> {
  for (const m of extents)
    for (const n of extents)
      for (const k of extents) {
        using a = constant(backend, { shape: [m, k], dtype, purpose: "scratch" });
        using b = constant(backend, { shape: [k, n], dtype, purpose: "scratch" });
        using y = constant(backend, { shape: [m, n], dtype, purpose: "scratch" });
        const product = { a: a.buffer, b: b.buffer, y: y.buffer, batch: 1, m, n, k };
        for (let i = 0; i < 5; i++)
          backend.run("matmul", { ...product, transposeA: false, transposeB: false, accumulate: false });
        await backend.sync();
      }
}

/** tell: what is being done
 *  network: what is between devices, where that was measured
 *  @throws UserError where the device does not tell when kernels run, or what was measured makes no profile */
export async function calibrate(
  backend: Backend,
  { name, network = unknownNetwork, tell }: { name: string; network?: NetworkLevel; tell: (what: string) => void },
): Promise<Profile> {
  if (!backend.trace) throw noKernelTimes(backend);
  tell("kernels of training steps, and products");
  for (const step of models) await stepSeconds(backend, { step, warmup: 1, steps: 1 });
  const kernels = await observed(backend, async () => {
    for (const step of models) await stepSeconds(backend, { step, warmup: 1, steps: 4 });
    await productsAndCopies(backend);
  });
  let device = deviceFrom(kernels, backend);
  const profile = (): Profile => ({
    name,
    description: `${backend.adapter.description}, all ranks of a process on it, measured by shardgrad calibrate`,
    sources: [`shardgrad calibrate, ${new Date().toISOString().slice(0, 10)}`],
    device,
    network: [network],
    overlap: true,
  });
  tell("steps of tiny models, which take what asking takes");
  const kernel = await perKernel(backend, { steps: tinyModels, profile: noDevice(profile()) });
  device = { ...device, hostKernelSeconds: measured(kernel) };
  const message = await perMessage(backend, { steps: tinyMeshes, profile: noDevice(profile()) });
  device = { ...device, hostMessageSeconds: measured(message) };
  tell("steps of larger models, and of ranks that share the device");
  const launch = await perKernel(backend, { steps: models, profile: profile() });
  device = { ...device, launchSeconds: measured(device.launchSeconds.value + launch) };
  const local = await perMessage(backend, { steps: meshes, profile: profile() });
  device = { ...device, localMessageSeconds: measured(local) };
  return asRead(profile());
}

/** A profile as its file will be read: what does not read is not written. */
function asRead(profile: Profile): Profile {
  const made = structuredClone(profile);
  clampQuantities(made);
  return whole(parsePart(JSON.parse(JSON.stringify(made))));
}

/** The same machine with a device that takes no time: what is left is who asks. */
const noDevice = (profile: Profile): Profile => ({
  ...profile,
  device: {
    ...profile.device,
    launchSeconds: estimate(0),
    flopsPerSecond: estimate(1e18),
    bytesPerSecond: estimate(1e15),
    products: { f32: noProducts, f16: noProducts },
    kernels: {},
  },
});
const noProducts = {
  flopsPerSecond: estimate(1e18),
  efficiency: estimate(1),
  halfM: estimate(0),
  halfN: estimate(0),
  halfK: estimate(0),
};

interface Steps {
  readonly steps: readonly StepToRecord[];
  readonly profile: Profile;
}

/** What steps take beyond what a profile says, for each of their kernels; 0 where that is less. */
const perKernel = (backend: Backend, { steps, profile }: Steps): Promise<number> =>
  beyond(backend, { steps, profile, count: ({ kinds }) => kinds.filter((kind) => kind === kernelOp).length });

const perMessage = (backend: Backend, { steps, profile }: Steps): Promise<number> =>
  beyond(backend, { steps, profile, count: ({ messages }) => messages.from.length });

async function beyond(
  backend: Backend,
  { steps, profile, count }: Steps & { count: (program: StepProgram) => number },
): Promise<number> {
  const each: number[] = [];
  for (const step of steps) {
    const real = median(await stepSeconds(backend, { step, warmup, steps: timed }));
    const record = await recordRanks(step);
    const { seconds } = simulate(record, { profile, devices: 1 });
    each.push((real - seconds) / count(record.program));
  }
  return Math.max(0, median(each));
}

// A profile of the device at hand: products, memory, launches and messages, measured on the spot.

import type { Backend } from "../backend/backend.ts";
import { type ModelConfig, parseModelConfig } from "../nn/config.ts";
import { type MeshShape, meshShape } from "../parallel/shape.ts";
import { constant } from "../tensor/tensor.ts";
import type { TrainParameters } from "../train/events.ts";
import { kernelSeconds } from "./machine.ts";
import { median, type Observed, observed, serial, stepSeconds } from "./observe.ts";
import type { DeviceProfile, NetworkLevel, Profile } from "./profile.ts";
import { type KernelWork, kernelOp, type StepProgram } from "./program.ts";
import type { StepToRecord } from "./record-step.ts";
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

const parametersOf = (batch: number, context: number): TrainParameters => ({
  ...{ batch, context, steps: 1, learningRate: 1e-4, minLearningRate: 1e-5, warmup: 1, beta1: 0.9, beta2: 0.95 },
  ...{ weightDecay: 0.1, clip: 1, dropout: 0, accumulate: 1, recompute: false, seed: 1 },
  ...{ evalEvery: 0, evalBatches: 1, sampleTokens: 0 },
});

const stepOf = (shape: MeshShape, config: ModelConfig, batch: number): StepToRecord => {
  const context = config.model_type === "gpt2" ? config.n_positions : config.max_position_embeddings;
  return { shape, config, parameters: parametersOf(batch, context) };
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

/** Elements of a copy that no cache holds. */
const copied = 2 ** 22;

async function productsAndCopies(backend: Backend): Promise<void> {
  {
    using x = constant(backend, { shape: [copied], purpose: "scratch" });
    using y = constant(backend, { shape: [copied], purpose: "scratch" });
    for (let i = 0; i < 5; i++) backend.run("scale", { x: x.buffer, y: y.buffer, n: copied, alpha: 1 });
    await backend.sync();
  }
  for (const m of extents)
    for (const n of extents)
      for (const k of extents) {
        using a = constant(backend, { shape: [m, k], purpose: "scratch" });
        using b = constant(backend, { shape: [k, n], purpose: "scratch" });
        using y = constant(backend, { shape: [m, n], purpose: "scratch" });
        const product = { a: a.buffer, b: b.buffer, y: y.buffer, batch: 1, m, n, k };
        for (let i = 0; i < 5; i++)
          backend.run("matmul", { ...product, transposeA: false, transposeB: false, accumulate: false });
        await backend.sync();
      }
}

/** tell: what is being done
 *  network: what is between devices, where that was measured
 *  @throws Error where the device does not tell when kernels run */
export async function calibrate(
  backend: Backend,
  { name, network = unknownNetwork, tell }: { name: string; network?: NetworkLevel; tell: (what: string) => void },
): Promise<Profile> {
  tell("kernels of training steps, and products");
  for (const step of models) await stepSeconds(backend, { step, warmup: 1, steps: 1 });
  const kernels = await observed(backend, async () => {
    for (const step of models) await stepSeconds(backend, { step, warmup: 1, steps: 4 });
    await productsAndCopies(backend);
  });
  let device = deviceOf(backend, kernels);
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
  return profile();
}

const measured = (value: number) => ({ value, origin: "measured" as const });
const estimate = (value: number) => ({ value, origin: "estimate" as const });

/** From round trips of a short and of a long message, in seconds. */
export function networkFrom(
  name: string,
  { short, long, longBytes }: { short: readonly number[]; long: readonly number[]; longBytes: number },
): NetworkLevel {
  const latency = median(short) / 2;
  const moving = Math.max(1e-9, median(long) / 2 - latency);
  return {
    ...unknownNetwork,
    name,
    latencySeconds: measured(latency),
    bytesPerSecond: measured(longBytes / moving),
  };
}

/** Nothing was measured between devices: of one machine's memory. */
const unknownNetwork: NetworkLevel = {
  name: "memory of one machine",
  devices: undefined,
  latencySeconds: estimate(50e-6),
  bytesPerSecond: estimate(1e9),
  uplinkBytesPerSecond: undefined,
  downlinkBytesPerSecond: undefined,
  mediumBytesPerSecond: undefined,
};

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

/** What a kernel is at least, whatever it does. */
const smallElements = 256;

function deviceOf(backend: Backend, kernels: readonly Observed[]): DeviceProfile {
  const time = ({ seconds }: Observed) => median(seconds);
  const small = kernels.filter(({ work }) => work.bytes <= 4 * smallElements);
  const least = small.length > 0 ? median(small.map(time)) : Math.min(...kernels.map(time));
  const large = kernels.filter(({ work }) => work.bytes > 64 * smallElements);
  const rateOf = (some: readonly Observed[], of: (work: KernelWork) => number): number => {
    const spent = some.reduce((sum, each) => sum + Math.max(1e-9, time(each) - least) * each.seconds.length, 0);
    return some.reduce((sum, { work, seconds }) => sum + of(work) * seconds.length, 0) / spent;
  };
  const copies = kernels.filter(({ work }) => work.kernel === "scale" && work.flops === copied);
  const bytesPerSecond = rateOf(copies, ({ bytes }) => bytes);
  const rates: Partial<Record<KernelWork["kernel"], ReturnType<typeof measured>>> = {};
  for (const name of new Set(large.map(({ work }) => work.kernel))) {
    const own = large.filter(({ work }) => work.kernel === name && work.flops > 0);
    if (name === "matmul" || own.length === 0) continue;
    rates[name] = measured(rateOf(own, ({ flops }) => flops));
  }
  const others = Object.values(rates).map(({ value }) => value);
  const f32 = productRate(
    kernels.filter(({ work }) => work.product?.dtype === "f32"),
    least,
  );
  return {
    memoryBytes: estimate(backend.maxBufferBytes),
    products: { f32, f16: f32 },
    flopsPerSecond: measured(median(others)),
    bytesPerSecond: measured(bytesPerSecond),
    launchSeconds: measured(least),
    localMessageSeconds: undefined,
    hostKernelSeconds: undefined,
    hostMessageSeconds: undefined,
    kernels: rates,
  };
}

/** Rate and half-extents whose times are nearest to those of products, in the mean of logarithms' squares: each of the four in turn. */
function productRate(seen: readonly Observed[], least: number): DeviceProfile["products"]["f32"] {
  const all = seen.map(({ work, seconds }) => ({ work, seconds: median(seconds) }));
  const values = { rate: 10e9, m: 16, n: 16, k: 16 };
  const made = ({ rate, m, n, k }: typeof values): DeviceProfile["products"]["f32"] => ({
    flopsPerSecond: measured(rate),
    efficiency: measured(1),
    halfM: measured(m),
    halfN: measured(n),
    halfK: measured(k),
  });
  const error = (tried: typeof values): number => {
    const f32 = made(tried);
    const device = {
      products: { f32, f16: f32 },
      bytesPerSecond: { value: 1e15 },
      launchSeconds: { value: least },
      kernels: {},
    };
    return all.reduce(
      (sum, { work, seconds }) => sum + Math.log(kernelSeconds(work, device as DeviceProfile) / seconds) ** 2,
      0,
    );
  };
  for (let step = 2; step > 1.001; step = 1 + (step - 1) * 0.8)
    for (const name of ["rate", "m", "n", "k"] as const)
      for (const factor of [step, 1 / step]) {
        const tried = { ...values, [name]: values[name] * factor };
        while (error(tried) < error(values)) {
          values[name] = tried[name];
          tried[name] *= factor;
        }
      }
  return made(values);
}

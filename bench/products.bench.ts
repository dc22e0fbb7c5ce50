// Products on WebGPU: ours beside four reference kernels of the same device, interleaved in one run, and the
// shapes of a training step. Times end when the device is idle and one element of the result has been read.

import type { DeviceBuffer } from "../src/backend/buffer.ts";
import { findAdapter } from "../src/backend/select.ts";
import { WebGpuBackend } from "../src/backend/webgpu/backend.ts";
import { openDevice } from "../src/backend/webgpu/device.ts";
import { shaders } from "../src/backend/webgpu/shaders.ts";
import direct4 from "./reference/direct4.wgsl";
import direct8 from "./reference/direct8.wgsl";
import naive from "./reference/naive.wgsl";
import shared64 from "./reference/shared64.wgsl";

export interface ProductRow {
  readonly name: string;
  readonly shape: string;
  readonly medianMs: number;
  readonly fastestMs: number;
  /** at the median */
  readonly gflops: number;
}

interface Shape {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly form: "NN" | "NT" | "TN";
}

/** Rows and vec4-aligned columns a workgroup of each reference computes. */
const references = { naive: [8, 8], direct4: [32, 32], direct8: [64, 32], shared64: [64, 64] } as const;

/** nanoGPT's CPU recipe: 12 x 64 tokens, width 128; 68 is the vocabulary of 65, padded. */
const trainingShapes: readonly Shape[] = [
  { form: "NN", m: 768, n: 384, k: 128 },
  { form: "NN", m: 768, n: 128, k: 128 },
  { form: "NN", m: 768, n: 512, k: 128 },
  { form: "NN", m: 768, n: 128, k: 512 },
  { form: "NT", m: 768, n: 68, k: 128 },
  { form: "NT", m: 768, n: 128, k: 384 },
  { form: "NT", m: 768, n: 128, k: 512 },
  { form: "TN", m: 128, n: 384, k: 768 },
  { form: "TN", m: 128, n: 512, k: 768 },
  { form: "TN", m: 68, n: 128, k: 768 },
];

/** A backend that also knows the reference kernels. */
export async function openForProducts(): Promise<WebGpuBackend> {
  const found = await findAdapter();
  if ("missing" in found) throw new Error(found.missing);
  const { device, info } = await openDevice(found.adapter);
  return new WebGpuBackend({ device, info, sources: { ...shaders, naive, direct4, direct8, shared64 } });
}

/** size: of the square products, a multiple of 64. repeats: odd. */
export async function benchProducts(
  backend: WebGpuBackend,
  { size, repeats }: { size: number; repeats: number },
): Promise<ProductRow[]> {
  const buffers: DeviceBuffer[] = [];
  const random = (length: number) => {
    const buffer = backend.allocate({ dtype: "f32", length, purpose: "scratch" });
    backend.write(
      buffer,
      Float32Array.from({ length }, (_, i) => ((i * 7919) % 1009) / 1009 - 0.5),
    );
    buffers.push(buffer);
    return buffer;
  };
  const square = (form: Shape["form"]): Shape => ({ form, m: size, n: size, k: size });
  const jobs: { name: string; shape: Shape; y: DeviceBuffer; run: () => void; times: number[] }[] = [];
  for (const shape of [square("NN"), square("NT"), square("TN"), ...trainingShapes]) {
    const { m, n, k, form } = shape;
    const [a, b, y] = [random(m * k), random(k * n), random(m * n)];
    const args = {
      a,
      b,
      y,
      batch: 1,
      m,
      n,
      k,
      transposeA: form === "TN",
      transposeB: form === "NT",
      accumulate: false,
    };
    jobs.push({ name: "shardgrad", shape, y, run: () => backend.run("matmul", args), times: [] });
    if (jobs.length > 1) continue;
    for (const [shader, [rows, columns]] of Object.entries(references)) {
      const workgroups = [n / columns, m / rows, 1] as const;
      const run = () => backend.dispatch({ shader, buffers: { a, b, y }, params: { m, n, k }, workgroups });
      jobs.push({ name: shader, shape, y, run, times: [] });
    }
  }
  // The first round compiles.
  for (let round = 0; round <= repeats; round++) {
    for (const { run, y, times } of jobs) {
      const start = performance.now();
      run();
      await backend.read(y, 1);
      if (round > 0) times.push(performance.now() - start);
    }
  }
  for (const buffer of buffers) backend.free(buffer);
  return jobs.map(({ name, shape: { form, m, n, k }, times }) => {
    times.sort((s, t) => s - t);
    const medianMs = times[(repeats - 1) / 2];
    return {
      name,
      shape: `${form} ${m}x${n}x${k}`,
      medianMs,
      fastestMs: times[0],
      gflops: (2 * m * n * k) / medianMs / 1e6,
    };
  });
}

async function main(): Promise<void> {
  const at = process.argv.indexOf("--size");
  const size = at < 0 ? 512 : Number(process.argv[at + 1]);
  const backend = await openForProducts();
  console.log(`f32 products on ${backend.adapter.description}; median of 15, one element read back`);
  for (const { name, shape, medianMs, fastestMs, gflops } of await benchProducts(backend, { size, repeats: 15 })) {
    console.log(
      `${shape.padEnd(16)} ${name.padEnd(10)} ${medianMs.toFixed(2).padStart(8)} ms  fastest ${fastestMs.toFixed(2).padStart(8)} ms ${gflops.toFixed(2).padStart(8)} GFLOP/s`,
    );
  }
  backend.dispose();
}

if (globalThis.process?.argv[1]?.includes("products.bench")) await main();

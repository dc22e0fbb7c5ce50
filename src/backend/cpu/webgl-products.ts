// Products in WebGL2 through gpu.js, for a browser whose GPU has no WebGPU. Every product uploads its operands and
// reads its result back, so it is measured against the plain loops once, and used only where it won and was right.

import type { DeviceBuffer } from "../buffer.ts";
import type { KernelArgs } from "../kernels.ts";
import type { Products } from "./backend.ts";
import type { Kernel, Views } from "./kernels/kernel.ts";
import { matmul as plainLoops } from "./kernels/product.ts";

export interface WebglProductsOptions {
  /** What WebGL2 has to beat; the plain loops by default. */
  rival?: Kernel<"matmul">;
}

/** A product op(a) op(b), for `run` as gpu.js wants it. */
interface Shape {
  m: number;
  n: number;
  k: number;
  transposeA: boolean;
  transposeB: boolean;
}
type Run = (a: Float32Array, b: Float32Array, shape: Shape) => Float32Array[];

/** From small to large; the first where WebGL2 wins becomes the least size it is used for. The second is a product of a small
 *  model's training step, the last takes the plain loops some 40 ms. */
const probes = [
  { m: 128, n: 128, k: 128 },
  { m: 768, n: 128, k: 128 },
  { m: 384, n: 384, k: 384 },
] as const;
/** Runs of each probe after the one that compiles; the fastest counts. */
const probeRuns = 2;
/** gpu.js addresses elements through f32 in places: exact up to here. */
const maxElements = 2 ** 24;
/** Compiled shapes kept: more than a model has. */
const maxKernels = 64;

const notUsed = (why: string): Products => ({ description: `products in plain loops: ${why}` });

/** Decides once who multiplies matrices, in about a second. Ask only where WebGPU gave no adapter: loading gpu.js replaces the
 *  global `GPU`. Always resolves: where WebGL2 is missing, wrong or slower, the description says so and the loops stay. */
export async function webglProducts({ rival = plainLoops }: WebglProductsOptions = {}): Promise<Products> {
  const context = webgl2();
  if (!context) return notUsed("no WebGL2 with float targets here");
  let run: Run;
  try {
    run = await compileWith(context);
    const wrong = selfCheck(run);
    if (wrong) return notUsed(`WebGL2 (${rendererOf(context)}) ${wrong}`);
  } catch (error) {
    return notUsed(`gpu.js failed on WebGL2: ${error instanceof Error ? error.message : String(error)}`);
  }
  const theirs = probes.map((probe) => probeMs(rival, probe));
  const measured: string[] = [];
  for (const [i, probe] of probes.entries()) {
    const ours = probeMs(webglMatmul({ run, context, least: probe }), probe);
    const name = `${probe.m}x${probe.n}x${probe.k}`;
    measured.push(`${ours.toFixed(1)} ms against ${theirs[i].toFixed(1)} ms at ${name}`);
    if (ours < theirs[i]) {
      return {
        matmul: webglMatmul({ run, context, least: probe }),
        description: `products from ${name} on in WebGL2 (${rendererOf(context)}), ${measured.join(", ")}`,
      };
    }
    // A larger product takes longer still: nothing left to win, and software would be at it for seconds.
    if (ours >= Math.max(...theirs)) break;
  }
  return notUsed(`WebGL2 (${rendererOf(context)}) is slower, ${measured.join(", ")}`);
}

function webgl2(): WebGL2RenderingContext | undefined {
  if (typeof OffscreenCanvas === "undefined") return undefined;
  const context = new OffscreenCanvas(1, 1).getContext("webgl2", { alpha: false, depth: false, antialias: false });
  return context?.getExtension("EXT_color_buffer_float") ? context : undefined;
}

function rendererOf(context: WebGL2RenderingContext): string {
  const info = context.getExtension("WEBGL_debug_renderer_info");
  return String(context.getParameter(info ? info.UNMASKED_RENDERER_WEBGL : context.RENDERER));
}

// Source text, not functions: gpu.js translates it to GLSL, and a minifier would rename what it must find.
const element = (transposeA: boolean, transposeB: boolean): string => `function (a, b) {
  let sum = 0;
  for (let p = 0; p < this.constants.k; p++) {
    sum += ${transposeA ? "a[p][this.thread.y]" : "a[this.thread.y][p]"} * ${transposeB ? "b[this.thread.x][p]" : "b[p][this.thread.x]"};
  }
  return sum;
}`;

/** What is used of gpu.js; its own declarations lack `input`, and typed arrays in it. */
interface GpuJs {
  GPU: new (settings: {
    mode: "webgl2";
    canvas: unknown;
    context: unknown;
  }) => { createKernel(source: string, settings: object): GpuKernel };
  /** size: [columns, rows] */
  input(value: Float32Array, size: [number, number]): unknown;
}
interface GpuKernel {
  (a: unknown, b: unknown): Float32Array[];
  destroy(): void;
}

/** gpu.js is CommonJS: what of it arrives as named exports, and what as the default one, is up to who bundled it. */
async function loadGpuJs(): Promise<GpuJs> {
  const loaded = (await import("gpu.js")) as unknown as Partial<GpuJs> & { default?: GpuJs };
  return loaded.GPU && loaded.input ? { GPU: loaded.GPU, input: loaded.input } : loaded.default!;
}

async function compileWith(context: WebGL2RenderingContext): Promise<Run> {
  const { GPU, input } = await loadGpuJs();
  const gpu = new GPU({ mode: "webgl2", canvas: context.canvas, context });
  const kernels = new Map<string, GpuKernel>();
  return (a, b, { m, n, k, transposeA, transposeB }) => {
    const key = `${m} ${n} ${k} ${transposeA} ${transposeB}`;
    let kernel = kernels.get(key);
    if (!kernel) {
      if (kernels.size >= maxKernels) {
        for (const old of kernels.values()) old.destroy();
        kernels.clear();
      }
      kernel = gpu.createKernel(element(transposeA, transposeB), {
        output: [n, m],
        constants: { k },
        precision: "single",
        tactic: "precision",
      });
      kernels.set(key, kernel);
    }
    return kernel(input(a, transposeA ? [m, k] : [k, m]), input(b, transposeB ? [k, n] : [n, k]));
  };
}

interface WebglMatmul {
  run: Run;
  context: WebGL2RenderingContext;
  least: { m: number; n: number; k: number };
}

/** multiply-adds, and how many of them for each element that is moved */
const work = ({ m, n, k }: { m: number; n: number; k: number }) => ({
  amount: m * n * k,
  density: (m * n * k) / (m * k + k * n + m * n),
});

function webglMatmul({ run, context, least }: WebglMatmul): Kernel<"matmul"> {
  const needed = work(least);
  return (args, views) => {
    const { batch, m, n, k, accumulate } = args;
    const { amount, density } = work(args);
    const tooLong = Math.max(m * k, k * n, m * n) > maxElements;
    if (amount < needed.amount || density < needed.density || tooLong || context.isContextLost()) {
      plainLoops(args, views);
      return;
    }
    const a = views.f32(args.a);
    const b = views.f32(args.b);
    const y = views.f32(args.y);
    const bias = args.bias && views.f32(args.bias);
    const samples: Float32Array[][] = [];
    for (let z = 0; z < batch; z++) {
      samples.push(run(a.subarray(z * m * k, (z + 1) * m * k), b.subarray(z * k * n, (z + 1) * k * n), args));
    }
    // A context that was lost meanwhile read back as zeros: nothing of them may reach y.
    if (context.isContextLost()) {
      plainLoops(args, views);
      return;
    }
    samples.forEach((rows, z) => {
      for (let i = 0; i < m; i++) {
        const row = rows[i];
        const at = (z * m + i) * n;
        for (let j = 0; j < n; j++) y[at + j] = (accumulate ? y[at + j] : 0) + row[j] + (bias ? bias[j] : 0);
      }
    });
  };
}

/** A product on arrays that no backend owns. */
function operands(
  arrays: { a: Float32Array; b: Float32Array },
  shape: Shape,
): { args: KernelArgs["matmul"]; views: Views } {
  const held = { ...arrays, y: new Float32Array(shape.m * shape.n) };
  const buffer = (id: number, { length }: Float32Array): DeviceBuffer => ({
    id,
    dtype: "f32",
    length,
    purpose: "scratch",
  });
  const of = [held.a, held.b, held.y];
  const [a, b, y] = of.map((array, id) => buffer(id, array));
  return {
    args: { ...shape, a, b, y, batch: 1, accumulate: false },
    views: {
      f32: ({ id }) => of[id],
      i32: () => {
        throw new TypeError("products have no i32 operand");
      },
    },
  };
}

/** Values in (-1, 1) that repeat late and use all 24 bits: the golden ratio's multiples. */
function spread(length: number): Float32Array {
  return Float32Array.from({ length }, (_, i) => 2 * ((i * 0.6180339887498949 + 0.25) % 1) - 1);
}

function probeMs(matmul: Kernel<"matmul">, probe: { m: number; n: number; k: number }): number {
  const shape = { ...probe, transposeA: false, transposeB: false };
  const { args, views } = operands({ a: spread(probe.m * probe.k), b: spread(probe.k * probe.n) }, shape);
  matmul(args, views);
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < probeRuns; i++) {
    const started = performance.now();
    matmul(args, views);
    best = Math.min(best, performance.now() - started);
  }
  return best;
}

/** What is wrong with products by `run`, or undefined. Compares NN, NT and TN with the loops under the bound of an f32 sum of
 *  products, 2 (k + 2) u sum |a||b|, and demands that NaN and Infinity come through: a diverged run must be seen to diverge. */
function selfCheck(run: Run): string | undefined {
  const [m, n, k] = [67, 45, 131];
  const a = spread(m * k);
  const b = spread(k * n).reverse();
  for (const [transposeA, transposeB] of [
    [false, false],
    [false, true],
    [true, false],
  ] as const) {
    const shape = { m, n, k, transposeA, transposeB };
    const expected = plainProduct({ a, b }, shape);
    const absolute = plainProduct({ a: a.map(Math.abs), b: b.map(Math.abs) }, shape);
    const rows = run(a, b, shape);
    for (let i = 0; i < m; i++) {
      for (let j = 0; j < n; j++) {
        const at = i * n + j;
        const error = Math.abs(rows[i][j] - expected[at]);
        if (!(error <= 2 * (k + 2) * 2 ** -24 * absolute[at])) return `gives products that are off by ${error}`;
      }
    }
  }
  const ones = new Float32Array(8 * 8).fill(1);
  const shape = { m: 8, n: 8, k: 8, transposeA: false, transposeB: false };
  for (const special of [Number.NaN, Number.POSITIVE_INFINITY]) {
    const marked = ones.slice();
    marked[8 * 2 + 3] = special;
    const rows = run(marked, ones, shape);
    if (!Object.is(rows[2][5], special) || rows[3][5] !== 8) return `loses ${special}`;
  }
  return undefined;
}

function plainProduct(arrays: { a: Float32Array; b: Float32Array }, shape: Shape): Float32Array {
  const { args, views } = operands(arrays, shape);
  plainLoops(args, views);
  return views.f32(args.y);
}

// gpu.js: the matrix multiplication of its README, one output a thread, for the three forms. It has no ops, so it takes part in products
// alone.

import type * as GpuJs from "gpu.js";
import type { Contestant, Engine } from "../harness.ts";
import { type Form, inputsOf, type ProductTask } from "../tasks.ts";

type Matrix = number[][];
type This = GpuJs.IKernelFunctionThis<{ inner: number }>;

// It reads these functions' source: plain loops, and names of its own making.
const kernels: Record<Form, (this: This, a: Matrix, b: Matrix) => number> = {
  NN: function (a, b) {
    let sum = 0;
    for (let i = 0; i < this.constants.inner; i++) sum += a[this.thread.y][i] * b[i][this.thread.x];
    return sum;
  },
  NT: function (a, b) {
    let sum = 0;
    for (let i = 0; i < this.constants.inner; i++) sum += a[this.thread.y][i] * b[this.thread.x][i];
    return sum;
  },
  TN: function (a, b) {
    let sum = 0;
    for (let i = 0; i < this.constants.inner; i++) sum += a[i][this.thread.y] * b[i][this.thread.x];
    return sum;
  },
};

export async function openGpuJs(device: "webgpu" | "wasm", version: string): Promise<Engine> {
  // Loading it replaces the global that belongs to WebGPU.
  const { GPU: WebGpu } = globalThis as { GPU?: unknown };
  const loaded = await import("gpu.js");
  Object.assign(globalThis, { GPU: WebGpu });
  // CommonJS: everything is in the default export. Its declarations lack `input`.
  const { GPU, input } = loaded.default as typeof GpuJs & { input(values: Float32Array, size: number[]): unknown };
  const gpu = new GPU({ mode: (device === "wasm" ? "webasm" : "webgpu") as "gpu" });

  function product({ m, n, k, form }: ProductTask): Contestant {
    const { a, b } = inputsOf({ subject: "products", m, n, k, form });
    const kernel = gpu.createKernel(
      kernels[form] as never,
      {
        output: [n, m],
        constants: { inner: k },
        precision: "single",
        asyncMode: true,
      } as object,
    );
    const operands = [input(a, form === "TN" ? [m, k] : [k, m]), input(b, form === "NT" ? [k, n] : [n, k])];
    return {
      async run() {
        const rows = (await kernel(...(operands as never[]))) as unknown as Float32Array[];
        const whole = new Float32Array(m * n);
        for (const [row, values] of rows.entries()) whole.set(values, row * n);
        return whole;
      },
      dispose: () => kernel.destroy(),
    };
  }

  return {
    name: "gpu.js",
    version,
    adapter: device,
    prepare: async (task) => (task.subject === "products" ? product(task) : undefined),
    close: () => void gpu.destroy(),
  };
}

// Four textbook product kernels on our own device: what a kernel written in an afternoon does there.

import type { WebGpuBackend } from "../src/backend/webgpu/backend.ts";
import type { Contestant, Engine } from "./harness.ts";
import { inputsOf, type ProductTask } from "./tasks.ts";

/** Rows and columns a workgroup of each computes; K in steps of 16. */
const tiles = { naive: [8, 8], direct4: [32, 32], direct8: [64, 32], shared64: [64, 64] } as const;

export const textbook = (backend: WebGpuBackend): Engine[] =>
  Object.entries(tiles).map(([shader, [rows, cols]]) => ({
    name: `textbook ${shader}`,
    version: "",
    adapter: backend.adapter.description,
    async prepare(task) {
      const fits = task.subject === "products" && task.form === "NN" && task.m % rows === 0 && task.n % cols === 0;
      return fits && task.k % 16 === 0 ? product(backend, task, [shader, task.n / cols, task.m / rows]) : undefined;
    },
    close() {},
  }));

function product(backend: WebGpuBackend, task: ProductTask, [shader, x, y]: [string, number, number]): Contestant {
  const { m, n, k } = task;
  const inputs = inputsOf(task);
  const buffer = (length: number) => backend.allocate({ dtype: "f32", length, purpose: "scratch" });
  const buffers = { a: buffer(m * k), b: buffer(k * n), y: buffer(m * n) };
  backend.write(buffers.a, inputs.a);
  backend.write(buffers.b, inputs.b);
  return {
    run() {
      backend.dispatch({ shader, buffers, params: { m, n, k }, workgroups: [x, y, 1] });
      return backend.read(buffers.y);
    },
    dispose() {
      for (const each of Object.values(buffers)) backend.free(each);
    },
  };
}

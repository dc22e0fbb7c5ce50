// Tasks that fill a GPU, as kernels that can be enqueued again and again before anything is read.

import type { Backend } from "../src/backend/backend.ts";
import type { DeviceBuffer } from "../src/backend/buffer.ts";
import { fusedRows, ours, recipeModel } from "./ours.ts";
import {
  type AttentionTask,
  flopsOf,
  formOf,
  inputsOf,
  type NormTask,
  noise,
  type ProductTask,
  type StepTask,
  shapeOf,
  type Task,
} from "./tasks.ts";

export interface GpuTask {
  readonly subject: string;
  readonly shape: string;
  readonly form: string;
  readonly flops: number;
  /** read and written at least, where memory bounds the task, else 0 */
  readonly bytes: number;
  /** what its result is checked as */
  readonly checked: Exclude<Task, StepTask> | undefined;
  open(backend: Backend): Promise<OpenTask>;
}

export interface OpenTask {
  enqueue(): void | Promise<void>;
  /** waits until everything enqueued is done */
  finish(): Promise<unknown>;
  /** all of what one run gives */
  result(): Promise<ArrayLike<number>>;
  dispose(): void;
}

export function gpuTasks({ quick }: { quick: boolean }): GpuTask[] {
  const products: [number, number, number][] = quick
    ? [
        [512, 512, 512],
        [1024, 1024, 1024],
      ]
    : [
        [4096, 4096, 4096],
        [2048, 2048, 2048],
        [8192, 1024, 4096],
        [1024, 1024, 1024],
      ];
  const attention = quick
    ? [[1, 128, 4, 32]]
    : [
        [4, 1024, 12, 64],
        [1, 4096, 16, 64],
        [4, 2048, 16, 128],
      ];
  const [rows, cols, elements] = quick ? [256, 256, 2 ** 18] : [8192, 1024, 2 ** 24];
  return [
    ...products.flatMap(([m, n, k]) =>
      (["NN", "NT", "TN"] as const).map((form) => product({ subject: "products", m, n, k, form })),
    ),
    ...attention.map(([batch, tokens, heads, headWidth]) =>
      attentionForward({ subject: "attention", batch, tokens, heads, headWidth }),
    ),
    add(elements),
    norm({ subject: "norms", rows, cols }),
    adamw(elements),
    step(),
  ];
}

const described = (task: Task) => ({
  subject: task.subject,
  shape: shapeOf(task),
  form: formOf(task),
  flops: flopsOf(task),
});

/** f32 buffers, in use until the task is disposed. */
function buffers(backend: Backend) {
  const all: DeviceBuffer[] = [];
  const empty = (length: number) => {
    const buffer = backend.allocate({ dtype: "f32", length, purpose: "scratch" });
    all.push(buffer);
    return buffer;
  };
  return {
    empty,
    of(values: Float32Array) {
      const buffer = empty(values.length);
      backend.write(buffer, values);
      return buffer;
    },
    free() {
      for (const buffer of all) backend.free(buffer);
    },
  };
}

/** A kernel that writes `y`. */
function opened(
  backend: Backend,
  { y, enqueue, free }: { y: DeviceBuffer; enqueue: () => void; free: () => void },
): OpenTask {
  return {
    enqueue,
    finish: () => backend.read(y, 1),
    async result() {
      enqueue();
      return await backend.read(y);
    },
    dispose: free,
  };
}

function product(task: ProductTask): GpuTask {
  return {
    ...described(task),
    bytes: 0,
    checked: task,
    async open(backend) {
      const { m, n, k, form } = task;
      const inputs = inputsOf(task);
      const { of, empty, free } = buffers(backend);
      const [a, b, y] = [of(inputs.a), of(inputs.b), empty(m * n)];
      const shape = { m, n, k, batch: 1, transposeA: form === "TN", transposeB: form === "NT", accumulate: false };
      return opened(backend, { y, free, enqueue: () => backend.run("matmul", { a, b, y, ...shape }) });
    },
  };
}

function attentionForward(task: AttentionTask): GpuTask {
  return {
    ...described(task),
    bytes: 0,
    checked: task,
    async open(backend) {
      const { batch, tokens, heads, headWidth } = task;
      const { of, empty, free } = buffers(backend);
      const [q, y] = [of(fusedRows(task)), empty(batch * tokens * heads * headWidth)];
      const lse = empty(batch * heads * tokens);
      const sizes = { batch, heads, kvHeads: heads, headWidth, queries: tokens, keys: tokens, capacity: tokens };
      const scale = 1 / Math.sqrt(headWidth);
      return opened(backend, {
        ...{ y, free },
        enqueue: () => backend.run("attention", { ...sizes, q, kv: q, y, lse, scale }),
      });
    },
  };
}

/** y += x. */
function add(elements: number): GpuTask {
  return {
    ...{ subject: "add", shape: String(elements), form: "", flops: 0, bytes: 12 * elements, checked: undefined },
    async open(backend) {
      const { of, empty, free } = buffers(backend);
      const [a, b, y] = [of(noise(elements, 1)), of(noise(elements, 2)), empty(elements)];
      return opened(backend, { y, free, enqueue: () => backend.run("add", { a, b, y, n: elements }) });
    },
  };
}

/** Statistics, then the norm: x is read twice, which counts as a read that a better kernel would save. */
function norm(task: NormTask): GpuTask {
  return {
    ...described(task),
    bytes: 8 * task.rows * task.cols,
    checked: task,
    async open(backend) {
      const { rows, cols } = task;
      const inputs = inputsOf(task);
      const { of, empty, free } = buffers(backend);
      const [x, gain, stats, y] = [of(inputs.x), of(inputs.gain), empty(2 * rows), empty(rows * cols)];
      return opened(backend, {
        ...{ y, free },
        enqueue() {
          backend.run("normStats", { x, stats, rows, cols, kind: "layer" });
          backend.run("normApply", { x, stats, gain, y, rows, cols, width: cols, eps: 1e-5 });
        },
      });
    },
  };
}

/** Reads weight, gradient and both moments, writes all but the gradient. */
function adamw(elements: number): GpuTask {
  return {
    ...{ subject: "adamw", shape: String(elements), form: "", flops: 0, bytes: 28 * elements, checked: undefined },
    async open(backend) {
      const { of, free } = buffers(backend);
      const zeros = new Float32Array(elements);
      const [w, g, m, v] = [of(noise(elements, 1)), of(noise(elements, 2)), of(zeros), of(zeros)];
      const normSquared = of(Float32Array.of(1));
      const rates = { learningRate: 1e-3, beta1: 0.9, beta2: 0.99, eps: 1e-8, weightDecay: 0.1, clip: 1, lossScale: 1 };
      const corrections = { correction1: 0.1, correction2: 0.01 };
      return opened(backend, {
        ...{ y: w, free },
        enqueue: () => backend.run("adamw", { w, g, m, v, normSquared, n: elements, ...rates, ...corrections }),
      });
    },
  };
}

/** The recipe's step, its loss read back every time, as a run needs it. */
function step(): GpuTask {
  return {
    ...described({ subject: "step" }),
    bytes: 0,
    checked: undefined,
    async open(backend) {
      const model = recipeModel(backend);
      const weights = await model.checkpoint();
      model.dispose();
      const contestant = await ours(backend, "").prepare({ subject: "step" }, weights);
      if (!contestant) throw new Error("the step is missing");
      return {
        enqueue: async () => void (await contestant.run()),
        finish: async () => {},
        result: () => contestant.run(),
        dispose: () => contestant.dispose?.(),
      };
    },
  };
}

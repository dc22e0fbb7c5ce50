// What a kernel does, by its arguments: which buffers it writes, its arithmetic, and the bytes that it has to move if it reads and writes
// everything once.

import { bytesOf, type DeviceBuffer } from "./buffer.ts";
import type { KernelArgs, KernelName } from "./kernels.ts";

export interface Work {
  /** additions, multiplications and functions, one each; a product of [m, k] and [k, n] has 2 m n k */
  readonly flops: number;
  /** read and written */
  readonly bytes: number;
}

/** The arguments of a kernel that are buffers. */
type BufferName<K extends KernelName> = {
  [F in keyof KernelArgs[K]]-?: NonNullable<KernelArgs[K][F]> extends DeviceBuffer ? F : never;
}[keyof KernelArgs[K]];

/** The buffers each kernel writes; it leaves its others as they were. */
export const written = {
  matmul: ["y"],
  attention: ["y", "lse"],
  attentionGrad: ["delta", "dqkv"],
  rotary: ["y"],
  normStats: ["stats"],
  normMerge: ["y"],
  normApply: ["y"],
  normGradSums: ["sums"],
  normGradInput: ["dx"],
  normGradGain: ["dgain"],
  gelu: ["y"],
  geluGrad: ["dx"],
  siluGate: ["y"],
  siluGateGrad: ["dx"],
  dropout: ["y"],
  embedding: ["y"],
  embeddingGrad: ["dtable"],
  rowMax: ["max"],
  sumExp: ["sums"],
  crossEntropy: ["losses"],
  crossEntropyGrad: ["dx"],
  sum: ["partials", "y"],
  columnSum: ["y"],
  adamw: ["w", "half", "m", "v"],
  add: ["y"],
  axpy: ["y"],
  maximum: ["y"],
  scale: ["y"],
  fill: ["y"],
  packHalf: ["y"],
  unpackHalf: ["y"],
  copy: ["y"],
} as const satisfies { [K in KernelName]: readonly BufferName<K>[] };

/** All there are. */
export const kernelNames = Object.keys(written) as KernelName[];

type Counts<K extends KernelName> = (args: KernelArgs[K]) => Work;

const moved = (buffer: DeviceBuffer | undefined, elements: number): number =>
  buffer ? bytesOf({ dtype: buffer.dtype, length: elements }) : 0;

/** Pairs of a query and a key that it sees, a head. */
const pairs = (queries: number, keys: number): number => queries * (keys - queries) + (queries * (queries + 1)) / 2;

/** n elements of each, with so many operations an element. */
const elementwise = (n: number, each: number, ...buffers: DeviceBuffer[]): Work => ({
  flops: each * n,
  bytes: buffers.reduce((sum, buffer) => sum + moved(buffer, n), 0),
});

const counts: { [K in KernelName]: Counts<K> } = {
  matmul: ({ a, b, y, bias, batch, m, n, k, accumulate }) => ({
    flops: 2 * batch * m * n * k,
    bytes:
      moved(a, batch * m * k) +
      moved(b, batch * k * n) +
      moved(y, (accumulate ? 2 : 1) * batch * m * n) +
      moved(bias, n),
  }),

  // Scores and their product with v: 4 operations a pair and column.
  attention: ({ q, kv, y, lse, batch, queries, keys, heads, kvHeads, headWidth }) => ({
    flops: 4 * batch * heads * headWidth * pairs(queries, keys),
    bytes:
      moved(q, batch * queries * heads * headWidth) +
      moved(kv, 2 * batch * keys * kvHeads * headWidth) +
      moved(y, batch * queries * heads * headWidth) +
      moved(lse, batch * heads * queries),
  }),
  // Five products where the forward has two.
  attentionGrad: ({ qkv, y, dy, lse, dqkv, batch, tokens, heads, kvHeads, headWidth }) => ({
    flops: 10 * batch * heads * headWidth * pairs(tokens, tokens),
    bytes:
      moved(qkv, batch * tokens * (heads + 2 * kvHeads) * headWidth) +
      moved(y, batch * tokens * heads * headWidth) +
      moved(dy, batch * tokens * heads * headWidth) +
      moved(lse, batch * heads * tokens) +
      moved(dqkv, batch * tokens * (heads + 2 * kvHeads) * headWidth),
  }),
  rotary: ({ x, y, rows, heads, kvHeads, headWidth }) => elementwise(rows * (heads + 2 * kvHeads) * headWidth, 3, x, y),

  normStats: ({ x, stats, rows, cols }) => ({
    flops: 4 * rows * cols,
    bytes: moved(x, rows * cols) + moved(stats, 2 * rows),
  }),
  normMerge: ({ a, b, y, rows }) => elementwise(2 * rows, 4, a, b, y),
  normApply: ({ x, stats, gain, bias, y, rows, cols }) => ({
    flops: 4 * rows * cols,
    bytes:
      moved(x, rows * cols) + moved(stats, 2 * rows) + moved(gain, cols) + moved(bias, cols) + moved(y, rows * cols),
  }),
  normGradSums: ({ x, stats, gain, dy, sums, rows, cols }) => ({
    flops: 6 * rows * cols,
    bytes:
      moved(x, rows * cols) +
      moved(dy, rows * cols) +
      moved(gain, cols) +
      moved(stats, 2 * rows) +
      moved(sums, 2 * rows),
  }),
  normGradInput: ({ x, stats, gain, dy, sums, dx, rows, cols, accumulate }) => ({
    flops: 8 * rows * cols,
    bytes:
      moved(x, rows * cols) +
      moved(dy, rows * cols) +
      moved(dx, (accumulate ? 2 : 1) * rows * cols) +
      moved(gain, cols) +
      moved(stats, 2 * rows) +
      moved(sums, 2 * rows),
  }),
  normGradGain: ({ x, stats, dy, dgain, rows, cols }) => ({
    flops: 4 * rows * cols,
    bytes: moved(x, rows * cols) + moved(dy, rows * cols) + moved(stats, 2 * rows) + moved(dgain, cols),
  }),

  gelu: ({ x, y, n }) => elementwise(n, 10, x, y),
  geluGrad: ({ x, dy, dx, n }) => elementwise(n, 20, x, dy, dx),
  siluGate: ({ x, y, n }) => elementwise(n, 5, x, x, y),
  siluGateGrad: ({ x, dy, dx, n }) => elementwise(n, 10, x, x, dy, dx, dx),
  // Ten rounds of Philox for four elements.
  dropout: ({ x, y, rows, cols }) => elementwise(rows * cols, 16, x, y),

  embedding: ({ ids, table, y, count, cols, accumulate }) => ({
    flops: accumulate ? count * cols : 0,
    bytes: moved(ids, count) + moved(table, count * cols) + moved(y, (accumulate ? 2 : 1) * count * cols),
  }),
  embeddingGrad: ({ order, dy, dtable, segments, count, cols }) => ({
    flops: count * cols,
    bytes: moved(order, count) + moved(dy, count * cols) + moved(dtable, 2 * segments * cols),
  }),

  rowMax: ({ x, max, rows, cols }) => ({ flops: rows * cols, bytes: moved(x, rows * cols) + moved(max, rows) }),
  sumExp: ({ x, sums, rows, cols }) => ({
    flops: 3 * rows * cols,
    bytes: moved(x, rows * cols) + moved(sums, 2 * rows),
  }),
  crossEntropy: ({ max, sums, losses, rows }) => ({
    flops: 3 * rows,
    bytes: moved(max, rows) + moved(sums, 2 * rows) + moved(losses, rows),
  }),
  crossEntropyGrad: ({ x, dx, rows, cols }) => elementwise(rows * cols, 5, x, dx),

  sum: ({ x, n, square }) => elementwise(n, square ? 2 : 1, x),
  columnSum: ({ x, y, rows, cols }) => ({ flops: rows * cols, bytes: moved(x, rows * cols) + moved(y, cols) }),

  adamw: ({ w, half, g, m, v, n }) => ({
    flops: 14 * n,
    bytes: 2 * (moved(w, n) + moved(m, n) + moved(v, n)) + moved(g, n) + moved(half, n),
  }),

  add: ({ a, b, y, n }) => elementwise(n, 1, a, b, y),
  axpy: ({ x, y, n }) => elementwise(n, 2, x, y, y),
  maximum: ({ x, y, n }) => elementwise(n, 1, x, y, y),
  scale: ({ x, y, n }) => elementwise(n, 1, x, y),
  fill: ({ y, n }) => elementwise(n, 0, y),
  packHalf: ({ x, y, n }) => ({ flops: n, bytes: moved(x, n) + moved(y, Math.ceil(n / 2)) }),
  unpackHalf: ({ x, y, n }) => ({ flops: n, bytes: moved(x, Math.ceil(n / 2)) + moved(y, n) }),
  copy: ({ x, y, shape }) => elementwise(shape[0] * shape[1] * shape[2] * shape[3], 0, x, y),
};

export const workOf = <K extends KernelName>(kernel: K, args: KernelArgs[K]): Work => counts[kernel](args);

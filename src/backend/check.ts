// Refuses kernel arguments that do not fit the catalogue of kernels.ts. It runs before every kernel on every
// backend, so it allocates nothing unless it throws. It sees shapes and buffers, never a buffer's contents.

import {
  atLeast,
  atMost,
  attentionDropout,
  distinct,
  dropoutArgs,
  finite,
  fusedColumns,
  geluForm,
  halvesTaken,
  holds,
  normKind,
  normShape,
  offset,
  size,
  vocabularyShape,
  withinU32,
} from "./demands.ts";
import { checkTypes } from "./halves.ts";
import type { KernelArgs, KernelName } from "./kernels.ts";
import { reducePartials } from "./kernels.ts";

type Check<K extends KernelName> = (args: KernelArgs[K]) => void;

/** @throws RangeError naming kernel, argument, what was got and what is needed */
export function checkKernel<K extends KernelName>(kernel: K, args: KernelArgs[K]): void {
  const check: Check<K> | undefined = checks[kernel];
  if (check === undefined)
    throw new RangeError(`no kernel is named ${String(kernel)}; kernels.ts lists those that are`);
  const before = halvesTaken;
  check(args);
  if (halvesTaken !== before) checkTypes(kernel, args);
}

/** One past the furthest element that a strided copy touches. */
function stridedExtent(name: "x" | "y", args: KernelArgs["copy"]): number {
  const strides = name === "x" ? args.xStrides : args.yStrides;
  const start = name === "x" ? args.xOffset : args.yOffset;
  offset("copy", name === "x" ? "xOffset" : "yOffset", start);
  let last = start;
  for (let dim = 0; dim < 4; dim++) {
    size("copy", "shape", args.shape[dim]);
    offset("copy", name === "x" ? "xStrides" : "yStrides", strides[dim]);
    last += (args.shape[dim] - 1) * strides[dim];
  }
  return last + 1;
}

const checks: { [K in KernelName]: Check<K> } = {
  matmul(o) {
    size("matmul", "batch", o.batch);
    size("matmul", "m", o.m);
    size("matmul", "n", o.n);
    size("matmul", "k", o.k);
    if (o.transposeA && o.transposeB)
      throw new RangeError("matmul: transposeA and transposeB together are refused; y = (b a)T instead");
    holds("matmul", "a", o.a, o.batch * o.m * o.k, "batch * m * k");
    holds("matmul", "b", o.b, o.batch * o.k * o.n, "batch * k * n");
    holds("matmul", "y", o.y, o.batch * o.m * o.n, "batch * m * n");
    if (o.bias !== undefined) holds("matmul", "bias", o.bias, o.n, "n");
    distinct("matmul", "y", o.y, "a", o.a);
    distinct("matmul", "y", o.y, "b", o.b);
    distinct("matmul", "y", o.y, "bias", o.bias);
  },

  attention(o) {
    const columns = fusedColumns("attention", o);
    size("attention", "batch", o.batch);
    size("attention", "queries", o.queries);
    size("attention", "keys", o.keys);
    size("attention", "capacity", o.capacity);
    atMost("attention", "queries", o.queries, o.keys, "keys");
    atMost("attention", "keys", o.keys, o.capacity, "capacity");
    finite("attention", "scale", o.scale);
    attentionDropout("attention", o.dropout, o.batch, o.heads, o.queries);
    holds("attention", "q", o.q, o.batch * o.queries * columns, "batch * queries * C");
    holds("attention", "kv", o.kv, o.batch * o.capacity * columns, "batch * capacity * C");
    holds("attention", "y", o.y, o.batch * o.queries * o.heads * o.headWidth, "batch * queries * heads * headWidth");
    holds("attention", "lse", o.lse, o.batch * o.heads * o.queries, "batch * heads * queries");
    distinct("attention", "y", o.y, "q", o.q);
    distinct("attention", "y", o.y, "kv", o.kv);
    distinct("attention", "y", o.y, "lse", o.lse);
    distinct("attention", "lse", o.lse, "q", o.q);
    distinct("attention", "lse", o.lse, "kv", o.kv);
  },

  attentionGrad(o) {
    const columns = fusedColumns("attentionGrad", o);
    size("attentionGrad", "batch", o.batch);
    size("attentionGrad", "tokens", o.tokens);
    finite("attentionGrad", "scale", o.scale);
    attentionDropout("attentionGrad", o.dropout, o.batch, o.heads, o.tokens);
    const positions = o.batch * o.tokens;
    holds("attentionGrad", "qkv", o.qkv, positions * columns, "batch * tokens * C");
    holds("attentionGrad", "y", o.y, positions * o.heads * o.headWidth, "batch * tokens * heads * headWidth");
    holds("attentionGrad", "dy", o.dy, positions * o.heads * o.headWidth, "batch * tokens * heads * headWidth");
    holds("attentionGrad", "lse", o.lse, positions * o.heads, "batch * heads * tokens");
    holds("attentionGrad", "delta", o.delta, positions * o.heads, "batch * heads * tokens");
    holds("attentionGrad", "dqkv", o.dqkv, positions * columns, "batch * tokens * C");
    distinct("attentionGrad", "dqkv", o.dqkv, "qkv", o.qkv);
    distinct("attentionGrad", "dqkv", o.dqkv, "y", o.y);
    distinct("attentionGrad", "dqkv", o.dqkv, "dy", o.dy);
    distinct("attentionGrad", "dqkv", o.dqkv, "lse", o.lse);
    distinct("attentionGrad", "dqkv", o.dqkv, "delta", o.delta);
    distinct("attentionGrad", "delta", o.delta, "qkv", o.qkv);
    distinct("attentionGrad", "delta", o.delta, "y", o.y);
    distinct("attentionGrad", "delta", o.delta, "dy", o.dy);
    distinct("attentionGrad", "delta", o.delta, "lse", o.lse);
  },

  rotary(o) {
    const columns = fusedColumns("rotary", o);
    if (o.headWidth % 2 !== 0)
      throw new RangeError(`rotary: headWidth is ${o.headWidth}, needs an even number: columns turn in pairs`);
    size("rotary", "rows", o.rows);
    size("rotary", "tokens", o.tokens);
    offset("rotary", "offset", o.offset);
    holds("rotary", "x", o.x, o.rows * columns, "rows * C");
    holds("rotary", "table", o.table, (o.offset + o.tokens) * o.headWidth, "(offset + tokens) * headWidth");
    holds("rotary", "y", o.y, o.rows * columns, "rows * C");
    distinct("rotary", "y", o.y, "x", o.x);
    distinct("rotary", "y", o.y, "table", o.table);
  },

  normMerge(o) {
    size("normMerge", "rows", o.rows);
    size("normMerge", "countA", o.countA);
    size("normMerge", "countB", o.countB);
    holds("normMerge", "a", o.a, o.rows * 2, "rows * 2");
    holds("normMerge", "b", o.b, o.rows * 2, "rows * 2");
    holds("normMerge", "y", o.y, o.rows * 2, "rows * 2");
    distinct("normMerge", "y", o.y, "a", o.a);
    distinct("normMerge", "y", o.y, "b", o.b);
  },
  normStats(o) {
    size("normStats", "rows", o.rows);
    size("normStats", "cols", o.cols);
    normKind("normStats", o.kind);
    holds("normStats", "x", o.x, o.rows * o.cols, "rows * cols");
    holds("normStats", "stats", o.stats, o.rows * 2, "rows * 2");
    distinct("normStats", "stats", o.stats, "x", o.x);
  },
  normApply(o) {
    normShape("normApply", o);
    holds("normApply", "x", o.x, o.rows * o.cols, "rows * cols");
    holds("normApply", "stats", o.stats, o.rows * 2, "rows * 2");
    holds("normApply", "gain", o.gain, o.cols, "cols");
    if (o.bias !== undefined) holds("normApply", "bias", o.bias, o.cols, "cols");
    holds("normApply", "y", o.y, o.rows * o.cols, "rows * cols");
    distinct("normApply", "y", o.y, "x", o.x);
    distinct("normApply", "y", o.y, "stats", o.stats);
    distinct("normApply", "y", o.y, "gain", o.gain);
    distinct("normApply", "y", o.y, "bias", o.bias);
  },
  normGradSums(o) {
    normShape("normGradSums", o);
    normKind("normGradSums", o.kind);
    holds("normGradSums", "x", o.x, o.rows * o.cols, "rows * cols");
    holds("normGradSums", "stats", o.stats, o.rows * 2, "rows * 2");
    holds("normGradSums", "gain", o.gain, o.cols, "cols");
    holds("normGradSums", "dy", o.dy, o.rows * o.cols, "rows * cols");
    holds("normGradSums", "sums", o.sums, o.rows * 2, "rows * 2");
    distinct("normGradSums", "sums", o.sums, "x", o.x);
    distinct("normGradSums", "sums", o.sums, "stats", o.stats);
    distinct("normGradSums", "sums", o.sums, "gain", o.gain);
    distinct("normGradSums", "sums", o.sums, "dy", o.dy);
  },
  normGradInput(o) {
    normShape("normGradInput", o);
    holds("normGradInput", "x", o.x, o.rows * o.cols, "rows * cols");
    holds("normGradInput", "stats", o.stats, o.rows * 2, "rows * 2");
    holds("normGradInput", "gain", o.gain, o.cols, "cols");
    holds("normGradInput", "dy", o.dy, o.rows * o.cols, "rows * cols");
    holds("normGradInput", "sums", o.sums, o.rows * 2, "rows * 2");
    holds("normGradInput", "dx", o.dx, o.rows * o.cols, "rows * cols");
    distinct("normGradInput", "dx", o.dx, "x", o.x);
    distinct("normGradInput", "dx", o.dx, "stats", o.stats);
    distinct("normGradInput", "dx", o.dx, "gain", o.gain);
    distinct("normGradInput", "dx", o.dx, "dy", o.dy);
    distinct("normGradInput", "dx", o.dx, "sums", o.sums);
  },
  normGradGain(o) {
    normShape("normGradGain", o);
    holds("normGradGain", "x", o.x, o.rows * o.cols, "rows * cols");
    holds("normGradGain", "stats", o.stats, o.rows * 2, "rows * 2");
    holds("normGradGain", "dy", o.dy, o.rows * o.cols, "rows * cols");
    holds("normGradGain", "dgain", o.dgain, o.cols, "cols");
    distinct("normGradGain", "dgain", o.dgain, "x", o.x);
    distinct("normGradGain", "dgain", o.dgain, "stats", o.stats);
    distinct("normGradGain", "dgain", o.dgain, "dy", o.dy);
  },

  gelu(o) {
    size("gelu", "n", o.n);
    geluForm("gelu", o.form);
    holds("gelu", "x", o.x, o.n, "n");
    holds("gelu", "y", o.y, o.n, "n");
    distinct("gelu", "y", o.y, "x", o.x);
  },
  geluGrad(o) {
    size("geluGrad", "n", o.n);
    geluForm("geluGrad", o.form);
    holds("geluGrad", "x", o.x, o.n, "n");
    holds("geluGrad", "dy", o.dy, o.n, "n");
    holds("geluGrad", "dx", o.dx, o.n, "n");
    distinct("geluGrad", "dx", o.dx, "x", o.x);
    distinct("geluGrad", "dx", o.dx, "dy", o.dy);
  },
  siluGate(o) {
    size("siluGate", "n", o.n);
    holds("siluGate", "x", o.x, 2 * o.n, "2 * n");
    holds("siluGate", "y", o.y, o.n, "n");
    distinct("siluGate", "y", o.y, "x", o.x);
  },
  siluGateGrad(o) {
    size("siluGateGrad", "n", o.n);
    holds("siluGateGrad", "x", o.x, 2 * o.n, "2 * n");
    holds("siluGateGrad", "dy", o.dy, o.n, "n");
    holds("siluGateGrad", "dx", o.dx, 2 * o.n, "2 * n");
    distinct("siluGateGrad", "dx", o.dx, "x", o.x);
    distinct("siluGateGrad", "dx", o.dx, "dy", o.dy);
  },
  dropout(o) {
    size("dropout", "rows", o.rows);
    size("dropout", "cols", o.cols);
    offset("dropout", "rowOffset", o.rowOffset);
    offset("dropout", "colOffset", o.colOffset);
    dropoutArgs("dropout", o);
    withinU32("dropout", "rows", o.rows + o.rowOffset);
    withinU32("dropout", "columns", o.cols + o.colOffset);
    holds("dropout", "x", o.x, o.rows * o.cols, "rows * cols");
    holds("dropout", "y", o.y, o.rows * o.cols, "rows * cols");
    distinct("dropout", "y", o.y, "x", o.x);
  },

  embedding(o) {
    size("embedding", "count", o.count);
    size("embedding", "cols", o.cols);
    size("embedding", "rows", o.rows);
    offset("embedding", "rowOffset", o.rowOffset);
    holds("embedding", "ids", o.ids, o.count, "count", "i32");
    holds("embedding", "table", o.table, o.rows * o.cols, "rows * cols");
    holds("embedding", "y", o.y, o.count * o.cols, "count * cols");
    distinct("embedding", "y", o.y, "table", o.table);
  },
  embeddingGrad(o) {
    size("embeddingGrad", "segments", o.segments);
    size("embeddingGrad", "count", o.count);
    size("embeddingGrad", "cols", o.cols);
    size("embeddingGrad", "rows", o.rows);
    offset("embeddingGrad", "rowOffset", o.rowOffset);
    atMost("embeddingGrad", "segments", o.segments, o.count, "count");
    holds("embeddingGrad", "unique", o.unique, o.segments, "segments", "i32");
    holds("embeddingGrad", "starts", o.starts, o.segments + 1, "segments + 1", "i32");
    holds("embeddingGrad", "order", o.order, o.count, "count", "i32");
    holds("embeddingGrad", "dy", o.dy, o.count * o.cols, "count * cols");
    holds("embeddingGrad", "dtable", o.dtable, o.rows * o.cols, "rows * cols");
    distinct("embeddingGrad", "dtable", o.dtable, "dy", o.dy);
  },

  rowMax(o) {
    vocabularyShape("rowMax", o);
    holds("rowMax", "x", o.x, o.rows * o.cols, "rows * cols");
    holds("rowMax", "max", o.max, o.rows, "rows");
    distinct("rowMax", "max", o.max, "x", o.x);
  },
  sumExp(o) {
    vocabularyShape("sumExp", o);
    offset("sumExp", "colOffset", o.colOffset);
    holds("sumExp", "x", o.x, o.rows * o.cols, "rows * cols");
    holds("sumExp", "max", o.max, o.rows, "rows");
    holds("sumExp", "targets", o.targets, o.rows, "rows", "i32");
    holds("sumExp", "sums", o.sums, o.rows * 2, "rows * 2");
    distinct("sumExp", "sums", o.sums, "x", o.x);
    distinct("sumExp", "sums", o.sums, "max", o.max);
  },
  crossEntropy(o) {
    size("crossEntropy", "rows", o.rows);
    holds("crossEntropy", "max", o.max, o.rows, "rows");
    holds("crossEntropy", "sums", o.sums, o.rows * 2, "rows * 2");
    holds("crossEntropy", "losses", o.losses, o.rows, "rows");
    distinct("crossEntropy", "losses", o.losses, "max", o.max);
    distinct("crossEntropy", "losses", o.losses, "sums", o.sums);
  },
  crossEntropyGrad(o) {
    vocabularyShape("crossEntropyGrad", o);
    offset("crossEntropyGrad", "colOffset", o.colOffset);
    finite("crossEntropyGrad", "scale", o.scale);
    holds("crossEntropyGrad", "x", o.x, o.rows * o.cols, "rows * cols");
    holds("crossEntropyGrad", "max", o.max, o.rows, "rows");
    holds("crossEntropyGrad", "sums", o.sums, o.rows * 2, "rows * 2");
    holds("crossEntropyGrad", "targets", o.targets, o.rows, "rows", "i32");
    holds("crossEntropyGrad", "dy", o.dy, 1, "1");
    holds("crossEntropyGrad", "dx", o.dx, o.rows * o.cols, "rows * cols");
    distinct("crossEntropyGrad", "dx", o.dx, "max", o.max);
    distinct("crossEntropyGrad", "dx", o.dx, "sums", o.sums);
    distinct("crossEntropyGrad", "dx", o.dx, "dy", o.dy);
  },

  sum(o) {
    size("sum", "n", o.n);
    finite("sum", "scale", o.scale);
    holds("sum", "x", o.x, o.n, "n");
    holds("sum", "partials", o.partials, reducePartials, "reducePartials");
    holds("sum", "y", o.y, 1, "1");
    distinct("sum", "y", o.y, "x", o.x);
    distinct("sum", "y", o.y, "partials", o.partials);
    distinct("sum", "partials", o.partials, "x", o.x);
  },
  columnSum(o) {
    size("columnSum", "rows", o.rows);
    size("columnSum", "cols", o.cols);
    holds("columnSum", "x", o.x, o.rows * o.cols, "rows * cols");
    holds("columnSum", "y", o.y, o.cols, "cols");
    distinct("columnSum", "y", o.y, "x", o.x);
  },

  adamw(o) {
    size("adamw", "n", o.n);
    finite("adamw", "learningRate", o.learningRate);
    finite("adamw", "weightDecay", o.weightDecay);
    finite("adamw", "clip", o.clip);
    finite("adamw", "eps", o.eps);
    atLeast("adamw", "eps", o.eps, 0, "0");
    if (!(o.beta1 >= 0 && o.beta1 < 1)) throw new RangeError(`adamw: beta1 is ${o.beta1}, needs [0, 1)`);
    if (!(o.beta2 >= 0 && o.beta2 < 1)) throw new RangeError(`adamw: beta2 is ${o.beta2}, needs [0, 1)`);
    if (!(o.correction1 > 0 && o.correction1 <= 1))
      throw new RangeError(`adamw: correction1 is ${o.correction1}, needs 1 - beta1^step in (0, 1]`);
    if (!(o.correction2 > 0 && o.correction2 <= 1))
      throw new RangeError(`adamw: correction2 is ${o.correction2}, needs 1 - beta2^step in (0, 1]`);
    finite("adamw", "lossScale", o.lossScale);
    atLeast("adamw", "lossScale", o.lossScale, 1, "1");
    holds("adamw", "w", o.w, o.n, "n");
    if (o.half !== undefined) holds("adamw", "half", o.half, o.n, "n", "f16");
    holds("adamw", "g", o.g, o.n, "n");
    holds("adamw", "m", o.m, o.n, "n");
    holds("adamw", "v", o.v, o.n, "n");
    holds("adamw", "normSquared", o.normSquared, 1, "1");
    distinct("adamw", "w", o.w, "g", o.g);
    distinct("adamw", "w", o.w, "m", o.m);
    distinct("adamw", "w", o.w, "v", o.v);
    distinct("adamw", "w", o.w, "normSquared", o.normSquared);
    distinct("adamw", "m", o.m, "g", o.g);
    distinct("adamw", "m", o.m, "v", o.v);
    distinct("adamw", "m", o.m, "normSquared", o.normSquared);
    distinct("adamw", "v", o.v, "g", o.g);
    distinct("adamw", "v", o.v, "normSquared", o.normSquared);
  },

  add(o) {
    size("add", "n", o.n);
    holds("add", "a", o.a, o.n, "n");
    holds("add", "b", o.b, o.n, "n");
    holds("add", "y", o.y, o.n, "n");
    distinct("add", "y", o.y, "a", o.a);
    distinct("add", "y", o.y, "b", o.b);
  },
  maximum(o) {
    size("maximum", "n", o.n);
    holds("maximum", "x", o.x, o.n, "n");
    holds("maximum", "y", o.y, o.n, "n");
    distinct("maximum", "y", o.y, "x", o.x);
  },
  axpy(o) {
    size("axpy", "n", o.n);
    finite("axpy", "alpha", o.alpha);
    holds("axpy", "x", o.x, o.n, "n");
    holds("axpy", "y", o.y, o.n, "n");
    distinct("axpy", "y", o.y, "x", o.x);
  },
  scale(o) {
    size("scale", "n", o.n);
    finite("scale", "alpha", o.alpha);
    holds("scale", "x", o.x, o.n, "n");
    holds("scale", "y", o.y, o.n, "n");
    distinct("scale", "y", o.y, "x", o.x);
  },
  fill(o) {
    size("fill", "n", o.n);
    if (typeof o.value !== "number") throw new RangeError(`fill: value is ${o.value}, needs a number`);
    holds("fill", "y", o.y, o.n, "n");
  },
  packHalf(o) {
    size("packHalf", "n", o.n);
    holds("packHalf", "x", o.x, o.n, "n");
    holds("packHalf", "y", o.y, Math.ceil(o.n / 2), "ceil(n / 2)", "i32");
  },
  unpackHalf(o) {
    size("unpackHalf", "n", o.n);
    holds("unpackHalf", "x", o.x, Math.ceil(o.n / 2), "ceil(n / 2)", "i32");
    holds("unpackHalf", "y", o.y, o.n, "n");
  },
  copy(o) {
    const xExtent = stridedExtent("x", o);
    const yExtent = stridedExtent("y", o);
    holds("copy", "x", o.x, xExtent, "xOffset + sum of (shape - 1) * xStrides + 1", o.x.dtype);
    holds("copy", "y", o.y, yExtent, "yOffset + sum of (shape - 1) * yStrides + 1", o.x.dtype);
    distinct("copy", "y", o.y, "x", o.x);
  },
};

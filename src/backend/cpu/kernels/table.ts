// Every kernel of the catalogue by its name. A missing one does not compile.

import { gelu, geluGrad, siluGate, siluGateGrad } from "./activation.ts";
import { attention, attentionGrad } from "./attention.ts";
import { dropout } from "./dropout.ts";
import { add, axpy, copy, fill, maximum, scale } from "./elementwise.ts";
import { embedding, embeddingGrad } from "./embedding.ts";
import { packHalf, unpackHalf } from "./half.ts";
import type { Kernels } from "./kernel.ts";
import { crossEntropy, crossEntropyGrad, rowMax, sumExp } from "./loss.ts";
import { normApply, normGradGain, normGradInput, normGradSums, normMerge, normStats } from "./norm.ts";
import { adamw } from "./optimizer.ts";
import { matmul } from "./product.ts";
import { columnSum, sum } from "./reduce.ts";
import { rotary } from "./rotary.ts";

export const kernels: Kernels = {
  matmul,
  attention,
  attentionGrad,
  rotary,
  normStats,
  normMerge,
  normApply,
  normGradSums,
  normGradInput,
  normGradGain,
  gelu,
  geluGrad,
  siluGate,
  siluGateGrad,
  dropout,
  embedding,
  embeddingGrad,
  rowMax,
  sumExp,
  crossEntropy,
  crossEntropyGrad,
  sum,
  columnSum,
  adamw,
  add,
  axpy,
  maximum,
  scale,
  fill,
  packHalf,
  unpackHalf,
  copy,
};

// Batched matrix products: each sample is one gemm.

import { gemm } from "./gemm.ts";
import type { Kernel } from "./kernel.ts";

export const matmul: Kernel<"matmul"> = ({ batch, m, n, k, transposeA, transposeB, accumulate, ...buffers }, views) => {
  const a = views.f32(buffers.a);
  const b = views.f32(buffers.b);
  const c = views.f32(buffers.y);
  const bias = buffers.bias && views.f32(buffers.bias);
  const [aRowStride, aColStride] = transposeA ? [1, m] : [k, 1];
  const [bRowStride, bColStride] = transposeB ? [1, k] : [n, 1];
  for (let z = 0; z < batch; z++) {
    const aOffset = z * m * k;
    const bOffset = z * k * n;
    const cOffset = z * m * n;
    gemm({
      a,
      aOffset,
      aRowStride,
      aColStride,
      b,
      bOffset,
      bRowStride,
      bColStride,
      c,
      cOffset,
      cRowStride: n,
      m,
      n,
      k,
      accumulate,
    });
  }
  if (bias) {
    for (let row = 0; row < batch * m * n; row += n) for (let j = 0; j < n; j++) c[row + j] += bias[j];
  }
};

// GELU in both its forms (arXiv 1606.08415) and the gated SiLU of Llama (arXiv 2002.05202), with their vjps.

import { erfc } from "./erf.ts";
import type { Kernel } from "./kernel.ts";

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

// 0.5 (1 + tanh(u)) = sigmoid(2 u): no cancellation for negative u, and exp is cheaper than tanh.
const slope = 2 * Math.sqrt(2 / Math.PI);
const cubic = 0.044715;
const tanhShare = (x: number): number => sigmoid(slope * (x + cubic * x * x * x));

/** The normal distribution function Phi. */
const exactShare = (x: number): number => 0.5 * erfc(-x * Math.SQRT1_2);
const inverseRootTwoPi = 1 / Math.sqrt(2 * Math.PI);

// y = x share(x)
export const gelu: Kernel<"gelu"> = ({ n, form, ...buffers }, views) => {
  const x = views.f32(buffers.x);
  const y = views.f32(buffers.y);
  if (form === "tanh") for (let i = 0; i < n; i++) y[i] = x[i] * tanhShare(x[i]);
  else for (let i = 0; i < n; i++) y[i] = x[i] * exactShare(x[i]);
};

// dx = dy (share + x share')
export const geluGrad: Kernel<"geluGrad"> = ({ n, form, ...buffers }, views) => {
  const x = views.f32(buffers.x);
  const dy = views.f32(buffers.dy);
  const dx = views.f32(buffers.dx);
  for (let i = 0; i < n; i++) {
    const v = x[i];
    if (form === "tanh") {
      const share = tanhShare(v);
      dx[i] = dy[i] * (share + v * share * (1 - share) * slope * (1 + 3 * cubic * v * v));
    } else {
      dx[i] = dy[i] * (exactShare(v) + v * inverseRootTwoPi * Math.exp(-0.5 * v * v));
    }
  }
};

// y[i] = silu(x[2i]) x[2i + 1]
export const siluGate: Kernel<"siluGate"> = ({ n, ...buffers }, views) => {
  const x = views.f32(buffers.x);
  const y = views.f32(buffers.y);
  for (let i = 0; i < n; i++) y[i] = x[2 * i] * sigmoid(x[2 * i]) * x[2 * i + 1];
};

// silu'(g) = s (1 + g (1 - s)) with s = sigmoid(g)
export const siluGateGrad: Kernel<"siluGateGrad"> = ({ n, ...buffers }, views) => {
  const x = views.f32(buffers.x);
  const dy = views.f32(buffers.dy);
  const dx = views.f32(buffers.dx);
  for (let i = 0; i < n; i++) {
    const gate = x[2 * i];
    const s = sigmoid(gate);
    dx[2 * i] = dy[i] * x[2 * i + 1] * s * (1 + gate * (1 - s));
    dx[2 * i + 1] = dy[i] * gate * s;
  }
};

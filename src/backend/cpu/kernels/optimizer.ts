// AdamW (arXiv 1711.05101), in torch.optim.AdamW's order of operations, with the gradient clipped by its global norm.

import type { Kernel } from "./kernel.ts";

/** torch.nn.utils.clip_grad_norm_'s guard against dividing by zero. */
const clipEpsilon = 1e-6;

export const adamw: Kernel<"adamw"> = (args, views) => {
  const { n, learningRate, beta1, beta2, eps, weightDecay, correction1, correction2, clip, lossScale } = args;
  const w = views.f32(args.w);
  const g = views.f32(args.g);
  const m = views.f32(args.m);
  const v = views.f32(args.v);
  const normSquared = views.f32(args.normSquared)[0];
  if (!Number.isFinite(normSquared)) return;
  const kept = clip > 0 ? Math.min(1, (lossScale * clip) / (Math.sqrt(normSquared) + clipEpsilon)) : 1;
  const factor = kept / lossScale;
  const decay = 1 - learningRate * weightDecay;
  const stepSize = learningRate / correction1;
  for (let i = 0; i < n; i++) {
    const gradient = factor * g[i];
    const first = beta1 * m[i] + (1 - beta1) * gradient;
    const second = beta2 * v[i] + (1 - beta2) * gradient * gradient;
    m[i] = first;
    v[i] = second;
    w[i] = decay * w[i] - (stepSize * first) / (Math.sqrt(second / correction2) + eps);
  }
};

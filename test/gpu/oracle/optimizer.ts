// One AdamW step (arXiv 1711.05101) in torch.optim.AdamW's form and order, in f64.

import type { Rounded } from "../bounds.ts";
import { add, divide, exact, multiply, parameter, squareRoot, subtract } from "../bounds.ts";

export interface AdamW {
  learningRate: number;
  beta1: number;
  beta2: number;
  eps: number;
  weightDecay: number;
  correction1: number;
  correction2: number;
  clip: number;
  /** a power of two */
  lossScale: number;
}

/** w, m and v of one weight after a step; arguments are f64 that the kernel has rounded to f32. 1 - beta is one such number:
 *  formed from a rounded beta2 it would be off by 6e-5. */
export function adamw(
  at: { w: number; g: number; m: number; v: number; normSquared: number },
  c: AdamW,
): { w: Rounded; m: Rounded; v: Rounded } {
  // A scale by a power of two rounds nothing.
  const factor = clipFactor(at.normSquared, c.lossScale * c.clip);
  const g = multiply(factor, exact(at.g / c.lossScale));
  const m = add(multiply(parameter(c.beta1), exact(at.m)), multiply(parameter(1 - c.beta1), g));
  const v = add(multiply(parameter(c.beta2), exact(at.v)), multiply(parameter(1 - c.beta2), multiply(g, g)));
  const decayed = subtract(
    exact(at.w),
    multiply(multiply(parameter(c.learningRate), parameter(c.weightDecay)), exact(at.w)),
  );
  const denominator = add(squareRoot(divide(v, parameter(c.correction2))), parameter(c.eps));
  const step = multiply(parameter(c.learningRate), divide(divide(m, parameter(c.correction1)), denominator));
  return { w: subtract(decayed, step), m, v };
}

function clipFactor(normSquared: number, clip: number): Rounded {
  if (clip <= 0) return exact(1);
  const factor = divide(parameter(clip), add(squareRoot(exact(normSquared)), parameter(1e-6)));
  return factor.value - factor.error >= 1 ? exact(1) : { value: Math.min(1, factor.value), error: factor.error };
}

// AdamW (arXiv 1711.05101) in torch.optim.AdamW's order of operations, with the gradient clipped by its global norm.

import { address, integer, real } from "./args";
import { loadPart, storePart } from "./lanes";

/** torch.nn.utils.clip_grad_norm_'s guard against dividing by zero. */
const clipEpsilon: f64 = 1e-6;

/** w, m and v[n] after one step; items are vectors of four elements.
 *  args: w, g, m, v, normSquared, n, clip, beta1, 1 - beta1, beta2, 1 - beta2, learningRate weightDecay,
 *  learningRate / correction1, 1 / correction2, eps */
export function adamw(args: usize, begin: i32, end: i32, scratch: usize): void {
  const w = address(args, 0);
  const g = address(args, 1);
  const m = address(args, 2);
  const v = address(args, 3);
  const normSquared = <f64>load<f32>(address(args, 4));
  if (!(normSquared < Infinity)) return; // nor NaN: weights that were good stay good
  const n = integer(args, 5);
  const clip = load<f64>(args, 48);
  const factor = f32x4.splat(clip > 0 ? <f32>min(1.0, clip / (sqrt<f64>(normSquared) + clipEpsilon)) : 1.0);
  const beta1 = f32x4.splat(real(args, 7));
  const fresh1 = f32x4.splat(real(args, 8));
  const beta2 = f32x4.splat(real(args, 9));
  const fresh2 = f32x4.splat(real(args, 10));
  const decay = f32x4.splat(real(args, 11));
  const rate = f32x4.splat(real(args, 12));
  const inverse2 = f32x4.splat(real(args, 13));
  const eps = f32x4.splat(real(args, 14));
  for (let item = begin; item < end; item++) {
    const at = <usize>item << 4;
    const whole = item < n >> 2;
    const rest = n & 3;
    const gradient = f32x4.mul(factor, whole ? v128.load(g + at) : loadPart(g + at, rest));
    const m0 = whole ? v128.load(m + at) : loadPart(m + at, rest);
    const v0 = whole ? v128.load(v + at) : loadPart(v + at, rest);
    const w0 = whole ? v128.load(w + at) : loadPart(w + at, rest);
    const first = f32x4.add(f32x4.mul(beta1, m0), f32x4.mul(fresh1, gradient));
    const second = f32x4.add(f32x4.mul(beta2, v0), f32x4.mul(f32x4.mul(fresh2, gradient), gradient));
    const deviation = f32x4.add(f32x4.sqrt(f32x4.mul(second, inverse2)), eps);
    // One subtraction from w: 1 - learningRate weightDecay, rounded, would decay by a rate that is off by parts in a thousand.
    const change = f32x4.add(f32x4.mul(decay, w0), f32x4.div(f32x4.mul(rate, first), deviation));
    const w1 = f32x4.sub(w0, change);
    if (whole) {
      v128.store(m + at, first);
      v128.store(v + at, second);
      v128.store(w + at, w1);
    } else {
      storePart(m + at, first, rest);
      storePart(v + at, second, rest);
      storePart(w + at, w1, rest);
    }
  }
}

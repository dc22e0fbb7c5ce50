// AdamW (arXiv 1711.05101) in torch.optim.AdamW's order of operations, with the gradient clipped by its global norm.

import { address, integer, real } from "./args";

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
  const at = <usize>begin << 4;
  update(args, normSquared, w + at, g + at, m + at, v + at, min(end, n >> 2) - begin);
  if (end > n >> 2) {
    // the last 1 to 3 elements by way of scratch, whose other lanes hold whatever they hold
    const last = <usize>(n >> 2) << 4;
    const rest = <usize>(n & 3) << 2;
    memory.copy(scratch, w + last, rest);
    memory.copy(scratch + 16, g + last, rest);
    memory.copy(scratch + 32, m + last, rest);
    memory.copy(scratch + 48, v + last, rest);
    update(args, normSquared, scratch, scratch + 16, scratch + 32, scratch + 48, 1);
    memory.copy(w + last, scratch, rest);
    memory.copy(m + last, scratch + 32, rest);
    memory.copy(v + last, scratch + 48, rest);
  }
}

function update(args: usize, normSquared: f64, w: usize, g: usize, m: usize, v: usize, vectors: i32): void {
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
  for (let at: usize = 0; at < <usize>vectors << 4; at += 16) {
    const gradient = f32x4.mul(factor, v128.load(g + at));
    const first = f32x4.add(f32x4.mul(beta1, v128.load(m + at)), f32x4.mul(fresh1, gradient));
    const square = f32x4.mul(f32x4.mul(fresh2, gradient), gradient);
    const second = f32x4.add(f32x4.mul(beta2, v128.load(v + at)), square);
    v128.store(m + at, first);
    v128.store(v + at, second);
    const deviation = f32x4.add(f32x4.sqrt(f32x4.mul(second, inverse2)), eps);
    const before = v128.load(w + at);
    // One subtraction from w: 1 - learningRate weightDecay, rounded, would decay by a rate that is off by parts in a thousand.
    const change = f32x4.add(f32x4.mul(decay, before), f32x4.div(f32x4.mul(rate, first), deviation));
    v128.store(w + at, f32x4.sub(before, change));
  }
}

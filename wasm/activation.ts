// GELU in both its forms (arXiv 1606.08415) and the gated SiLU of Llama (arXiv 2002.05202), with their vjps.
// Items are vectors of four results, the last one perhaps shorter.

import { address, integer } from "./args";
import { loadPart, storePart } from "./lanes";
import { expx4 } from "./math";

// 0.5 (1 + tanh(u)) = 1 / (1 + exp(-2 u)), u = sqrt(2 / pi) (x + 0.044715 x^3). Beyond |x| = 12 it is 0 or 1 in f32.
const slope: f32 = 1.5957691216057308; // 2 sqrt(2 / pi)
const cubic: f32 = 0.044715;
const tanhEnd: f32 = 12.0;
// Beyond |x| = 14 so is Phi.
const exactEnd: f32 = 14.0;
const inverseRootTwoPi: f32 = 0.3989422804014327;

/** exp(-2 u) of t. */
@inline
function expOfTanhForm(t: v128): v128 {
  const bend = f32x4.add(f32x4.splat(1.0), f32x4.mul(f32x4.splat(cubic), f32x4.mul(t, t)));
  return expx4(f32x4.mul(f32x4.mul(f32x4.splat(-slope), t), bend));
}

/** (1 - Phi(t)) / exp(-t^2 / 2) of 0 <= t <= 14: the shaders' fit, 3.6e-7 relative in f32. */
@inline
function normalTail(t: v128): v128 {
  const one = f32x4.splat(1.0);
  const q = f32x4.div(one, f32x4.add(one, f32x4.mul(f32x4.splat(0.35), t)));
  const z = f32x4.sub(q, f32x4.splat(0.5));
  let p = f32x4.splat(-0.029157960787415504);
  p = f32x4.add(f32x4.mul(p, z), f32x4.splat(0.02739943563938141));
  p = f32x4.add(f32x4.mul(p, z), f32x4.splat(0.0441640205681324));
  p = f32x4.sub(f32x4.mul(p, z), f32x4.splat(0.056140199303627014));
  p = f32x4.sub(f32x4.mul(p, z), f32x4.splat(0.08173985779285431));
  p = f32x4.add(f32x4.mul(p, z), f32x4.splat(0.08187086135149002));
  p = f32x4.add(f32x4.mul(p, z), f32x4.splat(0.2843957841396332));
  p = f32x4.add(f32x4.mul(p, z), f32x4.splat(0.3429916203022003));
  p = f32x4.add(f32x4.mul(p, z), f32x4.splat(0.2532442808151245));
  return f32x4.mul(p, q);
}

/** exp(-t^2 / 2). */
@inline
function density(t: v128): v128 {
  return expx4(f32x4.mul(f32x4.mul(f32x4.splat(-0.5), t), t));
}

@inline
function negative(x: v128): v128 {
  return f32x4.lt(x, f32x4.splat(0));
}

@inline
function geluTanhOf(x: v128): v128 {
  // infinity, and the quotient 0, where x is far below 0
  return f32x4.div(x, f32x4.add(f32x4.splat(1.0), expOfTanhForm(x)));
}

@inline
function geluExactOf(x: v128): v128 {
  const t = f32x4.pmin(f32x4.abs(x), f32x4.splat(exactEnd));
  const bell = density(t);
  const tail = normalTail(t);
  // Below 0, x joins first: bell tail alone may be too small to be a number where the whole is not.
  const above = f32x4.mul(x, f32x4.sub(f32x4.splat(1.0), f32x4.mul(bell, tail)));
  return v128.bitselect(f32x4.mul(f32x4.mul(x, bell), tail), above, negative(x));
}

/** d/dx: s (1 + x (1 - s) 2u') with s = 1 / (1 + exp(-2u)). */
@inline
function geluTanhSlope(x: v128): v128 {
  const one = f32x4.splat(1.0);
  const t = f32x4.pmax(f32x4.pmin(x, f32x4.splat(tanhEnd)), f32x4.splat(-tanhEnd));
  const s = f32x4.div(one, f32x4.add(one, expOfTanhForm(t)));
  const rise = f32x4.add(f32x4.splat(slope), f32x4.mul(f32x4.splat(3 * cubic * slope), f32x4.mul(t, t)));
  return f32x4.mul(s, f32x4.add(one, f32x4.mul(f32x4.mul(t, rise), f32x4.sub(one, s))));
}

/** d/dx: Phi(x) + x phi(x). */
@inline
function geluExactSlope(x: v128): v128 {
  const t = f32x4.pmin(f32x4.abs(x), f32x4.splat(exactEnd));
  const bell = density(t);
  const tail = f32x4.mul(bell, normalTail(t));
  const moment = f32x4.mul(f32x4.mul(t, bell), f32x4.splat(inverseRootTwoPi));
  const above = f32x4.add(f32x4.sub(f32x4.splat(1.0), tail), moment);
  return v128.bitselect(f32x4.sub(tail, moment), above, negative(x));
}

/** y[n] = gelu(x), tanh form. args: x, y, n */
export function geluTanh(args: usize, begin: i32, end: i32, scratch: usize): void {
  const x = address(args, 0);
  const y = address(args, 1);
  const n = integer(args, 2);
  const whole = <usize>min(end, n >> 2) << 4;
  let at = <usize>begin << 4;
  for (; at < whole; at += 16) v128.store(y + at, geluTanhOf(v128.load(x + at)));
  if (end > n >> 2) storePart(y + at, geluTanhOf(loadPart(x + at, n & 3)), n & 3);
}

/** y[n] = x Phi(x). args: x, y, n */
export function geluExact(args: usize, begin: i32, end: i32, scratch: usize): void {
  const x = address(args, 0);
  const y = address(args, 1);
  const n = integer(args, 2);
  const whole = <usize>min(end, n >> 2) << 4;
  let at = <usize>begin << 4;
  for (; at < whole; at += 16) v128.store(y + at, geluExactOf(v128.load(x + at)));
  if (end > n >> 2) storePart(y + at, geluExactOf(loadPart(x + at, n & 3)), n & 3);
}

/** dx[n] = dy gelu'(x), tanh form. args: x, dy, dx, n */
export function geluTanhGrad(args: usize, begin: i32, end: i32, scratch: usize): void {
  const x = address(args, 0);
  const dy = address(args, 1);
  const dx = address(args, 2);
  const n = integer(args, 3);
  const whole = <usize>min(end, n >> 2) << 4;
  let at = <usize>begin << 4;
  for (; at < whole; at += 16)
    v128.store(dx + at, f32x4.mul(v128.load(dy + at), geluTanhSlope(v128.load(x + at))));
  const rest = n & 3;
  if (end > n >> 2)
    storePart(dx + at, f32x4.mul(loadPart(dy + at, rest), geluTanhSlope(loadPart(x + at, rest))), rest);
}

/** dx[n] = dy (Phi(x) + x phi(x)). args: x, dy, dx, n */
export function geluExactGrad(args: usize, begin: i32, end: i32, scratch: usize): void {
  const x = address(args, 0);
  const dy = address(args, 1);
  const dx = address(args, 2);
  const n = integer(args, 3);
  const whole = <usize>min(end, n >> 2) << 4;
  let at = <usize>begin << 4;
  for (; at < whole; at += 16)
    v128.store(dx + at, f32x4.mul(v128.load(dy + at), geluExactSlope(v128.load(x + at))));
  const rest = n & 3;
  if (end > n >> 2)
    storePart(dx + at, f32x4.mul(loadPart(dy + at, rest), geluExactSlope(loadPart(x + at, rest))), rest);
}

/** Four gates of the eight elements low, high, in which gates and ups alternate. */
@inline
function gates(low: v128, high: v128): v128 {
  return v128.shuffle<i32>(low, high, 0, 2, 4, 6);
}
@inline
function ups(low: v128, high: v128): v128 {
  return v128.shuffle<i32>(low, high, 1, 3, 5, 7);
}

/** 1 + exp(-x): infinity where x is far below 0. */
@inline
function inverseSigmoid(x: v128): v128 {
  return f32x4.add(f32x4.splat(1.0), expx4(f32x4.neg(x)));
}

@inline
function siluGateOf(low: v128, high: v128): v128 {
  const gate = gates(low, high);
  return f32x4.mul(f32x4.div(gate, inverseSigmoid(gate)), ups(low, high));
}

/** y[n], y[i] = silu(x[2i]) x[2i + 1]. args: x, y, n */
export function siluGate(args: usize, begin: i32, end: i32, scratch: usize): void {
  const x = address(args, 0);
  const y = address(args, 1);
  const n = integer(args, 2);
  const whole = <usize>min(end, n >> 2) << 4;
  let at = <usize>begin << 4;
  for (; at < whole; at += 16) {
    const from = x + (at << 1);
    v128.store(y + at, siluGateOf(v128.load(from), v128.load(from, 16)));
  }
  if (end > n >> 2) {
    const from = x + (at << 1);
    const rest = n & 3;
    const low = rest >= 2 ? v128.load(from) : loadPart(from, 2);
    const high = rest == 3 ? loadPart(from + 16, 2) : f32x4.splat(0);
    storePart(y + at, siluGateOf(low, high), rest);
  }
}

function siluGateGradOf(x: usize, dy: usize, dx: usize, vectors: i32): void {
  const one = f32x4.splat(1.0);
  for (let i = 0; i < vectors; i++) {
    const low = v128.load(x);
    const high = v128.load(x, 16);
    const g = v128.load(dy);
    const gate = gates(low, high);
    const s = f32x4.div(one, inverseSigmoid(gate));
    const bend = f32x4.add(one, f32x4.mul(gate, f32x4.sub(one, s)));
    const gateGrad = f32x4.mul(f32x4.mul(f32x4.mul(g, ups(low, high)), s), bend);
    const upGrad = f32x4.mul(f32x4.mul(g, gate), s);
    v128.store(dx, v128.shuffle<i32>(gateGrad, upGrad, 0, 4, 1, 5));
    v128.store(dx, v128.shuffle<i32>(gateGrad, upGrad, 2, 6, 3, 7), 16);
    x += 32;
    dy += 16;
    dx += 32;
  }
}

/** dx[2n]: silu'(g) = s (1 + g (1 - s)) with s = sigmoid(g). args: x, dy, dx, n */
export function siluGateGrad(args: usize, begin: i32, end: i32, scratch: usize): void {
  const x = address(args, 0);
  const dy = address(args, 1);
  const dx = address(args, 2);
  const n = integer(args, 3);
  const at = <usize>begin << 4;
  siluGateGradOf(x + (at << 1), dy + at, dx + (at << 1), min(end, n >> 2) - begin);
  if (end > n >> 2) {
    // the last 1 to 3 pairs by way of scratch, whose other lanes hold whatever they hold
    const last = <usize>(n >> 2) << 4;
    const rest = <usize>(n & 3) << 2;
    memory.copy(scratch, x + (last << 1), rest << 1);
    memory.copy(scratch + 32, dy + last, rest);
    siluGateGradOf(scratch, scratch + 32, scratch + 48, 1);
    memory.copy(dx + (last << 1), scratch + 48, rest << 1);
  }
}

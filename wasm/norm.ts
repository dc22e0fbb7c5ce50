// LayerNorm (arXiv 1607.06450) and RMSNorm (arXiv 1910.07467) in the pieces that ranks can sum between. Items are rows.
// With "rms" the mean in stats is 0, so one formula serves both.

import { address, integer } from "./args";
import { firstLanes, loadPart, storePart, sumLanes } from "./lanes";

/** stats[rows, 2] = (mean, sum of squared deviations) of x[rows, cols]; (0, sum of squares) when not `layer`.
 *  args: x, stats, cols, layer */
export function normStats(args: usize, begin: i32, end: i32, scratch: usize): void {
  const stats = address(args, 1);
  const cols = integer(args, 2);
  const layer = integer(args, 3);
  const zero = f32x4.splat(0);
  for (let row = begin; row < end; row++) {
    const x = address(args, 0) + ((<usize>row * cols) << 2);
    const whole = <usize>(cols & ~3) << 2;
    const rest = cols & 3;
    let mean: f32 = 0;
    if (layer) {
      let s0 = zero;
      let s1 = zero;
      let s2 = zero;
      let s3 = zero;
      let at: usize = 0;
      for (; at + 64 <= whole; at += 64) {
        s0 = f32x4.add(s0, v128.load(x + at));
        s1 = f32x4.add(s1, v128.load(x + at, 16));
        s2 = f32x4.add(s2, v128.load(x + at, 32));
        s3 = f32x4.add(s3, v128.load(x + at, 48));
      }
      for (; at < whole; at += 16) s0 = f32x4.add(s0, v128.load(x + at));
      if (rest) s1 = f32x4.add(s1, loadPart(x + whole, rest));
      mean = <f32>(sumLanes(f32x4.add(f32x4.add(s0, s1), f32x4.add(s2, s3))) / cols);
    }
    // The deviations' own sum corrects the rounded mean, and what it did to their squares (Chan, Golub & LeVeque 1979).
    const middle = f32x4.splat(mean);
    let d0 = zero;
    let d1 = zero;
    let d2 = zero;
    let d3 = zero;
    let q0 = zero;
    let q1 = zero;
    let q2 = zero;
    let q3 = zero;
    let at: usize = 0;
    for (; at + 64 <= whole; at += 64) {
      const a = f32x4.sub(v128.load(x + at), middle);
      const b = f32x4.sub(v128.load(x + at, 16), middle);
      const c = f32x4.sub(v128.load(x + at, 32), middle);
      const d = f32x4.sub(v128.load(x + at, 48), middle);
      d0 = f32x4.add(d0, a);
      d1 = f32x4.add(d1, b);
      d2 = f32x4.add(d2, c);
      d3 = f32x4.add(d3, d);
      q0 = f32x4.add(q0, f32x4.mul(a, a));
      q1 = f32x4.add(q1, f32x4.mul(b, b));
      q2 = f32x4.add(q2, f32x4.mul(c, c));
      q3 = f32x4.add(q3, f32x4.mul(d, d));
    }
    for (; at < whole; at += 16) {
      const a = f32x4.sub(v128.load(x + at), middle);
      d0 = f32x4.add(d0, a);
      q0 = f32x4.add(q0, f32x4.mul(a, a));
    }
    if (rest) {
      const b = v128.and(f32x4.sub(loadPart(x + whole, rest), middle), firstLanes(rest));
      d1 = f32x4.add(d1, b);
      q1 = f32x4.add(q1, f32x4.mul(b, b));
    }
    const deviations = sumLanes(f32x4.add(f32x4.add(d0, d1), f32x4.add(d2, d3)));
    const excess = layer ? deviations / cols : 0;
    const squares = sumLanes(f32x4.add(f32x4.add(q0, q1), f32x4.add(q2, q3)));
    store<f32>(stats + (<usize>row << 3), <f32>(mean + excess));
    // Of a row of equal elements the difference may round below 0; max keeps a NaN.
    store<f32>(stats + (<usize>row << 3), <f32>max<f64>(squares - excess * excess * cols, 0), 4);
  }
}

/** y[rows, 2]: the stats of rows of which a[rows, 2] and b[rows, 2] are those of countA and countB columns, merged by deltas of
 *  means. Items are pairs of rows. args: a, b, y, rows, shareB = countB / (countA + countB), weight = countA shareB */
export function normMerge(args: usize, begin: i32, end: i32, scratch: usize): void {
  const rows = integer(args, 3);
  const share = f32x4.splat(<f32>load<f64>(args, 32));
  const weight = f32x4.splat(<f32>load<f64>(args, 40));
  const means = i32x4(-1, 0, -1, 0);
  for (let item = begin; item < end; item++) {
    const at = <usize>item << 4;
    const both = item << 1 < rows - 1;
    const a = both ? v128.load(address(args, 0) + at) : v128.load64_zero(address(args, 0) + at);
    const b = both ? v128.load(address(args, 1) + at) : v128.load64_zero(address(args, 1) + at);
    const difference = f32x4.sub(b, a);
    const delta = v128.shuffle<i32>(difference, difference, 0, 0, 2, 2);
    const mean = f32x4.add(a, f32x4.mul(delta, share));
    const squares = f32x4.add(f32x4.add(a, b), f32x4.mul(f32x4.mul(delta, delta), weight));
    const y = v128.bitselect(mean, squares, means);
    if (both) v128.store(address(args, 2) + at, y);
    else v128.store64_lane(address(args, 2) + at, y, 0);
  }
}

/** 1 / sqrt(variance + eps) of a row's stats. */
@inline
function reciprocalDeviation(stats: usize, width: f64, eps: f64): f64 {
  return 1 / sqrt<f64>(<f64>load<f32>(stats, 4) / width + eps);
}

/** y[rows, cols] = (x - mean) rstd gain + bias. args: x, stats, gain, bias (0: none), y, cols, width, eps */
export function normApply(args: usize, begin: i32, end: i32, scratch: usize): void {
  const gain = address(args, 2);
  const bias = address(args, 3);
  const cols = integer(args, 5);
  const whole = <usize>(cols & ~3) << 2;
  const rest = cols & 3;
  for (let row = begin; row < end; row++) {
    const x = address(args, 0) + ((<usize>row * cols) << 2);
    const y = address(args, 4) + ((<usize>row * cols) << 2);
    const stats = address(args, 1) + (<usize>row << 3);
    const mean = v128.load32_splat(stats);
    const rstd = f32x4.splat(<f32>reciprocalDeviation(stats, load<f64>(args, 48), load<f64>(args, 56)));
    if (bias) {
      for (let at: usize = 0; at < whole; at += 16) {
        const hat = f32x4.mul(f32x4.sub(v128.load(x + at), mean), rstd);
        v128.store(y + at, f32x4.add(f32x4.mul(hat, v128.load(gain + at)), v128.load(bias + at)));
      }
    } else {
      for (let at: usize = 0; at < whole; at += 16) {
        const hat = f32x4.mul(f32x4.sub(v128.load(x + at), mean), rstd);
        v128.store(y + at, f32x4.mul(hat, v128.load(gain + at)));
      }
    }
    if (rest) {
      const hat = f32x4.mul(f32x4.sub(loadPart(x + whole, rest), mean), rstd);
      let result = f32x4.mul(hat, loadPart(gain + whole, rest));
      if (bias) result = f32x4.add(result, loadPart(bias + whole, rest));
      storePart(y + whole, result, rest);
    }
  }
}

/** sums[rows, 2] = (sum of g, or 0 when not `layer`; sum of g xhat) with g = dy gain, xhat = (x - mean) rstd.
 *  args: x, stats, gain, dy, sums, cols, width, eps, layer */
export function normGradSums(args: usize, begin: i32, end: i32, scratch: usize): void {
  const gain = address(args, 2);
  const sums = address(args, 4);
  const cols = integer(args, 5);
  const layer = integer(args, 8);
  const whole = <usize>(cols & ~3) << 2;
  const rest = cols & 3;
  for (let row = begin; row < end; row++) {
    const x = address(args, 0) + ((<usize>row * cols) << 2);
    const dy = address(args, 3) + ((<usize>row * cols) << 2);
    const stats = address(args, 1) + (<usize>row << 3);
    const mean = v128.load32_splat(stats);
    let s0 = f32x4.splat(0);
    let s1 = s0;
    let h0 = s0;
    let h1 = s0;
    let at: usize = 0;
    for (; at + 32 <= whole; at += 32) {
      const g0 = f32x4.mul(v128.load(dy + at), v128.load(gain + at));
      const g1 = f32x4.mul(v128.load(dy + at, 16), v128.load(gain + at, 16));
      s0 = f32x4.add(s0, g0);
      s1 = f32x4.add(s1, g1);
      h0 = f32x4.add(h0, f32x4.mul(g0, f32x4.sub(v128.load(x + at), mean)));
      h1 = f32x4.add(h1, f32x4.mul(g1, f32x4.sub(v128.load(x + at, 16), mean)));
    }
    if (at < whole) {
      const g0 = f32x4.mul(v128.load(dy + at), v128.load(gain + at));
      s0 = f32x4.add(s0, g0);
      h0 = f32x4.add(h0, f32x4.mul(g0, f32x4.sub(v128.load(x + at), mean)));
    }
    if (rest) {
      // 0 in the lanes beyond the row
      const g1 = f32x4.mul(loadPart(dy + whole, rest), loadPart(gain + whole, rest));
      s1 = f32x4.add(s1, g1);
      h1 = f32x4.add(h1, f32x4.mul(g1, f32x4.sub(loadPart(x + whole, rest), mean)));
    }
    const rstd = reciprocalDeviation(stats, load<f64>(args, 48), load<f64>(args, 56));
    store<f32>(sums + (<usize>row << 3), layer ? <f32>(sumLanes(s0) + sumLanes(s1)) : 0);
    store<f32>(sums + (<usize>row << 3), <f32>((sumLanes(h0) + sumLanes(h1)) * rstd), 4);
  }
}

/** rstd (g - sums[0] / width - xhat sums[1] / width), with meanG and slope = rstd sums[1] / width of the row. */
@inline
function inputGrad(dy: v128, gain: v128, x: v128, mean: v128, rstd: v128, meanG: v128, slope: v128): v128 {
  const centred = f32x4.sub(f32x4.mul(dy, gain), meanG);
  return f32x4.mul(rstd, f32x4.sub(centred, f32x4.mul(f32x4.sub(x, mean), slope)));
}

/** dx[rows, cols] (+)= rstd (g - sums[0] / width - xhat sums[1] / width).
 *  args: x, stats, gain, dy, sums, dx, cols, width, eps, accumulate */
export function normGradInput(args: usize, begin: i32, end: i32, scratch: usize): void {
  const gain = address(args, 2);
  const cols = integer(args, 6);
  const width = load<f64>(args, 56);
  const accumulate = integer(args, 9);
  const whole = <usize>(cols & ~3) << 2;
  const rest = cols & 3;
  for (let row = begin; row < end; row++) {
    const x = address(args, 0) + ((<usize>row * cols) << 2);
    const dy = address(args, 3) + ((<usize>row * cols) << 2);
    const dx = address(args, 5) + ((<usize>row * cols) << 2);
    const stats = address(args, 1) + (<usize>row << 3);
    const sums = address(args, 4) + (<usize>row << 3);
    const reciprocal = reciprocalDeviation(stats, width, load<f64>(args, 64));
    const mean = v128.load32_splat(stats);
    const rstd = f32x4.splat(<f32>reciprocal);
    const meanG = f32x4.splat(<f32>(<f64>load<f32>(sums) / width));
    const slope = f32x4.splat(<f32>((reciprocal * <f64>load<f32>(sums, 4)) / width));
    if (accumulate) {
      for (let at: usize = 0; at < whole; at += 16) {
        const d = inputGrad(v128.load(dy + at), v128.load(gain + at), v128.load(x + at), mean, rstd, meanG, slope);
        v128.store(dx + at, f32x4.add(v128.load(dx + at), d));
      }
    } else {
      for (let at: usize = 0; at < whole; at += 16) {
        const d = inputGrad(v128.load(dy + at), v128.load(gain + at), v128.load(x + at), mean, rstd, meanG, slope);
        v128.store(dx + at, d);
      }
    }
    if (rest) {
      const g = loadPart(gain + whole, rest);
      let d = inputGrad(loadPart(dy + whole, rest), g, loadPart(x + whole, rest), mean, rstd, meanG, slope);
      if (accumulate) d = f32x4.add(loadPart(dx + whole, rest), d);
      storePart(dx + whole, d, rest);
    }
  }
}

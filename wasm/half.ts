// f32 as f16, two in a word, and back. Items are vectors of four elements, the last one perhaps shorter; no f16 is beyond its vector, but
// the second of a last pair, which is 0.

import { address, integer } from "./args";
import { loadPart, storePart } from "./lanes";

/** The bits of the nearest f16 in the lower half of each lane. */
// @ts-ignore: decorator
@inline
function half(x: v128): v128 {
  const magnitude = v128.and(x, i32x4.splat(0x7fffffff));
  // 13 bits of the fraction go, and the exponent's bias falls from 127 to 15.
  const odd = v128.and(i32x4.shr_u(magnitude, 13), i32x4.splat(1));
  const normal = i32x4.shr_u(i32x4.add(i32x4.add(magnitude, odd), i32x4.splat(0xfff - 0x38000000)), 13);
  // Below 2^-14 in steps of 2^-24: those of f32 from 1/2 on.
  const tiny = i32x4.sub(f32x4.add(magnitude, f32x4.splat(0.5)), i32x4.splat(0x3f000000));
  let bits = v128.bitselect(tiny, normal, i32x4.lt_s(magnitude, i32x4.splat(0x38800000)));
  bits = v128.bitselect(i32x4.splat(0x7c00), bits, i32x4.ge_s(magnitude, i32x4.splat(0x47800000)));
  bits = v128.or(bits, v128.and(i32x4.shr_u(x, 16), i32x4.splat(0x8000)));
  return v128.bitselect(i32x4.splat(0x7e00), bits, i32x4.gt_s(magnitude, i32x4.splat(0x7f800000)));
}

/** The f32 of the f16 in each lane. */
// @ts-ignore: decorator
@inline
function whole(half: v128): v128 {
  const magnitude = v128.and(half, i32x4.splat(0x7fff));
  const moved = i32x4.shl(magnitude, 13);
  const beyond = i32x4.ge_s(magnitude, i32x4.splat(0x7c00));
  const normal = i32x4.add(moved, v128.bitselect(i32x4.splat(0x70000000), i32x4.splat(0x38000000), beyond));
  const tiny = f32x4.mul(f32x4.convert_i32x4_s(magnitude), f32x4.splat(<f32>5.9604644775390625e-8)); // 2^-24
  const value = v128.bitselect(tiny, normal, i32x4.lt_s(magnitude, i32x4.splat(0x400)));
  return v128.or(value, i32x4.shl(v128.and(half, i32x4.splat(0x8000)), 16));
}

/** y[ceil(n / 2)] = x[n] in f16, two in a word. args: x, y, n */
export function packHalf(args: usize, begin: i32, end: i32, scratch: usize): void {
  const x = address(args, 0);
  const y = address(args, 1);
  const n = integer(args, 2);
  const last = min(end, n >> 2);
  for (let item = begin; item < last; item++) {
    const bits = half(v128.load(x + (<usize>item << 4)));
    v128.store64_lane(y + (<usize>item << 3), i16x8.narrow_i32x4_u(bits, bits), 0);
  }
  const rest = n & 3;
  if (end <= n >> 2) return;
  const bits = half(loadPart(x + (<usize>last << 4), rest));
  storePart(y + (<usize>last << 3), i16x8.narrow_i32x4_u(bits, bits), (rest + 1) >> 1);
}

/** y[n] = the f16 of x[ceil(n / 2)]. args: x, y, n */
export function unpackHalf(args: usize, begin: i32, end: i32, scratch: usize): void {
  const x = address(args, 0);
  const y = address(args, 1);
  const n = integer(args, 2);
  const last = min(end, n >> 2);
  for (let item = begin; item < last; item++)
    v128.store(y + (<usize>item << 4), whole(v128.load16x4_u(x + (<usize>item << 3))));
  const rest = n & 3;
  if (end <= n >> 2) return;
  const words = loadPart(x + (<usize>last << 3), (rest + 1) >> 1);
  storePart(y + (<usize>last << 4), whole(i32x4.extend_low_i16x8_u(words)), rest);
}

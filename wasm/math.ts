// Exponential and logarithm on four f32 at a time: reduction to a small argument (Cody & Waite 1980), then a polynomial,
// fitted for the least largest relative error.

// 2 ln 2 in two parts: a multiple of up to 2^10 of the first is exact.
const twoLn2: f32 = 1.38623046875;
const twoLn2Rest: f32 = 6.389236989057245e-5;
const ln2: f32 = 0.693115234375;
const ln2Rest: f32 = 3.194618494528623e-5;

// 1.5 * 2^23: a number of less than 2^22 in magnitude, added to it, is rounded to an integer in the low bits.
const rounder: f32 = 12582912.0;
// What exp(x) is 2^-126 for: below are no normal numbers, and arithmetic on others costs a hundred times as much on some machines.
const lowest: f32 = -87.33654;
// exp of more overflows, whatever the way there.
const highest: f32 = 89.0;

/** exp(x): 1.6 ulp at most; 0 below 2^-126, for -infinity too; infinity above 88.72; NaN stays. */
// @ts-ignore: decorator
@inline
export function expx4(x: v128): v128 {
  // pmin and pmax keep their first argument when it is NaN
  const clamped = f32x4.pmax(f32x4.pmin(x, f32x4.splat(highest)), f32x4.splat(lowest));
  // x = 2 m ln 2 + r with |r| <= ln 2: exp(x) = exp(r) 2^m 2^m, and 2^m is a normal number also where exp(x) is none
  const shifted = f32x4.add(f32x4.mul(clamped, f32x4.splat(0.7213475204444817)), f32x4.splat(rounder));
  const m = f32x4.sub(shifted, f32x4.splat(rounder));
  const r = f32x4.sub(
    f32x4.sub(clamped, f32x4.mul(m, f32x4.splat(twoLn2))),
    f32x4.mul(m, f32x4.splat(twoLn2Rest)),
  );
  const power = i32x4.add(i32x4.shl(shifted, 23), i32x4.splat(0x3f800000));
  // exp(r) = 1 + r + r^2 P(r)
  let p = f32x4.splat(0.00019611344032455236);
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(0.0014104676665738225));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(0.008336109109222889));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(0.04166125878691673));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(0.16666613519191742));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(0.5000003576278687));
  p = f32x4.add(f32x4.mul(f32x4.mul(r, r), p), r);
  p = f32x4.add(p, f32x4.splat(1.0));
  p = f32x4.mul(f32x4.mul(p, power), power);
  return v128.andnot(p, f32x4.lt(x, f32x4.splat(lowest)));
}

/** ln(x): 1 ulp at most; -infinity at 0, NaN below, infinity at infinity; NaN stays. */
// @ts-ignore: decorator
@inline
export function logx4(x: v128): v128 {
  const denormal = f32x4.lt(x, f32x4.splat(1.17549435e-38));
  const normal = v128.bitselect(f32x4.mul(x, f32x4.splat(8388608.0)), x, denormal);
  // x = 2^e (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)): 0x3f3504f3 are the bits of sqrt(1/2)
  const exponent = i32x4.shr_s(i32x4.sub(normal, i32x4.splat(0x3f3504f3)), 23);
  const f = f32x4.sub(i32x4.sub(normal, i32x4.shl(exponent, 23)), f32x4.splat(1.0));
  const e = f32x4.convert_i32x4_s(i32x4.sub(exponent, v128.and(denormal, i32x4.splat(23))));
  // ln(1 + f) = f - f^2 / 2 + f^3 P(f)
  let p = f32x4.splat(0.06746640801429749);
  p = f32x4.sub(f32x4.mul(p, f), f32x4.splat(0.11675652116537094));
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(0.11888162046670914));
  p = f32x4.sub(f32x4.mul(p, f), f32x4.splat(0.1240558922290802));
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(0.14219552278518677));
  p = f32x4.sub(f32x4.mul(p, f), f32x4.splat(0.1666799634695053));
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(0.2000211924314499));
  p = f32x4.sub(f32x4.mul(p, f), f32x4.splat(0.25000008940696716));
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(0.3333331346511841));
  const square = f32x4.mul(f, f);
  p = f32x4.add(f32x4.mul(f32x4.mul(square, f), p), f32x4.mul(e, f32x4.splat(ln2Rest)));
  p = f32x4.add(f32x4.sub(p, f32x4.mul(square, f32x4.splat(0.5))), f);
  p = f32x4.add(p, f32x4.mul(e, f32x4.splat(ln2)));
  // 0 / 0 is NaN; x itself is right at infinity and NaN
  const zero = f32x4.splat(0);
  p = v128.bitselect(f32x4.splat(-Infinity), p, f32x4.eq(x, zero));
  p = v128.bitselect(f32x4.splat(NaN), p, f32x4.lt(x, zero));
  return v128.bitselect(p, x, f32x4.lt(x, f32x4.splat(Infinity)));
}

/** ln(x) of one f32: logx4's. */
// @ts-ignore: decorator
@inline
export function log(x: f32): f32 {
  return f32x4.extract_lane(logx4(f32x4.splat(x)), 0);
}

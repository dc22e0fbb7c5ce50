// Exponential and logarithm on four f32 at a time: reduction to a small argument (Cody & Waite 1980), then a polynomial,
// fitted for the least largest relative error.

// ln 2 in two parts: a multiple of up to 2^10 of the first is exact.
const ln2: f32 = 0.693115234375;
const ln2Rest: f32 = 3.194618494528623e-5;

// 1.5 * 2^23: a number of less than 2^22 in magnitude, added to it, is rounded to an integer in the low bits.
const rounder: f32 = 12582912.0;
// Where expx4's n is -126, and where exp overflows whatever the way there.
const lowest: f32 = -87.5;
const highest: f32 = 89.0;

/** exp(x): 1.2 ulp at most; 0 where it is below 2^-125.5, at -infinity too: soon come numbers that are slow on some machines;
 *  infinity above 88.72; NaN stays. */
@inline
export function expx4(x: v128): v128 {
  // pmin and pmax keep their first argument when it is NaN
  const clamped = f32x4.pmax(f32x4.pmin(x, f32x4.splat(highest)), f32x4.splat(lowest));
  // x = n ln 2 + r with |r| <= ln 2 / 2: exp(x) = 2 exp(r) 2^(n - 1), a product that does not overflow where exp(x) does not
  const shifted = f32x4.add(f32x4.mul(clamped, f32x4.splat(1.4426950408889634)), f32x4.splat(rounder));
  const n = f32x4.sub(shifted, f32x4.splat(rounder));
  const r = f32x4.sub(f32x4.sub(clamped, f32x4.mul(n, f32x4.splat(ln2))), f32x4.mul(n, f32x4.splat(ln2Rest)));
  // The bits of 2^(n - 1): those of 2^-1 and n more in the exponent, which is 0, so that the number is, at n = -126.
  const power = i32x4.add(i32x4.shl(shifted, 23), i32x4.splat(0x3f000000));
  // 2 exp(r) = 2 + r (2 + r P(r))
  let p = f32x4.splat(0.002762893447652459);
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(0.01673756167292595));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(0.08333678543567657));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(0.3333303928375244));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(0.9999998807907104));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(2.0));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(2.0));
  return f32x4.mul(p, power);
}

/** ln(x): 1 ulp at most; -infinity at 0, NaN below, infinity at infinity; NaN stays. */
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
@inline
export function log(x: f32): f32 {
  return f32x4.extract_lane(logx4(f32x4.splat(x)), 0);
}

// What is left of a row after its last whole vector: 1 to 3 f32 or i32, and nothing behind them is read or written.

/** The first `count` lanes from memory, the others 0; count in 1 .. 3. */
export function loadPart(at: usize, count: i32): v128 {
  if (count == 1) return v128.load32_zero(at);
  const two = v128.load64_zero(at);
  return count == 2 ? two : v128.load32_lane(at, two, 2, 8);
}

/** Writes the first `count` lanes; count in 1 .. 3. */
export function storePart(at: usize, x: v128, count: i32): void {
  if (count == 1) {
    v128.store32_lane(at, x, 0);
    return;
  }
  v128.store64_lane(at, x, 0);
  if (count == 3) v128.store32_lane(at, x, 2, 8);
}

/** All ones in the first `count` lanes, 0 in the others. */
@inline
export function firstLanes(count: i32): v128 {
  return i32x4.lt_s(i32x4(0, 1, 2, 3), i32x4.splat(count));
}

/** Sum of the lanes, in f64. */
@inline
export function sumLanes(x: v128): f64 {
  const pairs = f64x2.add(f64x2.promote_low_f32x4(x), f64x2.promote_low_f32x4(v128.shuffle<i64>(x, x, 1, 1)));
  return f64x2.extract_lane(pairs, 0) + f64x2.extract_lane(pairs, 1);
}

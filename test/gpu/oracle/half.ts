// What f16 is, by its definition in f64: no bit of the library's own.

/** The number that 16 bits mean: sign, 5 of the exponent, 10 of the fraction. */
export function halfValue(bits: number): number {
  const sign = bits >> 15 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** Finite magnitudes in their order, and the first beyond: what rounds to infinity is nearer to it. */
const magnitudes = Float64Array.from({ length: 0x7c00 + 1 }, (_, bits) => (bits < 0x7c00 ? halfValue(bits) : 2 ** 16));

/** The bits of the nearest f16, ties to even; one NaN. */
export function halfBits(value: number): number {
  if (Number.isNaN(value)) return 0x7e00;
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const magnitude = Math.min(Math.abs(value), 2 ** 16);
  let [low, high] = [0, 0x7c00];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (magnitudes[middle] <= magnitude) low = middle;
    else high = middle;
  }
  const below = magnitude - magnitudes[low];
  const above = magnitudes[high] - magnitude;
  return sign | (below < above || (below === above && low % 2 === 0) ? low : high);
}

// Reproducible test data. Not the library's generator.

/** Uniform numbers in [0, 1), the same for the same seed. Mulberry32, Tommy Ettinger 2017. */
export function uniform(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** N(mean, deviation^2), Box and Muller's way, rounded to f32. */
export function normal(
  length: number,
  { seed, mean = 0, deviation = 1 }: { seed: number; mean?: number; deviation?: number },
): Float32Array {
  const next = uniform(seed);
  const x = new Float32Array(length);
  for (let i = 0; i < length; i++) {
    x[i] = mean + deviation * Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
  }
  return x;
}

/** Integers in [0, below). */
export function integers(length: number, { seed, below }: { seed: number; below: number }): Int32Array {
  const next = uniform(seed);
  return Int32Array.from({ length }, () => Math.floor(next() * below));
}

/** `length` elements, x over and over: data for kernels whose elements do not see each other, larger than an oracle is quick for. */
export function repeated(x: Float32Array, length: number): Float32Array {
  const y = new Float32Array(length);
  for (let i = 0; i < length; i++) y[i] = x[i % x.length];
  return y;
}

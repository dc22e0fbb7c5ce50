// Counter-based randomness: every number is a function of (seed, stream, step, index), so that weights,
// batches and dropout masks are the same at every layout and in every run. Philox 4x32-10, Salmon et al. 2011.

type U32x4 = [number, number, number, number];

const multiplierA = 0xd2511f53;
const multiplierB = 0xcd9e8d57;

/** High 32 bits of the 64-bit product of two u32. */
function mulHigh(a: number, b: number): number {
  const a0 = a & 0xffff;
  const a1 = a >>> 16;
  const b0 = b & 0xffff;
  const b1 = b >>> 16;
  const middle = a1 * b0 + ((a0 * b0) >>> 16);
  const low = a0 * b1 + (middle & 0xffff);
  return (a1 * b1 + Math.floor(middle / 65536) + Math.floor(low / 65536)) >>> 0;
}

/** Four u32 words, a bijection of the counter for each key. */
export function philox(counter: U32x4, key: [number, number]): U32x4 {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const high0 = mulHigh(multiplierA, c0);
    const low0 = Math.imul(multiplierA, c0) >>> 0;
    const high1 = mulHigh(multiplierB, c2);
    const low1 = Math.imul(multiplierB, c2) >>> 0;
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c1 = low1;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0;
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  return [c0 >>> 0, c1 >>> 0, c2 >>> 0, c3 >>> 0];
}

/** What a stream of random numbers is for: two uses never share one. */
export const streams = { weights: 1, batches: 2, dropout: 3, sampling: 4, evaluation: 5 } as const;

/** Uniform in (0, 1): never 0, so that its logarithm is finite. */
const unit = (word: number): number => (word + 0.5) / 4294967296;

/** A uniform number in (0, 1) for each (seed, stream, step, index). */
export function uniform(spec: { seed: number; stream: number; step: number; index: number }): number {
  return unit(philox([spec.index >>> 2, 0, spec.step >>> 0, spec.stream], [spec.seed >>> 0, 0])[spec.index & 3]);
}

/** Four standard normal numbers for counter words (block, row) of a tensor's own `item`: Box-Muller on one Philox call. */
export function normal4(spec: { seed: number; item: number; row: number; block: number }): U32x4 {
  const [a, b, c, d] = philox(
    [spec.block >>> 0, spec.row >>> 0, spec.item >>> 0, streams.weights],
    [spec.seed >>> 0, 0],
  );
  const r0 = Math.sqrt(-2 * Math.log(unit(a)));
  const r1 = Math.sqrt(-2 * Math.log(unit(c)));
  const t0 = 2 * Math.PI * unit(b);
  const t1 = 2 * Math.PI * unit(d);
  return [r0 * Math.cos(t0), r0 * Math.sin(t0), r1 * Math.cos(t1), r1 * Math.sin(t1)];
}

// Counter-based randomness: every number is a function of (seed, stream, step, index), so that weights,
// batches and dropout masks are the same at every layout and in every run. Philox 4x32-10, Salmon et al. 2011.

import { philox as fill } from "../backend/philox.ts";

type U32x4 = [number, number, number, number];

/** Four u32 words, a bijection of the counter for each key. */
export function philox(counter: U32x4, key: [number, number]): U32x4 {
  const words = new Uint32Array(4);
  fill({ counter: Uint32Array.from(counter), key: Uint32Array.from(key) }, words);
  return [words[0], words[1], words[2], words[3]];
}

/** What a stream of random numbers is for: two uses never share one. */
export const streams = {
  weights: 1,
  batches: 2,
  dropout: 3,
  sampling: 4,
  evaluation: 5,
  matrices: 6,
  jitter: 7,
} as const;

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

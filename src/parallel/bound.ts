// Words that any algorithm must move for one product on P ranks, whatever their memory: what an algorithm's words are scored against.
// Al Daas, Ballard, Grigori, Kumar & Rouse, "Tight Memory-Independent Parallel Matrix Multiplication Communication Lower Bounds",
// SPAA 2022, arXiv:2205.13407.

import type { ProductSize } from "./operands.ts";

/** Words that some rank receives in every algorithm for [m, k] times [k, n] that begins with one copy of each input, ends with one
 *  copy of the result, and spreads the work or the data evenly. 0 for one rank. Theorem 3 and corollary 4, with m >= n >= k. */
export function lowerBound(size: ProductSize, ranks: number): number {
  const [m, n, k] = [size.m, size.n, size.k].sort((a, b) => b - a);
  const accessed =
    ranks <= m / n
      ? (m * n + m * k) / ranks + n * k
      : ranks <= (m * n) / k ** 2
        ? 2 * Math.sqrt((m * n * k ** 2) / ranks) + (m * n) / ranks
        : 3 * ((m * n * k) / ranks) ** (2 / 3);
  const held = (m * n + m * k + n * k) / ranks;
  // Rounding must not make it negative, as at cubes on one rank.
  return ranks === 1 ? 0 : Math.max(0, accessed - held);
}

/** How many times the lower bound an algorithm's busiest rank receives: 1 is optimal. undefined where nothing has to be sent.
 *  @param options.words of the rank that receives most, with the copies that the algorithm assumes already made */
export function score(options: { words: number; size: ProductSize; ranks: number }): number | undefined {
  const bound = lowerBound(options.size, options.ranks);
  return bound === 0 ? undefined : options.words / bound;
}

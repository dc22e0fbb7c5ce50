// Times of many runs, in few numbers.

export interface Distribution {
  readonly min: number;
  readonly median: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
  readonly mean: number;
}

/** Of one number or more. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}

export interface Bin {
  readonly from: number;
  /** the first number beyond it, but for the last bin, which has the largest of all */
  readonly to: number;
  readonly count: number;
}

/** Of at least one number. Quantiles are numbers that occurred: the least that such a share of all does not exceed. */
export function distributionOf(values: readonly number[]): Distribution {
  const sorted = values.toSorted((a, b) => a - b);
  // The ceiling of what is whole but for rounding would be one too many.
  const quantile = (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length - 1e-9) - 1)];
  return {
    ...{ min: sorted[0], median: quantile(0.5), p90: quantile(0.9), p99: quantile(0.99), max: quantile(1) },
    mean: sorted.reduce((sum, value) => sum + value, 0) / sorted.length,
  };
}

/** Bins of one width from the least to the largest; one bin where they are equal. */
export function histogramOf(values: readonly number[], { bins }: { bins: number }): Bin[] {
  const { min, max } = distributionOf(values);
  if (min === max) return [{ from: min, to: max, count: values.length }];
  const counts = new Array<number>(bins).fill(0);
  for (const value of values) counts[Math.min(bins - 1, Math.floor((bins * (value - min)) / (max - min)))]++;
  const edge = (bin: number) => min + (bin / bins) * (max - min);
  return counts.map((count, bin) => ({ from: edge(bin), to: bin + 1 < bins ? edge(bin + 1) : max, count }));
}

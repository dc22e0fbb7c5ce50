// Which gradients travel together when ranks with copies of them sum them.

/** Small gradients travel together: at most this many words in one message's tensor. */
const bucketWords = 2 ** 22;

/** Consecutive sizes gathered into buckets of at most bucketWords; a larger one travels alone. */
export function buckets(sizes: readonly number[]): number[][] {
  const groups: number[][] = [];
  let words = Number.POSITIVE_INFINITY;
  for (const [index, size] of sizes.entries()) {
    if (words + size > bucketWords) {
      groups.push([]);
      words = 0;
    }
    groups[groups.length - 1].push(index);
    words += size;
  }
  return groups;
}

// Philox 4x32-10 in BigInt, word for word from the paper (Salmon, Moraes, Dror, Shaw 2011, "Parallel Random Numbers: As Easy
// as 1, 2, 3", section 4), and the dropout mask the kernel catalogue defines with it.

const mask = 0xffffffffn;
type Words = [bigint, bigint, bigint, bigint];

function round([c0, c1, c2, c3]: Words, k0: bigint, k1: bigint): Words {
  const p0 = 0xd2511f53n * c0;
  const p1 = 0xcd9e8d57n * c2;
  return [(p1 >> 32n) ^ c1 ^ k0, p1 & mask, (p0 >> 32n) ^ c3 ^ k1, p0 & mask];
}

/** The four 32-bit words of one counter under one key. */
export function philox(counter: readonly number[], key: readonly number[]): number[] {
  let words = counter.map(BigInt) as Words;
  let k0 = BigInt(key[0]);
  let k1 = BigInt(key[1]);
  for (let i = 0; i < 10; i++) {
    words = round(words, k0, k1);
    k0 = (k0 + 0x9e3779b9n) & mask;
    k1 = (k1 + 0xbb67ae85n) & mask;
  }
  return words.map(Number);
}

export interface Dropout {
  probability: number;
  seed: number;
  stream: number;
  step: number;
}

/** Whether element (row, col) of the whole is kept. Remembers words: neighbours and repeats share them. */
export function keeps({ probability, seed, stream, step }: Dropout): (row: number, col: number) => boolean {
  const threshold = Math.floor(probability * 2 ** 32);
  const known = new Map<number, number[]>();
  return (row, col) => {
    const block = Math.floor(col / 4);
    const id = row * 2 ** 20 + block;
    let words = known.get(id);
    if (!words) {
      words = philox([block, row, step, stream], [seed, 0]);
      known.set(id, words);
    }
    return words[col % 4] >= threshold;
  };
}

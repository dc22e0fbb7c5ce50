// Where a rank is on a q x q x d mesh.

/** rank = j + q i + q q k: row i, column j, depth k. */
export interface Place {
  i: number;
  j: number;
  k: number;
}

export const placeOf = (rank: number, q: number): Place => ({
  i: Math.floor(rank / q) % q,
  j: rank % q,
  k: Math.floor(rank / (q * q)),
});

export const rankOf = ({ i, j, k }: Place, q: number): number => j + q * i + q * q * k;

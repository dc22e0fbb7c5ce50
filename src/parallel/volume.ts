// What a rank receives for each op of each layout, in words and messages, in closed form: from sizes alone, no tensor. The ledger counts
// the same as it arrives; tests hold the two equal. What they add up to over a model is nn/traffic.ts.
//
// Legend: T rows (batch * tokens, padding samples included), K, N extents of a weight, D width, V vocabulary (logical), P ranks,
// q x q x d mesh, R = T / (d q) rows of a rank's batch block. Word = one element.

import { nothing, type Received, received, sumOf, times } from "../comm/algorithms.ts";
import { padTo } from "./block.ts";
import { buckets } from "./buckets.ts";
import type { ParameterKind, Sequence, Whole } from "./layout.ts";
import { placeOf } from "./place.ts";
import { vocabularyUnit } from "./serial.ts";

/** Ranks and how they are arranged: [P] of 1D, [q, q, d] of 2D (d = 1) and 2.5D. */
export interface MeshExtents {
  layout: "serial" | "1d" | "1d-sp" | "2d" | "2.5d";
  /** number of ranks */
  size: number;
  /** 1 for serial and 1D */
  q: number;
  d: number;
}

export interface Passes<T> {
  forward: T;
  backward: T;
}

/** What one rank receives for a product with a weight. gradientWords: of those of the backward, the ones that are terms of the weight's
 *  gradient: f32 also where activations and weights are f16. */
export type ProductVolume = Passes<Received> & { gradientWords: number };

/** What one rank receives. Norms, the loss and gradient sums are of f32 in every run. */
export interface Volume {
  /** rows of a batch, with the padding samples that make it divide */
  rows(sequence: Pick<Sequence, "batch" | "tokens">): number;
  /** h[T, D] of token ids */
  embedding(extents: { T: number; D: number }): Passes<Received>;
  /** y[T, N] = x[T, K] w[K, N]; the backward makes dx and dw, the sum of dw over ranks is gradientSum's */
  linear(extents: { T: number; K: number; N: number; kind: "column" | "row" }): ProductVolume;
  norm(extents: { T: number }): Passes<Received>;
  /** logits[T, V] = x[T, D] table[V, D]T */
  head(extents: { T: number; D: number; V: number }): ProductVolume;
  /** cross-entropy over the vocabulary; its backward is local */
  loss(extents: { T: number }): Received;
  /** once per optimizer step: gradientSums of the model's parameters, which all ranks share */
  gradientSum(sums: readonly GradientSum[]): Received;
  /** once per optimizer step */
  gradientNorm(): Received;
  /** logits without padding on every rank's host: of all T rows, or of each sample's last (T / tokens) */
  logits(extents: { T: number; V: number }): Received;
}

/** 2D and 2.5D. */
export const isGrid = ({ layout }: MeshExtents): boolean => layout === "2d" || layout === "2.5d";

export const volumeOf = (mesh: MeshExtents, rank: number): Volume =>
  isGrid(mesh) ? summaVolume(mesh, rank) : megatronVolume(mesh, rank);

/** Rows of a vocabulary table with those added so that every rank's block is a multiple of vocabularyUnit. */
export const paddedVocabulary = (V: number, mesh: MeshExtents): number =>
  padTo(V, (isGrid(mesh) ? mesh.q : mesh.size) * vocabularyUnit);

/** Words of a parameter, its gradient or a moment on each rank, rows of vocabulary padding included. */
export function heldWords({ shape, kind }: Whole, mesh: MeshExtents): number {
  const [rows, cols] = shape.length === 1 ? [1, shape[0]] : shape;
  const { size, q } = mesh;
  const held = kind === "vocabulary" ? paddedVocabulary(rows, mesh) : rows;
  if (isGrid(mesh)) {
    const cutRows = shape.length > 1 && kind !== "positions";
    return ((cutRows ? held / q : rows) * cols) / q;
  }
  return (held * cols) / (wholeIn1d(kind) ? 1 : size);
}

/** Parameters that every rank of 1D holds whole. */
const wholeIn1d = (kind: ParameterKind): boolean => kind === "rowBias" || kind === "vector" || kind === "positions";

/** A rank's place in a group along some axis. */
interface Place {
  size: number;
  index: number;
}

/** all-reduce: 2 (P-1)/P n by ring, to within one element a part; n log2 P by doubling, which small tensors and pairs take. */
const allReduce = (n: number, place: Place): Received => received("allReduce", { ...place, words: n });

/** all-gather or reduce-scatter of n words in equal parts: (P-1)/P n. */
export const gathered = (n: number, { size }: Pick<Place, "size">): Received => ({
  words: ((size - 1) * n) / size,
  messages: size - 1,
});

/** The q steps of a product, each a broadcast or a reduce from or to another root along the row, and one down the column, of blocks of
 *  that many words. */
export const summaSteps = (q: number, blocks: { alongRow: number; downColumn: number }): Received => ({
  words: (q - 1) * (blocks.alongRow + blocks.downColumn),
  messages: 2 * (q - 1),
});

/** Ranks whose gradients of a parameter are summed. */
type SumAxis = "depth" | "batch" | "world";

/** words of each sum along an axis */
export interface GradientSum {
  axis: SumAxis;
  words: readonly number[];
}

/** The sums of a step's gradients over copies, as buckets.ts puts them together. parameters: in the model's order.
 *  2D and 2.5D: weights differ over depth alone; what every row holds too, over all samples. 1D: what is whole on every rank saw all rows
 *  there, or, with sequence parallelism, the rank's own. */
export function gradientSums(parameters: readonly Whole[], mesh: MeshExtents): GradientSum[] {
  const { layout, size, q, d } = mesh;
  const grid = isGrid(mesh);
  const extents: Record<SumAxis, number> = { depth: d, batch: q * d, world: size };
  const axisOf = ({ shape, kind }: Whole): SumAxis | undefined => {
    if (grid) return shape.length === 1 || kind === "positions" ? "batch" : "depth";
    return layout === "1d-sp" && wholeIn1d(kind) ? "world" : undefined;
  };
  return (["depth", "batch", "world"] as const)
    .filter((axis) => extents[axis] > 1)
    .map((axis) => {
      const held = parameters.filter((each) => axisOf(each) === axis).map((each) => heldWords(each, mesh));
      const sumOf = (bucket: readonly number[]) => bucket.reduce((sum, index) => sum + held[index], 0);
      return { axis, words: buckets(held).map(sumOf) };
    });
}

const allSums = (sums: readonly GradientSum[], places: Partial<Record<SumAxis, Place>>): Received =>
  sumOf(
    ...sums.flatMap(({ axis, words }) => {
      const place = places[axis];
      return place ? words.map((n) => allReduce(n, place)) : [];
    }),
  );

/** 2D and 2.5D. Of a product [T, K] [K, N], on each plane, whichever rank is root of each step:
 *    AB    broadcasts (q-1) (R K/q + K N/q²)
 *    ABT   broadcasts (q-1) K N/q², reduces (q-1) R K/q
 *    ATB   broadcasts (q-1) R K/q, reduces (q-1) K N/q²
 *  so a linear takes 3 (q-1) (T K/(d q²) + K N/q²) forward and backward, and 2 (d-1)/d K N/q² a step for the depth sum.
 *  arXiv:2104.05343 section 3, arXiv:2105.14500 section 3 */
function summaVolume(mesh: MeshExtents, rank: number): Volume {
  const { q, d } = mesh;
  const { i, j, k } = placeOf(rank, q);
  const row: Place = { size: q, index: j };
  const depth: Place = { size: d, index: k };
  const batch: Place = { size: q * d, index: i + q * k };
  const rowsHere = (T: number) => T / (q * d);
  return {
    rows: (sequence) => padTo(sequence.batch, q * d) * sequence.tokens,

    // forward   reduce-scatter down the column to each row's samples; backward   all-gather
    embedding({ T, D }) {
      const blocks = gathered(rowsHere(T) * D, row);
      return { forward: blocks, backward: blocks };
    },

    linear({ T, K, N }) {
      const block = (K * N) / q ** 2;
      const ab = summaSteps(q, { alongRow: (rowsHere(T) * K) / q, downColumn: block });
      return { forward: ab, backward: times(2, ab), gradientWords: (q - 1) * block };
    },

    // forward   all-gather of pairs along the row; backward   all-reduce of pairs
    norm({ T }) {
      const pairs = 2 * rowsHere(T);
      return { forward: gathered(q * pairs, row), backward: allReduce(pairs, row) };
    },

    // As a linear [T, V'] [V', D], V' the padded vocabulary, with the products in another order.
    head({ T, D, V }) {
      const padded = paddedVocabulary(V, mesh);
      const block = (padded * D) / q ** 2;
      const abt = summaSteps(q, { alongRow: (rowsHere(T) * padded) / q, downColumn: block });
      return { forward: abt, backward: times(2, abt), gradientWords: (q - 1) * block };
    },

    // Maximum, then pairs, along the row; the sum over samples last.
    loss: ({ T }) => sumOf(allReduce(rowsHere(T), row), allReduce(2 * rowsHere(T), row), allReduce(1, batch)),

    gradientSum: (sums) => allSums(sums, { depth, batch }),

    gradientNorm: () => allReduce(1, { size: mesh.size, index: rank }),

    // Columns along the row, then rows over the batch.
    logits({ T, V }) {
      const padded = paddedVocabulary(V, mesh);
      return sumOf(gathered(rowsHere(T) * padded, row), gathered(T * padded, batch));
    },
  };
}

/** 1D: f and g are all-reduces of T D, 2 (P-1)/P T D each by ring; with sequence parallelism an all-gather and a reduce-scatter of
 *  (P-1)/P T D each, and one more all-gather in the backward of a column product, which keeps its own rows only.
 *  arXiv:1909.08053 section 3, arXiv:2205.05198 section 4.2. On one rank: nothing. */
function megatronVolume(mesh: MeshExtents, rank: number): Volume {
  const world: Place = { size: mesh.size, index: rank };
  const sequenceParallel = mesh.layout === "1d-sp";
  /** of a column product with x [T, K] */
  const column = (words: number): Passes<Received> =>
    sequenceParallel
      ? { forward: gathered(words, world), backward: times(2, gathered(words, world)) }
      : { forward: nothing, backward: allReduce(words, world) };
  /** of the sum of partial y [T, N] */
  const sum = (words: number): Passes<Received> =>
    sequenceParallel
      ? { forward: gathered(words, world), backward: gathered(words, world) }
      : { forward: allReduce(words, world), backward: nothing };
  return {
    rows({ batch, tokens }) {
      const unit = sequenceParallel ? world.size / greatestDivisor(world.size, tokens) : 1;
      return padTo(batch, unit) * tokens;
    },
    embedding: ({ T, D }) => sum(T * D),
    linear: ({ T, K, N, kind }) => ({ ...(kind === "column" ? column(T * K) : sum(T * N)), gradientWords: 0 }),
    norm: () => ({ forward: nothing, backward: nothing }),
    head: ({ T, D }) => ({ ...column(T * D), gradientWords: 0 }),
    // Maximum, then pairs; every rank has every row's.
    loss: ({ T }) => sumOf(allReduce(T, world), allReduce(2 * T, world)),
    gradientSum: (sums) => allSums(sums, { world }),
    gradientNorm: () => allReduce(1, world),
    logits: ({ T, V }) => gathered(T * paddedVocabulary(V, mesh), world),
  };
}

function greatestDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestDivisor(b, a % b);
}

/** Words received per rank for the linears of one layer, ffn = 4 h: forward and backward without recomputation, and once a step.
 *  A formula to compare layouts by: real numbers, rings throughout, no norms, head or loss.
 *
 *    1D       4 (P-1)/P T h             the same
 *    1D-SP    4 (P-1)/P T h             6 (P-1)/P T h
 *    2.5D     (q-1)/q² (7 T h/d + 12 h²)   twice that, and 2 (d-1)/d 12 h²/q² a step     (2D: d = 1) */
export function layerVolume(
  mesh: MeshExtents,
  { T, h }: { T: number; h: number },
): Passes<number> & { perStep: number } {
  const { size, q, d } = mesh;
  switch (mesh.layout) {
    case "serial":
      return { forward: 0, backward: 0, perStep: 0 };
    case "1d":
    case "1d-sp": {
      const unit = ((size - 1) / size) * T * h;
      return { forward: 4 * unit, backward: (mesh.layout === "1d" ? 4 : 6) * unit, perStep: 0 };
    }
    case "2d":
    case "2.5d": {
      const forward = ((q - 1) / q ** 2) * ((7 * T * h) / d + 12 * h ** 2);
      return { forward, backward: 2 * forward, perStep: (2 * ((d - 1) / d) * 12 * h ** 2) / q ** 2 };
    }
  }
}

// A rank's block of a product against f64, made again from the rules for its elements: no rank needs more than its own rows and columns.

import { blockOf, type Form, holdsFirst, operands, type ProductMesh, type ProductSize } from "../parallel/operands.ts";

/** Any element of a matrix. */
export type Rule = (row: number, col: number) => number;

export interface ProductError {
  /** of all checked elements, the largest |C - exact| in units of what f32 arithmetic may do: above 1 something is wrong */
  worst: number;
  /** elements compared with f64; one whose copies on several ranks were all compared counts once */
  checked: number;
}

/** Products that a rank computes again, and elements of each operand that it makes again for them, which take 240 ns each: about a
 *  second's work either way, and 32 MiB of f64. */
const maxProducts = 2 ** 28;
const maxElements = 2 ** 22;

/** gamma(k) of f32: k roundings in a row, per sum of magnitudes. Higham, Accuracy and Stability, lemma 3.1. */
const gamma = (k: number): number => (k * 2 ** -24) / (1 - k * 2 ** -24);
/** Of f16, and what its spacing below 2^-14 adds. */
const [unitHalf, halfStep] = [2 ** -11, 2 ** -25];
/** Below the smallest normal f32 a device may take a product for zero. */
const smallestNormal = 2 ** -126;

/** Compares a rank's block with sums in f64, padding included, within gamma(k) sum |a||b|: all of it, or where that would take too
 *  long every so many rows and columns.
 *  @param options.roundings to f16, in a row, of what a sum is made of: each lets it be off by 2^-11 of itself more; the elements are below 1 */
export function checkBlock(
  values: Float32Array,
  options: { mesh: ProductMesh; form: Form; size: ProductSize; a: Rule; b: Rule; roundings: number },
): ProductError {
  const { mesh, form, size, a, b, roundings } = options;
  const widening = (1 + unitHalf) ** roundings;
  const { m, n, k } = size;
  const of = { rank: mesh.rank, placements: operands(mesh, form).c };
  const { rows, cols } = blockOf(mesh, { ...of, shape: [m, n] });
  const width = cols.to - cols.from;
  const [height, inner] = [rows.to - rows.from, k];
  const stride = Math.ceil(
    Math.max(
      Math.sqrt((height * width * inner) / maxProducts),
      (height * inner) / maxElements,
      (width * inner) / maxElements,
    ),
  );
  const pick = (from: number, to: number) =>
    Array.from({ length: Math.ceil((to - from) / stride) }, (_, at) => from + at * stride);
  const vector = (at: (l: number) => number) => Float64Array.from({ length: inner }, (_, l) => at(l));
  const columns = pick(cols.from, Math.min(cols.to, n)).map((col) => ({
    col,
    values: vector((l) => (form === "ABT" ? b(col, l) : b(l, col))),
  }));
  const chosen = pick(rows.from, Math.min(rows.to, m));
  let worst = 0;
  for (const row of chosen) {
    const x = vector((l) => (form === "ATB" ? a(l, row) : a(row, l)));
    for (const { col, values: y } of columns) {
      let [sum, magnitude] = [0, 0];
      for (let l = 0; l < inner; l++) {
        const term = x[l] * y[l];
        sum += term;
        magnitude += Math.abs(term);
      }
      const error = Math.abs(values[(row - rows.from) * width + col - cols.from] - sum);
      const onTheWire = (widening - 1) * magnitude + k * roundings * widening * halfStep;
      worst = larger(worst, error / (widening * gamma(k) * magnitude + k * smallestNormal + onTheWire));
    }
  }
  // What is beyond the matrix has to be zero, or the next product would be wrong.
  for (let row = rows.from; row < rows.to; row++)
    for (let col = row < m ? Math.max(cols.from, n) : cols.from; col < cols.to; col++)
      if (values[(row - rows.from) * width + col - cols.from] !== 0) worst = Number.POSITIVE_INFINITY;
  return { worst, checked: holdsFirst(mesh, of) ? chosen.length * columns.length : 0 };
}

export const worstOf = (errors: readonly ProductError[]): ProductError => ({
  worst: errors.reduce((worst, error) => larger(worst, error.worst), 0),
  checked: errors.reduce((sum, { checked }) => sum + checked, 0),
});

/** NaN is larger than anything. */
const larger = (a: number, b: number): number => (a >= b ? a : Number.isNaN(a) ? a : b);

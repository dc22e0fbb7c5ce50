// Products by a GPU's matrix units, where chromium_experimental_subgroup_matrix gives them to subgroups: what matmulMatrix.wgsl can run. No
// adapter that has them was at hand: its indices are tested with the units' work written out, its speed by nobody.

import type { SubgroupMatrix } from "../../backend.ts";
import type { KernelArgs } from "../../kernels.ts";
import { type DeviceFacts, type Dispatch, grid } from "../plan.ts";
import type { Variant } from "./family.ts";

type Args = KernelArgs["matmul"];

/** What m and n have to be multiples of: a subgroup computes squares of so many outputs, 16 matrices of 8 x 8 or 4 of 16 x 16. */
export const squareSide = 32;
/** Of k. */
const step = 16;
/** Of a workgroup, 2 x 2 squares, one for each subgroup of 32; however many subgroups there are, they share them. */
const leastThreads = 128;

/** Whether a product's extents divide for every matrix that `variants` takes: the same for all calls of a class. */
export const inSquares = ({ m, n, k }: Pick<Args, "m" | "n" | "k">): boolean =>
  m % squareSide === 0 && n % squareSide === 0 && k % step === 0;

/** One variant for each matrix whose factors are of a's type and whose sums are f32. */
export function matrixVariants(args: Args, device: DeviceFacts): Variant<"matmul">[] {
  const threads = Math.max(leastThreads, device.subgroupMaxSize);
  if (device.software || device.maxInvocations < threads || !inSquares(args)) return [];
  const variants = new Map<string, Variant<"matmul">>();
  for (const matrix of device.subgroupMatrices) {
    const { m, n, k, component, result } = matrix;
    if (component !== args.a.dtype || result !== "f32") continue;
    if (squareSide % m !== 0 || squareSide % n !== 0 || step % k !== 0) continue;
    const name = `matmulMatrix ${m}x${n}x${k}`;
    variants.set(name, { name, plan: (call) => [matrixDispatch(call, matrix, threads)] });
  }
  return [...variants.values()];
}

function matrixDispatch(
  { a, b, y, bias, batch, m, n, k, transposeA, transposeB, accumulate }: Args,
  matrix: SubgroupMatrix,
  threads: number,
): Dispatch {
  const rowTiles = Math.ceil(m / (2 * squareSide));
  const columnTiles = Math.ceil(n / (2 * squareSide));
  const tiles = batch * rowTiles * columnTiles;
  const direct = Number(y.dtype === "f32" && bias === undefined && !accumulate);
  return {
    shader: "matmulMatrix",
    constants: {
      ...{ ROWS: matrix.m, COLUMNS: matrix.n, DEPTH: matrix.k },
      ...{ DOWN: squareSide / matrix.m, ACROSS: squareSide / matrix.n, THREADS: threads },
      ...{ DIRECT: direct, STAGED: 1 - direct, TRANSPOSE_A: transposeA, TRANSPOSE_B: transposeB },
    },
    // A binding cannot be left empty: without a bias its place is taken by b, which is not read there.
    buffers: { a, b, bias: bias ?? b, y },
    params: {
      m,
      n,
      k,
      rowTiles,
      columnTiles,
      tiles,
      accumulate: Number(accumulate),
      hasBias: Number(bias !== undefined),
    },
    workgroups: grid(tiles),
  };
}

// Which product kernel a shape takes, on which grid.

import type { KernelArgs } from "../../kernels.ts";
import { type DeviceFacts, type Dispatch, grid, type Plans } from "../plan.ts";

type Shape = Pick<KernelArgs["matmul"], "m" | "n" | "k" | "transposeA" | "transposeB">;

export interface ProductVariant {
  readonly shader: "matmul" | "matmulSubgroup" | "matmulTile";
  /** outputs a workgroup computes */
  readonly rows: number;
  readonly columns: number;
  readonly constants: Readonly<Record<string, number>>;
}

/** The kernel for a shape. 512 x 512 x 512 in f32 in one run on two shared CPU cores, GFLOP/s: matmulSubgroup 5.0 on llvmpipe, where a
 *  4 x vec4 direct kernel reached 2.5, a workgroup tile 2.6 and one thread an output 0.5; on an idle moment 17 against 8. Loads cost a
 *  software adapter most: sharing a's between lanes halves them. Rows x vec4 columns a lane, tried: 8 x 1 15.4, 12 x 1 as fast, 16 x 1 10.1,
 *  4 x 1 10.6, 8 x 2 8.8, 4 x 2 4.9. SwiftShader: 2.8 against 1.75. The tile kernel has been run on software adapters only. */
export function matmulVariant(
  { m, n, k, transposeA, transposeB }: Shape,
  { software, subgroupSize, maxInvocations }: DeviceFacts,
): ProductVariant {
  const general: ProductVariant = { shader: "matmul", rows: 32, columns: 32, constants: {} };
  if (n % 4 !== 0 || (transposeB && k % 4 !== 0)) return general;
  if (software) {
    if (subgroupSize !== 4 && subgroupSize !== 8) return general;
    // One token at a time, in generation: seven of eight rows would be computed for nothing.
    const rows = m === 1 ? 1 : 8;
    return {
      shader: "matmulSubgroup",
      rows,
      columns: 4 * subgroupSize,
      constants: { LANES: subgroupSize, ROWS: rows },
    };
  }
  // Below 32 rows or columns a 64 x 64 tile is mostly empty; 32 x 32 spread over 64 threads wastes less.
  const alignedA = transposeA ? m % 4 === 0 : k % 4 === 0;
  if (!alignedA || m < 32 || n < 32 || maxInvocations < 128) return general;
  return { shader: "matmulTile", rows: 64, columns: 64, constants: {} };
}

/** A product as one dispatch of a kernel that keeps to the interface of matmul.wgsl. */
export function productDispatch(
  { a, b, y, bias, batch, m, n, k, transposeA, transposeB, accumulate }: KernelArgs["matmul"],
  { shader, rows, columns, constants }: ProductVariant,
): Dispatch {
  const rowTiles = Math.ceil(m / rows);
  const columnTiles = Math.ceil(n / columns);
  const tiles = batch * rowTiles * columnTiles;
  return {
    shader,
    constants: { ...constants, TRANSPOSE_A: transposeA, TRANSPOSE_B: transposeB },
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

export const matmulPlans: Pick<Plans, "matmul"> = {
  matmul: (args, device) => [productDispatch(args, matmulVariant(args, device))],
};

// Which product kernel a shape takes, on which grid.

import type { KernelArgs } from "../../kernels.ts";
import { grid, type DeviceFacts, type Plans } from "../plan.ts";

type Shape = Pick<KernelArgs["matmul"], "m" | "n" | "k" | "transposeB">;

export interface MatmulVariant {
  readonly shader: "matmul" | "matmulSubgroup" | "matmulTile";
  /** outputs a workgroup computes */
  readonly tile: readonly [rows: number, columns: number];
  readonly constants: Readonly<Record<string, number>>;
}

/** 512 x 512 x 512 in f32, GFLOP/s on two CPU cores: */
export function matmulVariant({ m, n, k, transposeB }: Shape, { software, subgroupSize }: DeviceFacts): MatmulVariant {
  const aligned = n % 4 === 0 && (!transposeB || k % 4 === 0);
  if (software && aligned && (subgroupSize === 4 || subgroupSize === 8)) {
    const rows = m === 1 ? 1 : 8;
    return { shader: "matmulSubgroup", tile: [rows, 4 * subgroupSize], constants: { LANES: subgroupSize, ROWS: rows } };
  }
  return { shader: "matmul", tile: [32, 32], constants: {} };
}

export const matmulPlans: Pick<Plans, "matmul"> = {
  matmul({ a, b, y, bias, batch, m, n, k, transposeA, transposeB, accumulate }, device) {
    const { shader, tile, constants } = matmulVariant({ m, n, k, transposeB }, device);
    const rowTiles = Math.ceil(m / tile[0]);
    const columnTiles = Math.ceil(n / tile[1]);
    const tiles = batch * rowTiles * columnTiles;
    return [
      {
        shader,
        constants: { ...constants, TRANSPOSE_A: transposeA, TRANSPOSE_B: transposeB },
        // A binding cannot be left empty: without a bias its place is taken by b, which is not read there.
        buffers: { a, b, bias: bias ?? b, y },
        params: { m, n, k, rowTiles, columnTiles, tiles, accumulate: Number(accumulate), hasBias: Number(bias !== undefined) },
        workgroups: grid(tiles),
      },
    ];
  },
};

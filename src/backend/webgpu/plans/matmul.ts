// Which product kernel a shape takes, on which grid.

import type { DeviceBuffer } from "../../buffer.ts";
import type { KernelArgs } from "../../kernels.ts";
import { type DeviceFacts, type Dispatch, grid, type Plans, type Workshop } from "../plan.ts";

type Shape = Pick<KernelArgs["matmul"], "m" | "n" | "k" | "transposeA" | "transposeB">;

export interface ProductVariant {
  readonly shader: "matmul" | "matmulLanes" | "matmulTile";
  /** outputs a workgroup computes */
  readonly rows: number;
  readonly columns: number;
  readonly constants: Readonly<Record<string, number | boolean>>;
}

/** Multiplications below which a software adapter takes the general kernel: the faster one is compiled for a second in every form, and a small
 *  model would wait for many of them. Extents that are no multiples of 4 make forms of their own, and are rare. */
const fewProducts = { even: 2 ** 17, uneven: 2 ** 21 };

/** Multiplications from which lavapipe is given matrices that were packed before. GFLOP/s without and with: 768 x 128 x 128 48 and 50,
 *  768 x 384 x 128 53 and 64, 1024 x 1024 x 1024 57 to 75 and 79 to 84. */
const manyProducts = 2 ** 25;
/** of k that a workgroup packs: 32 take three times as long */
const stretch = 256;

/** The kernel for a shape: GPUs take tiles in workgroup memory (reasoned: no GPU was at hand), software adapters subgroups that are vectors of
 *  the CPU, what neither can read the general kernel. */
export function matmulVariant(
  shape: Shape & { batch: number },
  { software, subgroupSize, maxInvocations }: DeviceFacts,
): ProductVariant {
  const { batch, m, n, k, transposeA, transposeB } = shape;
  const few = fewProducts[n % 4 === 0 && k % 4 === 0 ? "even" : "uneven"];
  if (software && (subgroupSize === 4 || subgroupSize === 8) && (m === 1 || batch * m * n * k >= few)) {
    // One token at a time, in generation: fifteen of sixteen rows would be computed for nothing.
    const rows = m === 1 ? 1 : m <= 8 ? 8 : 16;
    if (subgroupSize === 4) return lanesVariant(shape, { lanes: 4, rows, groups: groupsFor(n), steps: 4 });
    return lanesVariant(shape, { lanes: 8, rows, groups: 1, steps: transposeB ? 4 : 2 });
  }
  const general: ProductVariant = { shader: "matmul", rows: 32, columns: 32, constants: {} };
  const aligned = n % 4 === 0 && (transposeB ? k % 4 === 0 : true) && (transposeA ? m % 4 === 0 : k % 4 === 0);
  // Below 32 rows or columns a 64 x 64 tile is mostly empty; 32 x 32 spread over 64 threads wastes less.
  if (software || !aligned || m < 32 || n < 32 || maxInvocations < 128) return general;
  return { shader: "matmulTile", rows: 64, columns: 64, constants: {} };
}

/** Vec4 columns a lane where subgroups have 4 (SwiftShader): what takes least for n columns. There a multiply-add of a row by four columns
 *  takes some 4.3 ns, loading a vec4 34, a broadcast 5.4, each for the subgroup: 16 rows of g groups take 103 g + 120. More groups
 *  than five take the compiler seconds. */
function groupsFor(n: number): number {
  const cost = (groups: number) => Math.ceil(n / (16 * groups)) * (103 * groups + 120);
  // Four unless another saves a tenth: every number is a pipeline of its own.
  return [4, 1, 2, 5].reduce((best, groups) => (cost(groups) < 0.9 * cost(best) ? groups : best));
}

/** The kernel for subgroups of `lanes`: `rows` (1, or a multiple of half the lanes) and 4 `groups` columns a lane, `steps` (2 or 4) of k at a time.
 *  On lavapipe (8 lanes), GFLOP/s at 768 x 768 x 768 and seconds to compile: rows x columns 16 x 4 56 and 0.3, 16 x 8 66 and 0.7,
 *  32 x 8 75 and 1.5, 32 x 16 72 and 3.3; in four steps 16 x 4 43, 16 x 8 47. Rows of a transposed b lie far apart, and go by cache lines:
 *  there four steps of four columns are best (16 rows 50; two steps 30, eight columns 25). */
export function lanesVariant(
  { n, k, transposeB }: Shape,
  { lanes, rows, groups, steps }: { lanes: number; rows: number; groups: number; steps: 2 | 4 },
): ProductVariant {
  const vectors = transposeB ? k % 4 === 0 && steps === 4 : n % 4 === 0;
  const wide = n % 4 === 0;
  const lines = Math.min(lanes, rows);
  const constants = {
    ...{ LANES: lanes, LINES: lines, STRIPS: rows / lines, GROUPS: groups },
    ...{ VECTORS: Number(vectors), SCALARS: Number(!vectors), WIDE: Number(wide), NARROW: Number(!wide) },
    ...{ STEPS: steps, FOUR: Number(steps === 4), TWO: Number(steps === 2), TAIL: Number(k % steps !== 0) },
  };
  return { shader: "matmulLanes", rows, columns: 4 * lanes * groups, constants };
}

/** A product as one dispatch of a kernel that keeps to the interface of matmul.wgsl, or of matmulLanes.wgsl. */
export function productDispatch(
  { a, b, y, bias, batch, m, n, k, transposeA, transposeB, accumulate }: KernelArgs["matmul"],
  { shader, rows, columns, constants }: ProductVariant,
): Dispatch {
  const rowTiles = Math.ceil(m / rows);
  const columnTiles = Math.ceil(n / columns);
  const tiles = batch * rowTiles * columnTiles;
  const [adds, hasBias] = [Number(accumulate), Number(bias !== undefined)];
  const lanes = shader === "matmulLanes";
  const transposes = { TRANSPOSE_A: transposeA, TRANSPOSE_B: transposeB };
  return {
    shader,
    constants: lanes ? { ...constants, ...transposes, ACCUMULATE: adds } : { ...constants, ...transposes },
    // A binding cannot be left empty: without a bias its place is taken by b, which is not read there.
    buffers: { a, b, bias: bias ?? b, y },
    params: { m, n, k, rowTiles, columnTiles, tiles, hasBias, ...(lanes ? {} : { accumulate: adds }) },
    workgroups: grid(tiles),
  };
}

/** For packed matrices: the largest tile whose compilation (1.4 s) pays, one pipeline for all forms. */
const packedTile = { lanes: 8, rows: 32, groups: 2, steps: 2 } as const;

/** Whether packing pays, and the packing kernel can read both matrices. */
export function packs(args: Shape & { batch: number }, device: DeviceFacts): boolean {
  const { batch, m, n, k, transposeA, transposeB } = args;
  if (!device.software || device.subgroupSize !== packedTile.lanes) return false;
  const aligned = k % 4 === 0 && (!transposeA || m % 4 === 0) && (transposeB || n % 4 === 0);
  const { rows, columns } = lanesVariant(args, packedTile);
  const computed = rows * Math.ceil(m / rows) * columns * Math.ceil(n / columns);
  return aligned && batch * m * n * k >= manyProducts && computed <= 1.25 * m * n;
}

/** A product as three dispatches: both matrices put in the order in which matmulLanes.wgsl reads them, and their product. */
export function packedProduct(args: KernelArgs["matmul"], device: Workshop): Dispatch[] {
  const { a, b, m, n, transposeA, transposeB } = args;
  const plain = { ...args, transposeA: false, transposeB: false };
  const variant = lanesVariant(plain, packedTile);
  const [left, right] = [
    packing(a, { ...args, device, rows: m, tile: variant.rows, along: !transposeA }),
    packing(b, { ...args, device, rows: n, tile: variant.columns, along: transposeB }),
  ];
  const constants = { ...variant.constants, VECTORS: 1, SCALARS: 0, PACKED: true };
  const packed = { ...plain, a: left.buffers.packed, b: right.buffers.packed };
  return [left, right, productDispatch(packed, { ...variant, constants })];
}

/** x, of so many rows along k or across it, in tiles of `tile` rows. */
function packing(
  x: DeviceBuffer,
  options: { batch: number; rows: number; k: number; tile: number; along: boolean; device: Workshop },
): Dispatch {
  const { batch, rows, k, tile, along, device } = options;
  const tiles = Math.ceil(rows / tile);
  const stretches = batch * tiles * (tile / 16) * Math.ceil(k / stretch);
  return {
    shader: "matmulPack",
    constants: { ROWS: tile, STRETCH: stretch, ALONG: along },
    buffers: { x, packed: device.scratch(batch * tiles * tile * k) },
    params: { rows, k, stretches, tiles },
    workgroups: grid(stretches),
  };
}

export const matmulPlans: Pick<Plans, "matmul"> = {
  matmul: (args, device) =>
    packs(args, device) ? packedProduct(args, device) : [productDispatch(args, matmulVariant(args, device))],
};

// How elements, rows and columns are laid over workgroups: the constants of a shader and the grid that fits
// them. Shared by the plans of all kernels that are bound by memory.

import { type DeviceFacts, type Dispatch, grid, maxWorkgroups } from "../plan.ts";

type Layout = Required<Pick<Dispatch, "constants" | "workgroups">>;

const powerOfTwoFrom = (n: number) => 2 ** Math.ceil(Math.log2(Math.max(1, n)));

/** n elements. On a software adapter starting a thread costs more than an element: 16 elements a thread are 3-5 times as fast as
 *  one on lavapipe. */
export function overElements(n: number, device: DeviceFacts): Layout {
  const constants = device.software ? { THREADS: 64, PER_THREAD: 16 } : { THREADS: 256, PER_THREAD: 4 };
  return { constants, workgroups: grid(Math.ceil(n / (constants.THREADS * constants.PER_THREAD))) };
}

/** Rows whose elements are independent, each thread taking some `steps` columns (or pairs, or blocks) of one row. */
export function overRows({ rows, steps }: { rows: number; steps: number }, device: DeviceFacts): Layout {
  const threads = device.software ? 64 : 256;
  const perThread = device.software ? 16 : 4;
  const ROW_THREADS = Math.min(threads, powerOfTwoFrom(steps / perThread));
  const GROUP_ROWS = threads / ROW_THREADS;
  const across = Math.min(maxWorkgroups, Math.ceil(steps / (ROW_THREADS * perThread)));
  const [y, z] = grid(Math.ceil(rows / GROUP_ROWS));
  return { constants: { ROW_THREADS, GROUP_ROWS }, workgroups: [across, y, z] };
}

/** Rows that are each summed by a tree of threads. */
export function reduceRows({ rows, cols }: { rows: number; cols: number }, device: DeviceFacts): Layout {
  const threads = device.software ? 64 : 256;
  const perThread = device.software ? 128 : 4;
  const ROW_THREADS = Math.min(threads, powerOfTwoFrom(cols / perThread));
  const GROUP_ROWS = threads / ROW_THREADS;
  return { constants: { ROW_THREADS, GROUP_ROWS }, workgroups: grid(Math.ceil(rows / GROUP_ROWS)) };
}

/** Columns that are each summed by a tree of threads. */
export function reduceColumns({ rows, cols }: { rows: number; cols: number }, device: DeviceFacts): Layout {
  const threads = device.software ? 64 : 256;
  const TILE_COLS = device.software ? 64 : 16;
  const TILE_ROWS = Math.min(threads / TILE_COLS, powerOfTwoFrom(rows));
  return { constants: { TILE_COLS, TILE_ROWS }, workgroups: grid(Math.ceil(cols / TILE_COLS)) };
}

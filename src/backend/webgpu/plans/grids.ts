// How elements, rows and columns are laid over workgroups: the constants of a shader and the grid that fits
// them. Shared by the plans of all kernels that are bound by memory.

import { type DeviceFacts, type Dispatch, grid, maxWorkgroups } from "../plan.ts";

type Layout = Required<Pick<Dispatch, "constants" | "workgroups">>;

const powerOfTwoFrom = (n: number) => 2 ** Math.ceil(Math.log2(Math.max(1, n)));

/** The same object in every call: a pipeline that was made for it is found at once. */
const elements = { software: { THREADS: 64, PER_THREAD: 32 }, hardware: { THREADS: 256, PER_THREAD: 4 } };

/** n elements. On a software adapter starting a thread costs more than an element: on lavapipe 32 elements a thread take a third
 *  of the time of one. */
export function overElements(n: number, device: DeviceFacts): Layout {
  const constants = device.software ? elements.software : elements.hardware;
  return { constants, workgroups: grid(Math.ceil(n / (constants.THREADS * constants.PER_THREAD))) };
}

/** Rows whose elements are independent, each thread taking some `steps` columns (or pairs, or blocks) of one row. */
export function overRows({ rows, steps }: { rows: number; steps: number }, device: DeviceFacts): Layout {
  const { threads, perThread } = device.software ? { threads: 64, perThread: 16 } : { threads: 256, perThread: 4 };
  const ROW_THREADS = Math.min(threads, powerOfTwoFrom(steps / perThread));
  const GROUP_ROWS = threads / ROW_THREADS;
  const across = Math.min(maxWorkgroups, Math.ceil(steps / (ROW_THREADS * perThread)));
  const [y, z] = grid(Math.ceil(rows / GROUP_ROWS));
  return { constants: { ROW_THREADS, GROUP_ROWS }, workgroups: [across, y, z] };
}

/** Rows that are each summed by a tree of threads. Barriers are dear on software adapters: LayerNorm's statistics of 768x128 take
 *  0.12 ms on lavapipe with one thread a row, 0.5 ms with 8 and 7 ms with 64; those of 2048x768 and 1024x4096 with one a half to a third
 *  of what 8 take. With few rows 8 are as fast, and for a row of 65536 four times: there they also keep the digits that a sum of so many
 *  terms in a row would lose. */
export function reduceRows({ rows, cols }: { rows: number; cols: number }, device: DeviceFacts): Layout {
  const threads = device.software ? 64 : 256;
  const ROW_THREADS = device.software
    ? rows >= 8 || cols <= 512
      ? 1
      : 8
    : Math.min(threads, powerOfTwoFrom(cols / 4));
  const GROUP_ROWS = threads / ROW_THREADS;
  return { constants: { ROW_THREADS, GROUP_ROWS }, workgroups: grid(Math.ceil(rows / GROUP_ROWS)) };
}

/** Columns that are each summed by a tree of threads; on software adapters by one thread, for the same reason. */
export function reduceColumns({ rows, cols }: { rows: number; cols: number }, device: DeviceFacts): Layout {
  const TILE_COLS = 16;
  const TILE_ROWS = device.software ? 1 : Math.min(16, powerOfTwoFrom(rows));
  return { constants: { TILE_COLS, TILE_ROWS }, workgroups: grid(Math.ceil(cols / TILE_COLS)) };
}

/** All n elements, summed in spans of one workgroup each, at most `most` of them. */
export function reduceElements(
  { n, most }: { n: number; most: number },
  device: DeviceFacts,
): Layout & { span: number } {
  const { THREADS, least } = device.software ? { THREADS: 8, least: 4096 } : { THREADS: 256, least: 1024 };
  const span = Math.max(least, Math.ceil(n / most));
  return { constants: { THREADS }, workgroups: [Math.ceil(n / span), 1, 1], span };
}

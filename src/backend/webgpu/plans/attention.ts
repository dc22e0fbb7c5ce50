// Attention and its gradient as dispatches. A head wider than 64 columns takes more workgroups, each of which
// computes the scores again.

import type { AttentionDropout } from "../../kernels.ts";
import { type DeviceFacts, type Dispatch, grid, type Plans } from "../plan.ts";

/** Queries, or keys, of a workgroup, and the head's columns it writes. */
const tileRows = 32;
const chunkColumns = 64;

const chunksOf = (headWidth: number) => Math.ceil(headWidth / chunkColumns);

const tilesOf = ({
  batch,
  heads,
  rows,
  headWidth,
}: {
  batch: number;
  heads: number;
  rows: number;
  headWidth: number;
}) => batch * heads * Math.ceil(rows / tileRows) * chunksOf(headWidth);

/** The head width itself is a uniform: one compilation serves many, and no driver unrolls loops over it into minutes of compiling. */
const constantsOf = ({ headWidth, dropout }: { headWidth: number; dropout: AttentionDropout | undefined }) => ({
  ALIGNED: headWidth % 4 === 0,
  WIDE: headWidth > 32,
  DROPOUT: dropout !== undefined,
});

/** The shader's dropout fields; all are there without dropout too. */
function dropoutParams(dropout: AttentionDropout | undefined) {
  const {
    probability = 0,
    seed = 0,
    stream = 0,
    step = 0,
    batchOffset = 0,
    headOffset = 0,
    globalHeads = 0,
  } = dropout ?? {};
  return {
    threshold: Math.floor(probability * 2 ** 32),
    keep: 1 / (1 - probability),
    seed,
    stream,
    step,
    batchOffset,
    headOffset,
    globalHeads,
  };
}

/** On a CPU barriers are dear (each splits a kernel into coroutines) and so is every load, compiled and run: there the row kernels,
 *  which keep a whole head in a lane's registers and broadcast what all lanes share. At 12 samples, 64 tokens, 4 heads of 32 on
 *  lavapipe: 1.5 ms forward and 4 backward against 14 and 49 of the tiles, compiled in 1 and 3 s of processor time against 12 in all. Wider heads spill and compile too long. */
const byRows = ({ software, subgroupSize }: DeviceFacts, headWidth: number): boolean =>
  software && (subgroupSize === 4 || subgroupSize === 8) && headWidth <= 8 * subgroupSize;

function rowConstants({
  lanes,
  headWidth,
  dropout,
}: {
  lanes: number;
  headWidth: number;
  dropout: AttentionDropout | undefined;
}) {
  const chunks = Math.ceil(headWidth / (4 * lanes));
  return {
    LANES: lanes,
    HEAD_WIDTH: headWidth,
    CHUNKS: chunks,
    VECTORS: chunks * lanes,
    DROPOUT: dropout !== undefined,
  };
}

export const attentionPlans: Pick<Plans, "attention" | "attentionGrad"> = {
  attention({ q, kv, y, lse, batch, heads, kvHeads, headWidth, queries, keys, capacity, scale, dropout }, device) {
    if (byRows(device, headWidth)) {
      const rowTiles = Math.ceil(queries / device.subgroupSize);
      const tiles = batch * heads * rowTiles;
      return [
        {
          shader: "attentionRows",
          constants: rowConstants({ lanes: device.subgroupSize, headWidth, dropout }),
          buffers: { q, kv, y, lse },
          params: { heads, kvHeads, queries, keys, capacity, rowTiles, tiles, scale, ...dropoutParams(dropout) },
          workgroups: grid(tiles),
        },
      ];
    }
    const tiles = tilesOf({ batch, heads, rows: queries, headWidth });
    return [
      {
        shader: "attention",
        constants: constantsOf({ headWidth, dropout }),
        buffers: { q, kv, y, lse },
        params: {
          heads,
          kvHeads,
          queries,
          keys,
          capacity,
          headWidth,
          chunks: chunksOf(headWidth),
          rowTiles: Math.ceil(queries / tileRows),
          tiles,
          scale,
          ...dropoutParams(dropout),
        },
        workgroups: grid(tiles),
      },
    ];
  },

  attentionGrad({ qkv, y, dy, lse, delta, dqkv, batch, heads, kvHeads, headWidth, tokens, scale, dropout }, device) {
    const rows = batch * heads * tokens;
    const deltas: Dispatch = {
      shader: "attentionDelta",
      buffers: { y, dy, delta },
      params: { heads, queries: tokens, headWidth, rows },
      workgroups: grid(Math.ceil(rows / 64)),
    };
    const buffers = { qkv, dy, lse, delta, dqkv };
    if (byRows(device, headWidth)) {
      const rowTiles = Math.ceil(tokens / device.subgroupSize);
      const constants = rowConstants({ lanes: device.subgroupSize, headWidth, dropout });
      const byRow = (shader: string, tiles: number): Dispatch => {
        const params = { heads, kvHeads, queries: tokens, rowTiles, tiles, scale, ...dropoutParams(dropout) };
        return { shader, constants, buffers, params, workgroups: grid(tiles) };
      };
      return [
        deltas,
        byRow("attentionRowsGradQ", batch * heads * rowTiles),
        byRow("attentionRowsGradKV", batch * kvHeads * rowTiles),
      ];
    }
    const constants = constantsOf({ headWidth, dropout });
    const queryTiles = tilesOf({ batch, heads, rows: tokens, headWidth });
    const keyTiles = tilesOf({ batch, heads: kvHeads, rows: tokens, headWidth });
    const params = {
      heads,
      kvHeads,
      queries: tokens,
      headWidth,
      chunks: chunksOf(headWidth),
      rowTiles: Math.ceil(tokens / tileRows),
      scale,
      ...dropoutParams(dropout),
    };
    const dispatches: Dispatch[] = [
      deltas,
      {
        shader: "attentionGradQ",
        constants,
        buffers,
        params: { ...params, tiles: queryTiles },
        workgroups: grid(queryTiles),
      },
      {
        shader: "attentionGradKV",
        constants,
        buffers,
        params: { ...params, tiles: keyTiles },
        workgroups: grid(keyTiles),
      },
    ];
    return dispatches;
  },
};

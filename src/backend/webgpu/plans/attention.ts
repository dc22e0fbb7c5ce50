// Attention and its gradient as dispatches. A head wider than 64 columns takes more workgroups, each of which
// computes the scores again.

import type { AttentionDropout } from "../../kernels.ts";
import { type Dispatch, grid, type Plans } from "../plan.ts";

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

export const attentionPlans: Pick<Plans, "attention" | "attentionGrad"> = {
  attention({ q, kv, y, lse, batch, heads, kvHeads, headWidth, queries, keys, capacity, scale, dropout }) {
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

  attentionGrad({ qkv, y, dy, lse, delta, dqkv, batch, heads, kvHeads, headWidth, tokens, scale, dropout }) {
    const constants = constantsOf({ headWidth, dropout });
    const rows = batch * heads * tokens;
    const queryTiles = tilesOf({ batch, heads, rows: tokens, headWidth });
    const keyTiles = tilesOf({ batch, heads: kvHeads, rows: tokens, headWidth });
    const buffers = { qkv, dy, lse, delta, dqkv };
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
      {
        shader: "attentionDelta",
        buffers: { y, dy, delta },
        params: { heads, queries: tokens, headWidth, rows },
        workgroups: grid(Math.ceil(rows / 64)),
      },
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

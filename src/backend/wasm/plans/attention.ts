// Plans of attention and its gradient.

import type { AttentionDropout } from "../../kernels.ts";
import type { Pass, Plans } from "../plan.ts";

/** Queries, or keys, of a tile, as wasm/tiles.ts has it. */
const tileRows = 64;
/** Queries of a sample from which on copies of keys and values pay for themselves: at heads of 16 to 128 columns, with 0 to 900 earlier
 *  keys, a row at a time takes 0.4 to 0.8 times as long at 2 queries, about as long at 4 to 6, 1.0 to 1.3 times at 8, 1.2 to 1.6 at 32. */
const leastForTiles = 8;

/** Nanoseconds: a multiplication and addition, one of a row read where it is, a weight (its exponential). */
const productCost = 0.06;
const rowProductCost = 0.15;
const weightCost = 1.5;

interface Shape {
  heads: number;
  kvHeads: number;
  headWidth: number;
  scale: number;
  queries: number;
  dropout: AttentionDropout | undefined;
}

/** The arguments that all passes begin with, wasm/heads.ts's. */
function sharedArgs({ heads, kvHeads, headWidth, scale, queries, dropout }: Shape): number[] {
  const shape = [heads, kvHeads, headWidth, scale];
  if (!dropout) return [...shape, 0, 0, 1, 0, 0, 0, 0, 0, 0, queries];
  const { probability, seed, stream, step, batchOffset, headOffset, globalHeads } = dropout;
  const factors = [1, Math.floor(probability * 2 ** 32), 1 / (1 - probability)];
  return [...shape, ...factors, seed, stream, step, batchOffset, headOffset, globalHeads, queries];
}

export const attentionPlans: Pick<Plans, "attention" | "attentionGrad"> = {
  attention({ q, kv, y, lse, batch, heads, kvHeads, headWidth, queries, keys, capacity, scale, dropout }, places) {
    const buffers = [q, kv, y, lse].map((buffer) => places.at(buffer));
    const shared = sharedArgs({ heads, kvHeads, headWidth, scale, queries, dropout });
    const args = [...shared, ...buffers, batch, keys, capacity];
    const seen = keys - (queries - 1) / 2; // by a query, on average
    if (queries < leastForTiles) {
      const cost = 50 + seen * (weightCost + 2 * headWidth * rowProductCost);
      return [{ run: "attentionRows", args, items: batch * heads * queries, cost }];
    }
    const cost = Math.min(queries, tileRows) * seen * (weightCost + 2 * headWidth * productCost);
    return [{ run: "attention", args, items: batch * heads * Math.ceil(queries / tileRows), cost }];
  },

  attentionGrad({ qkv, y, dy, lse, delta, dqkv, batch, heads, kvHeads, headWidth, tokens, scale, dropout }, places) {
    const deltas: Pass = {
      run: "attentionDelta",
      args: [places.at(y), places.at(dy), places.at(delta), heads, tokens, headWidth],
      items: batch * tokens * heads,
      cost: 5 + headWidth / 4,
    };
    const buffers = [qkv, dy, lse, delta, dqkv].map((buffer) => places.at(buffer));
    const args = [...sharedArgs({ heads, kvHeads, headWidth, scale, queries: tokens, dropout }), ...buffers, batch];
    const pass = (run: string, items: number, products: number): Pass => {
      const pairs = (batch * heads * tokens * (tokens + 1)) / 2;
      const cost = pairs * (weightCost + products * headWidth * productCost);
      return { run, args, items, cost: cost / items };
    };
    // Two passes compute weights and their gradients twice and take 1.5 times as long in all, but divide into tiles.
    const groups = batch * kvHeads;
    const tiles = Math.ceil(tokens / tileRows);
    const idle = (Math.ceil(groups / places.threads) * places.threads) / groups;
    if (tiles === 1 || idle <= 1.5) return [deltas, pass("attentionGrad", groups, 5)];
    const queryTiles = pass("attentionGradQueries", batch * heads * tiles, 3);
    return [deltas, queryTiles, pass("attentionGradKeys", groups * tiles, 4)];
  },
};

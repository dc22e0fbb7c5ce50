// Causal attention and rotary positions on fused rows: per key-value head [q x (heads/kvHeads), k, v], so that any
// block of whole groups of columns is attention's input by itself.

import type { DeviceBuffer } from "../../backend/buffer.ts";
import type { AttentionDropout, HeadShape } from "../../backend/kernels.ts";
import { tapeOf } from "../tape.ts";
import type { Tensor } from "../tensor.ts";

/** Columns of a fused row. */
export const fusedWidth = (shape: HeadShape): number => (shape.heads + 2 * shape.kvHeads) * shape.headWidth;

/** y[batch * tokens, heads * headWidth] from qkv [batch * tokens, fusedWidth]; scores exist only tile by tile (arXiv 2307.08691). */
export function attention(
  qkv: Tensor,
  options: { shape: HeadShape; batch: number; tokens: number; dropout?: AttentionDropout },
): Tensor {
  const { shape, batch, tokens, dropout } = options;
  const tape = tapeOf(qkv);
  const y = tape.output("attention", { shape: [batch * tokens, shape.heads * shape.headWidth], inputs: [qkv] });
  using lse = tape.empty({ shape: [batch, shape.heads, tokens], name: "attention lse" });
  const scale = 1 / Math.sqrt(shape.headWidth);
  const { heads, kvHeads, headWidth } = shape;
  tape.backend.run("attention", {
    heads,
    kvHeads,
    headWidth,
    q: qkv.buffer,
    kv: qkv.buffer,
    y: y.buffer,
    lse: lse.buffer,
    batch,
    queries: tokens,
    keys: tokens,
    capacity: tokens,
    scale,
    dropout,
  });
  return tape.record({
    op: "attention",
    output: y,
    saved: [qkv, y, lse],
    vjp(dy, gradients) {
      if (!gradients.wants(qkv)) return;
      using delta = tape.empty({ shape: lse.shape, purpose: "scratch" });
      gradients.write(qkv, (dqkv) =>
        tape.backend.run("attentionGrad", {
          heads,
          kvHeads,
          headWidth,
          qkv: qkv.buffer,
          y: y.buffer,
          dy: dy.buffer,
          lse: lse.buffer,
          delta: delta.buffer,
          dqkv,
          batch,
          tokens,
          scale,
          dropout,
        }),
      );
    },
  });
}

/** Attention of new rows q [batch * queries, C] over the first `keys` rows of a cache [batch, capacity, C]. Not differentiable. */
export function cachedAttention(
  q: Tensor,
  options: { shape: HeadShape; cache: Tensor; batch: number; queries: number; keys: number },
): Tensor {
  const { shape, cache, batch, queries, keys } = options;
  const tape = tapeOf(q);
  const y = tape.empty({ shape: [batch * queries, shape.heads * shape.headWidth], dtype: q.dtype, name: "attention" });
  using lse = tape.empty({ shape: [batch, shape.heads, queries] });
  tape.backend.run("attention", {
    heads: shape.heads,
    kvHeads: shape.kvHeads,
    headWidth: shape.headWidth,
    q: q.buffer,
    kv: cache.buffer,
    y: y.buffer,
    lse: lse.buffer,
    batch,
    queries,
    keys,
    capacity: cache.shape[1],
    scale: 1 / Math.sqrt(shape.headWidth),
    dropout: undefined,
  });
  return y;
}

/** Turns the q and k columns of fused rows by their positions offset + row % tokens (arXiv 2104.09864). table [positions, headWidth/2, 2]. */
export function rotary(
  x: Tensor,
  options: { shape: HeadShape; table: Tensor; tokens: number; offset: number },
): Tensor {
  const { shape, table, tokens, offset } = options;
  const tape = tapeOf(x);
  const y = tape.output("rotary", { shape: x.shape, inputs: [x] });
  const turn = (from: DeviceBuffer, { to, inverse }: { to: DeviceBuffer; inverse: boolean }) =>
    tape.backend.run("rotary", {
      heads: shape.heads,
      kvHeads: shape.kvHeads,
      headWidth: shape.headWidth,
      x: from,
      table: table.buffer,
      y: to,
      rows: x.shape[0],
      tokens,
      offset,
      inverse,
    });
  turn(x.buffer, { to: y.buffer, inverse: false });
  return tape.record({
    op: "rotary",
    output: y,
    saved: [table],
    vjp: (dy, gradients) => gradients.write(x, (dx) => turn(dy.buffer, { to: dx, inverse: true })),
  });
}

/** cos and sin of position * theta^(-2c/headWidth), [positions, headWidth/2, 2], computed in f64: WGSL's own sine is too coarse. */
export function rotaryTable(spec: { positions: number; headWidth: number; theta: number }): Float32Array {
  const half = spec.headWidth / 2;
  const table = new Float32Array(spec.positions * half * 2);
  for (let position = 0; position < spec.positions; position++)
    for (let c = 0; c < half; c++) {
      const angle = position * spec.theta ** ((-2 * c) / spec.headWidth);
      table[(position * half + c) * 2] = Math.cos(angle);
      table[(position * half + c) * 2 + 1] = Math.sin(angle);
    }
  return table;
}

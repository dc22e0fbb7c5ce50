// Tensor parallelism on a q x q x d mesh: 2D (Optimus, arXiv 2104.05343) with d = 1, 2.5D (SUMMA2.5-LM, arXiv 2105.14500) above.
// Rank (i, j, k) holds batch block i + q k and hidden block j of every activation, and block (i, j) of every weight, the same on
// every depth k.
//
// Legend: R rows (batch * tokens) / (d q) of this rank, D width, V padded vocabulary, t step, w words of a block.

import type { Backend } from "../backend/backend.ts";
import type { FloatType } from "../backend/buffer.ts";
import type { DropoutArgs, HeadShape } from "../backend/kernels.ts";
import { attention, cachedAttention, fusedWidth, rotary } from "../tensor/ops/attention.ts";
import { dropout } from "../tensor/ops/elementwise.ts";
import type { Ids } from "../tensor/ops/embedding.ts";
import type { NormKind } from "../tensor/ops/norm.ts";
import { type Tape, tapeOf } from "../tensor/tape.ts";
import { constant, type Parameter, scratch, type Tensor } from "../tensor/tensor.ts";
import { padTo } from "./block.ts";
import { appendToCache, keptRows } from "./cache.ts";
import { allGathered, allMaximum, allReduced, destinationOf, recordPlaced } from "./exchange.ts";
import type { CacheSpec, LayerCache, Layout, ParameterSpec, ReducedGradients, Sequence, Whole } from "./layout.ts";
import { type Communication, type Mesh, makeMesh } from "./mesh.ts";
import { asPlaced, type Dual, type Placed, place, placedAs } from "./placement.ts";
import {
  type Activation,
  activation,
  type Destination,
  productAB,
  productABT,
  productATB,
  type VectorInUse,
  vector,
  weight,
} from "./products.ts";
import { meshAxis } from "./redistribute.ts";
import { paste, Shards } from "./sharded.ts";
import { columns, embeddingOfBlocks } from "./summa-embedding.ts";
import { crossEntropyOfColumns, mergeStats, normOfColumns, type OfAll, type OfRow } from "./summa-rows.ts";
import { type Axes, placedForUse, summaSharding } from "./summa-sharding.ts";

export class Summa implements Layout {
  readonly name: "2d" | "2.5d";
  readonly rank: number;
  readonly size: number;
  readonly wire: FloatType;
  readonly mesh: Mesh;
  readonly #axes: Axes;
  readonly #backend: Backend;
  readonly #shards: Shards;

  constructor(options: Communication & { backend: Backend; q: number; d: number }) {
    this.name = options.d === 1 ? "2d" : "2.5d";
    this.rank = options.link.rank;
    this.size = options.link.size;
    this.wire = options.wire ?? "f32";
    this.mesh = makeMesh(options);
    const { row, column, depth, batch } = this.mesh;
    this.#axes = {
      row: meshAxis("j", row),
      column: meshAxis("i", column),
      depth: meshAxis("k", depth),
      batch: meshAxis(["i", "k"], batch),
    };
    this.#backend = options.backend;
    this.#shards = new Shards({
      backend: options.backend,
      world: this.mesh.world,
      shardingOf: (whole) => summaSharding(whole, { q: this.mesh.q, axes: this.#axes }),
    });
  }

  /** number of this rank's batch block, of q d */
  get #batchBlock(): number {
    return this.mesh.batch.index;
  }

  paddedBatch({ batch }: Sequence): number {
    return padTo(batch, this.mesh.batch.size);
  }

  parameter(spec: ParameterSpec): Parameter {
    return placedForUse(this.#shards.parameter(spec), spec);
  }

  gather(block: Tensor, whole: Whole, to?: number): Promise<Float32Array | undefined> {
    return this.#shards.gather(block, whole, to);
  }

  reduceGradients(parameters: readonly Parameter[]): Promise<ReducedGradients> {
    return this.#shards.reduceGradients(parameters);
  }

  gradientNormSquared(gradients: ReducedGradients, out: Tensor): Promise<void> {
    return this.#shards.gradientNormSquared(gradients, out);
  }

  copies(parameter: Parameter): number {
    return this.#shards.copies(parameter);
  }

  async embedding(
    tape: Tape,
    options: { tokens: Ids; table: Parameter; positions?: { ids: Ids; table: Parameter } },
  ): Promise<Placed<Activation>> {
    const { tokens, table, positions } = options;
    const { q, k, batch } = this.mesh;
    const count = tokens.count / batch.size;
    return embeddingOfBlocks(tape, {
      over: this.#axes.column,
      ids: Array.from({ length: q }, (_, row) => tokens.block(row + q * k, count)),
      table: asPlaced(table, { placements: weight, what: "embedding's table" }),
      positions: positions && {
        ids: positions.ids.block(this.#batchBlock, count),
        table: asPlaced(positions.table, { placements: columns, what: "embedding's positions" }),
      },
    });
  }

  // forward   y  = x w        broadcast x along the row, w down the column
  // dx        dy wT           broadcast w down the column, reduce along the row
  // dw        xT dy           broadcast x along the row, reduce down the column; depth sum at the step's end
  async linear(x: Tensor, w: Parameter, bias?: Parameter): Promise<Placed<Activation>> {
    const tape = tapeOf(x);
    const { mesh } = this;
    const a = asPlaced(x, { placements: activation, what: "linear's x" });
    const b = asPlaced(w, { placements: weight, what: "linear's w" });
    const added = bias && asPlaced(bias, { placements: vector, what: "linear's bias" });
    const shape = [x.shape[0], w.shape[1]];
    const y = place(tape.output(w.name.replace(/\.weight$/, ""), { shape, inputs: [x, w, bias] }), activation);
    await productAB(mesh, { a, b, bias: added, to: { tensor: y, accumulate: false }, purpose: "linear forward" });
    return recordPlaced(tape, {
      op: y.name,
      output: y,
      saved: [x, w],
      async vjp(dy, gradients) {
        const purpose = "linear backward";
        const dx = destinationOf(gradients, a);
        if (dx) await productABT(mesh, { a: dy, b, to: dx, purpose });
        const dw = destinationOf(gradients, b);
        if (dw) await productATB(mesh, { a, b: dy, to: dw, purpose });
        const db = added && destinationOf(gradients, added);
        if (db) addColumnSums(dy, db);
      },
    });
  }

  // forward   statistics of the row's q blocks merged in their order: all-gather 2 R words along the row
  // dx        sums over the whole row: all-reduce 2 R words along the row.   gains: batch sum at the step's end
  async norm(
    x: Tensor,
    options: { kind: NormKind; gain: Parameter; bias?: Parameter; eps: number },
  ): Promise<Placed<Activation>> {
    const over = this.#axes.row;
    const { gain, bias } = options;
    const [, cols] = x.shape;
    return normOfColumns(asPlaced(x, { placements: activation, what: "norm's x" }), {
      ...options,
      gain: asPlaced(gain, { placements: vector, what: "norm's gain" }),
      bias: bias && asPlaced(bias, { placements: vector, what: "norm's bias" }),
      width: cols * this.mesh.q,
      steps: {
        stats: async (own) => mergeStats(await allGathered(own, { over, purpose: "norm forward", exact: true }), cols),
        sums: (own) => allReduced(own, { over, purpose: "norm backward", exact: true }),
      },
    });
  }

  /** Heads are split over columns, samples over rows and depth: nothing is sent. */
  async attention(
    qkv: Tensor,
    options: { shape: HeadShape; sequence: Sequence; rotary?: Tensor; dropout?: DropoutArgs; cache?: LayerCache },
  ): Promise<Placed<Activation>> {
    const { sequence, cache } = options;
    const { tokens, offset } = sequence;
    asPlaced(qkv, { placements: activation, what: "attention's qkv" });
    const shape = this.#ownHeads(options.shape);
    const batch = this.paddedBatch(sequence) / this.mesh.batch.size;
    using turned = options.rotary ? rotary(qkv, { shape, table: options.rotary, tokens, offset }) : undefined;
    const rows = turned ?? qkv;
    if (cache) {
      appendToCache(rows, { cache: cache.rows, sequence: { ...sequence, batch } });
      const keys = offset + tokens;
      return place(cachedAttention(rows, { shape, cache: cache.rows, batch, queries: tokens, keys }), activation);
    }
    const mask = options.dropout && {
      ...options.dropout,
      batchOffset: this.#batchBlock * batch,
      headOffset: this.mesh.j * shape.heads,
      globalHeads: options.shape.heads,
    };
    return place(attention(rows, { shape, batch, tokens, dropout: mask }), activation);
  }

  #ownHeads({ heads, kvHeads, headWidth }: HeadShape): HeadShape {
    const { q } = this.mesh;
    return { heads: heads / q, kvHeads: kvHeads / q, headWidth };
  }

  dropout(x: Tensor, options: DropoutArgs): Placed<Activation> {
    const [rows, cols] = x.shape;
    const block = asPlaced(x, { placements: activation, what: "dropout's x" });
    const offsets = { rowOffset: this.#batchBlock * rows, colOffset: this.mesh.j * cols };
    return placedAs(dropout(block, { ...options, ...offsets }), block);
  }

  // forward   logits = x ET      broadcast E down the column, reduce along the row
  // dx        dl E               broadcast dl along the row, E down the column
  // dE        dlT x              broadcast dl along the row, reduce down the column; depth sum at the step's end
  async head(x: Tensor, table: Parameter): Promise<Placed<Activation>> {
    const tape = tapeOf(x);
    const { mesh } = this;
    const a = asPlaced(x, { placements: activation, what: "head's x" });
    const b = asPlaced(table, { placements: weight, what: "head's table" });
    const y = place(tape.output("logits", { shape: [x.shape[0], table.shape[0]], inputs: [x, table] }), activation);
    await productABT(mesh, { a, b, to: { tensor: y, accumulate: false }, purpose: "head forward" });
    return recordPlaced(tape, {
      op: "logits",
      output: y,
      saved: [x, table],
      async vjp(dl, gradients) {
        const purpose = "head backward";
        const dx = destinationOf(gradients, a);
        if (dx) await productAB(mesh, { a: dl, b, to: dx, purpose });
        const dtable = destinationOf(gradients, b);
        if (dtable) await productATB(mesh, { a: dl, b: a, to: dtable, purpose });
      },
    });
  }

  // forward   row maximum, then (sum of exponentials, target's logit): all-reduce R, then 2 R words along the row; loss over the batch
  // backward  local
  async crossEntropy(
    logits: Tensor,
    options: { targets: Ids; vocabSize: number; scale: number; rows: number },
  ): Promise<Placed<OfAll>> {
    const { row, batch } = this.#axes;
    const [rows, cols] = logits.shape;
    const colOffset = this.mesh.j * cols;
    const purpose = "loss";
    return crossEntropyOfColumns(asPlaced(logits, { placements: activation, what: "crossEntropy's logits" }), {
      targets: options.targets.block(this.#batchBlock, rows).ids,
      validCols: Math.min(cols, Math.max(0, options.vocabSize - colOffset)),
      validRows: Math.min(rows, Math.max(0, options.rows - this.#batchBlock * rows)),
      colOffset,
      scale: options.scale,
      steps: {
        max: (own) => allMaximum(own, { over: row, purpose, exact: true }),
        sums: (own) => allReduced(own, { over: row, purpose, exact: true }),
        loss: (own) => allReduced(own, { over: batch, purpose, exact: true }),
      },
    });
  }

  async gatherLogits(
    logits: Tensor,
    options: { sequence: Sequence; vocabSize: number; last: boolean },
  ): Promise<Float32Array> {
    const { sequence, vocabSize, last } = options;
    const { row, batch } = this.#axes;
    const purpose = "logits";
    const step = last ? sequence.tokens : 1;
    const all = asPlaced(logits, { placements: activation, what: "gatherLogits' logits" });
    using own = placedAs(keptRows(all, { step }), all);
    const [rows, cols] = own.shape;
    const parts = await allGathered(own, { over: row, purpose, exact: true });
    using wide: Placed<OfRow> = placedAs(scratch(own, [rows, cols * parts.length]), parts[0]);
    for (const [column, part] of parts.entries()) {
      const block = { rows: { from: 0, to: rows }, cols: { from: column * cols, to: (column + 1) * cols } };
      paste(part, { into: wide, block });
      part.dispose();
    }
    using whole = scratch(own, [(sequence.batch * sequence.tokens) / step, vocabSize]);
    const wholeParts: Placed<OfAll>[] = await allGathered(wide, { over: batch, purpose, exact: true });
    for (const [index, part] of wholeParts.entries()) {
      const block = { rows: { from: index * rows, to: (index + 1) * rows }, cols: { from: 0, to: wide.shape[1] } };
      paste(part, { into: whole, block });
      part.dispose();
    }
    return (await whole.read()) as Float32Array;
  }

  cache(options: CacheSpec): LayerCache[] {
    const batch = this.paddedBatch({ batch: options.batch, tokens: 1, offset: 0 }) / this.mesh.batch.size;
    const shape = [batch, options.capacity, fusedWidth(this.#ownHeads(options.shape))];
    return Array.from({ length: options.layers }, (_, layer) => ({
      rows: constant(this.#backend, {
        shape,
        dtype: options.dtype,
        purpose: "activations",
        name: `key-value cache ${layer}`,
      }),
    }));
  }
}

/** Adds the sums over this rank's rows: a term of those over all rows. */
function addColumnSums(dy: Placed<Activation>, { tensor, accumulate }: Destination<Placed<Dual<VectorInUse>>>): void {
  const [rows, cols] = dy.shape;
  dy.backend.run("columnSum", { x: dy.buffer, y: tensor.buffer, rows, cols, accumulate });
}

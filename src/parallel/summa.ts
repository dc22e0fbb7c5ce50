// Tensor parallelism on a q x q x d mesh: 2D (Optimus, arXiv 2104.05343) with d = 1, 2.5D (SUMMA2.5-LM, arXiv 2105.14500) above.
// Rank (i, j, k) holds batch block i + q k and hidden block j of every activation, and block (i, j) of every weight, the same on
// every depth k.
//
// Legend: R rows (batch * tokens) / (d q) of this rank, D width, V padded vocabulary, t step, w words of a block.

import type { Backend } from "../backend/backend.ts";
import type { DropoutArgs, HeadShape } from "../backend/kernels.ts";
import { scratch } from "../comm/collectives.ts";
import type { Ledger } from "../comm/ledger.ts";
import type { Link } from "../comm/link.ts";
import { attention, cachedAttention, fusedWidth, rotary } from "../tensor/ops/attention.ts";
import { dropout } from "../tensor/ops/elementwise.ts";
import { type Ids, lookUp, scatterAdd } from "../tensor/ops/embedding.ts";
import { crossEntropy } from "../tensor/ops/loss.ts";
import { type NormKind, norm } from "../tensor/ops/norm.ts";
import { type Tape, tapeOf } from "../tensor/tape.ts";
import { constant, type Parameter, type Tensor } from "../tensor/tensor.ts";
import { padTo } from "./block.ts";
import { appendToCache, keptRows } from "./cache.ts";
import type { LayerCache, Layout, ParameterSpec, ReducedGradients, Sequence, Whole } from "./layout.ts";
import { type Mesh, makeMesh, placeOf } from "./mesh.ts";
import { productAB, productABT, productATB } from "./products.ts";
import { vocabularyUnit } from "./serial.ts";
import { paste, type Sharding, Shards } from "./sharded.ts";

export class Summa implements Layout {
  readonly name: "2d" | "2.5d";
  readonly rank: number;
  readonly size: number;
  readonly mesh: Mesh;
  readonly #backend: Backend;
  readonly #shards: Shards;

  constructor(options: { backend: Backend; link: Link; q: number; d: number; ledger?: Ledger }) {
    this.name = options.d === 1 ? "2d" : "2.5d";
    this.rank = options.link.rank;
    this.size = options.link.size;
    this.mesh = makeMesh(options);
    this.#backend = options.backend;
    this.#shards = new Shards({
      backend: options.backend,
      world: this.mesh.world,
      shardingOf: (whole) => this.#shardingOf(whole),
    });
  }

  /** weights: block (i, j), summed over depth; vectors: block j, summed over batch; positions [T, D]: columns j, summed over batch. */
  #shardingOf({ kind, shape }: Whole): Sharding {
    const { q, depth, batch } = this.mesh;
    const vector = shape.length === 1;
    const [rows, cols] = vector ? [1, shape[0]] : shape;
    const height = kind === "vocabulary" ? padTo(rows, q * vocabularyUnit) / q : rows / q;
    const width = cols / q;
    const everyRow = vector || kind === "positions";
    return {
      block: (rank) => {
        const { i, j } = placeOf(rank, q);
        return {
          rows: everyRow ? { from: 0, to: rows } : { from: i * height, to: (i + 1) * height },
          cols: { from: j * width, to: (j + 1) * width },
        };
      },
      copies: everyRow ? batch : depth,
      partial: true,
    };
  }

  /** number of this rank's batch block, of q d */
  get #batchBlock(): number {
    return this.mesh.batch.index;
  }

  paddedBatch({ batch }: Sequence): number {
    return padTo(batch, this.mesh.batch.size);
  }

  parameter(spec: ParameterSpec): Parameter {
    return this.#shards.parameter(spec);
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

  // forward   each rank looks up its plane's samples in its V block; reduce-scatter down the column: its own samples' rows
  // dE        all-gather dy down the column, scatter-add into its V block; depth sum at the step's end
  async embedding(
    tape: Tape,
    options: { tokens: Ids; table: Parameter; positions?: { ids: Ids; table: Parameter } },
  ): Promise<Tensor> {
    const { tokens, table, positions } = options;
    const { q, i, k, column, batch } = this.mesh;
    const count = tokens.count / batch.size;
    const [rows, cols] = table.shape;
    const rowOffset = i * rows;
    const idsOf = (row: number) => tokens.block(row + q * k, count);
    const parts = Array.from({ length: q }, (_, row) => {
      const part = scratch(tape, [count, cols]);
      lookUp(part, { ids: idsOf(row), table, rowOffset, accumulate: false });
      return part;
    });
    const sum = await column.reduceScatter(parts, { purpose: "embedding forward" });
    const places = positions?.ids.block(this.#batchBlock, count);
    if (positions && places) lookUp(sum, { ids: places, table: positions.table, rowOffset: 0, accumulate: true });
    const y = tape.outputOf("embedding", { values: sum, inputs: [table, positions?.table] });
    return tape.record({
      op: "embedding",
      output: y,
      saved: [],
      async vjp(dy, gradients) {
        const blocks = await column.allGather(dy, { purpose: "embedding backward" });
        const to = gradients.destination(table);
        if (to && !to.accumulate) tape.backend.run("fill", { y: to.tensor.buffer, n: table.size, value: 0 });
        for (const [row, block] of blocks.entries()) {
          if (to) scatterAdd(block, { ids: idsOf(row), rowOffset, dtable: to.tensor.buffer, rows });
          block.dispose();
        }
        if (positions && places)
          gradients.accumulate(positions.table, (dtable, accumulate) => {
            if (!accumulate) tape.backend.run("fill", { y: dtable, n: positions.table.size, value: 0 });
            scatterAdd(dy, { ids: places, rowOffset: 0, dtable, rows: positions.table.shape[0] });
          });
      },
    });
  }

  // forward   y  = x w        broadcast x along the row, w down the column
  // dx        dy wT           broadcast w down the column, reduce along the row
  // dw        xT dy           broadcast x along the row, reduce down the column; depth sum at the step's end
  async linear(x: Tensor, w: Parameter, bias?: Parameter): Promise<Tensor> {
    const tape = tapeOf(x);
    const { mesh } = this;
    const [rows, cols] = [x.shape[0], w.shape[1]];
    const y = tape.output(w.name.replace(/\.weight$/, ""), { shape: [rows, cols], inputs: [x, w, bias] });
    const to = { tensor: y, accumulate: false };
    await productAB(mesh, { a: x, b: w, bias, to, purpose: "linear forward" });
    return tape.record({
      op: y.name,
      output: y,
      saved: [x, w],
      async vjp(dy, gradients) {
        const purpose = "linear backward";
        const dx = gradients.destination(x);
        if (dx) await productABT(mesh, { a: dy, b: w, to: dx, purpose });
        const dw = gradients.destination(w);
        if (dw) await productATB(mesh, { a: x, b: dy, to: dw, purpose });
        if (bias)
          gradients.accumulate(bias, (db, accumulate) =>
            tape.backend.run("columnSum", { x: dy.buffer, y: db, rows, cols, accumulate }),
          );
      },
    });
  }

  // forward   statistics of the row's q blocks merged in their order: all-gather 2 R words along the row
  // dx        sums over the whole row: all-reduce 2 R words along the row.   gains: batch sum at the step's end
  async norm(x: Tensor, options: { kind: NormKind; gain: Parameter; bias?: Parameter; eps: number }): Promise<Tensor> {
    const { row, q } = this.mesh;
    const [, cols] = x.shape;
    return norm(x, {
      ...options,
      width: cols * q,
      exchange: {
        stats: async (stats) => mergeStats(await row.allGather(stats, { purpose: "norm forward" }), cols),
        sums: (sums) => row.allReduce(sums, { purpose: "norm backward" }),
      },
    });
  }

  /** Heads are split over columns, samples over rows and depth: nothing is sent. */
  async attention(
    qkv: Tensor,
    options: { shape: HeadShape; sequence: Sequence; rotary?: Tensor; dropout?: DropoutArgs; cache?: LayerCache },
  ): Promise<Tensor> {
    const { sequence, cache } = options;
    const { tokens, offset } = sequence;
    const shape = this.#ownHeads(options.shape);
    const batch = this.paddedBatch(sequence) / this.mesh.batch.size;
    using turned = options.rotary ? rotary(qkv, { shape, table: options.rotary, tokens, offset }) : undefined;
    const rows = turned ?? qkv;
    if (cache) {
      appendToCache(rows, { cache: cache.rows, sequence: { ...sequence, batch } });
      return cachedAttention(rows, { shape, cache: cache.rows, batch, queries: tokens, keys: offset + tokens });
    }
    const mask = options.dropout && {
      ...options.dropout,
      batchOffset: this.#batchBlock * batch,
      headOffset: this.mesh.j * shape.heads,
      globalHeads: options.shape.heads,
    };
    return attention(rows, { shape, batch, tokens, dropout: mask });
  }

  #ownHeads({ heads, kvHeads, headWidth }: HeadShape): HeadShape {
    const { q } = this.mesh;
    return { heads: heads / q, kvHeads: kvHeads / q, headWidth };
  }

  dropout(x: Tensor, options: DropoutArgs): Tensor {
    const [rows, cols] = x.shape;
    return dropout(x, { ...options, rowOffset: this.#batchBlock * rows, colOffset: this.mesh.j * cols });
  }

  // forward   logits = x ET      broadcast E down the column, reduce along the row
  // dx        dl E               broadcast dl along the row, E down the column
  // dE        dlT x              broadcast dl along the row, reduce down the column; depth sum at the step's end
  async head(x: Tensor, table: Parameter): Promise<Tensor> {
    const tape = tapeOf(x);
    const { mesh } = this;
    const y = tape.output("logits", { shape: [x.shape[0], table.shape[0]], inputs: [x, table] });
    await productABT(mesh, { a: x, b: table, to: { tensor: y, accumulate: false }, purpose: "head forward" });
    return tape.record({
      op: "logits",
      output: y,
      saved: [x, table],
      async vjp(dl, gradients) {
        const purpose = "head backward";
        const dx = gradients.destination(x);
        if (dx) await productAB(mesh, { a: dl, b: table, to: dx, purpose });
        const dtable = gradients.destination(table);
        if (dtable) await productATB(mesh, { a: dl, b: x, to: dtable, purpose });
      },
    });
  }

  // forward   row maximum, then (sum of exponentials, target's logit): all-reduce R, then 2 R words along the row; loss over the batch
  // backward  local
  async crossEntropy(
    logits: Tensor,
    options: { targets: Ids; vocabSize: number; scale: number; rows: number },
  ): Promise<Tensor> {
    const { row, batch, j } = this.mesh;
    const [rows, cols] = logits.shape;
    const colOffset = j * cols;
    const purpose = "loss";
    return crossEntropy(logits, {
      targets: options.targets.block(this.#batchBlock, rows).ids,
      validCols: Math.min(cols, Math.max(0, options.vocabSize - colOffset)),
      validRows: Math.min(rows, Math.max(0, options.rows - this.#batchBlock * rows)),
      colOffset,
      scale: options.scale,
      exchange: {
        max: (max) => row.allReduce(max, { purpose, combine: "max" }),
        sums: (sums) => row.allReduce(sums, { purpose }),
        loss: (loss) => batch.allReduce(loss, { purpose }),
      },
    });
  }

  async gatherLogits(
    logits: Tensor,
    options: { sequence: Sequence; vocabSize: number; last: boolean },
  ): Promise<Float32Array> {
    const { sequence, vocabSize, last } = options;
    const { row, batch } = this.mesh;
    const purpose = "logits";
    const step = last ? sequence.tokens : 1;
    using own = keptRows(logits, { step });
    const [rows, cols] = own.shape;
    using wide = scratch(own, [rows, cols * row.size]);
    for (const [column, part] of (await row.allGather(own, { purpose })).entries()) {
      const block = { rows: { from: 0, to: rows }, cols: { from: column * cols, to: (column + 1) * cols } };
      paste(part, { into: wide, block });
      part.dispose();
    }
    using whole = scratch(own, [(sequence.batch * sequence.tokens) / step, vocabSize]);
    for (const [index, part] of (await batch.allGather(wide, { purpose })).entries()) {
      const block = { rows: { from: index * rows, to: (index + 1) * rows }, cols: { from: 0, to: wide.shape[1] } };
      paste(part, { into: whole, block });
      part.dispose();
    }
    return (await whole.read()) as Float32Array;
  }

  cache(options: { layers: number; batch: number; capacity: number; shape: HeadShape }): LayerCache[] {
    const batch = this.paddedBatch({ batch: options.batch, tokens: 1, offset: 0 }) / this.mesh.batch.size;
    const shape = [batch, options.capacity, fusedWidth(this.#ownHeads(options.shape))];
    return Array.from({ length: options.layers }, (_, layer) => ({
      rows: constant(this.#backend, { shape, purpose: "activations", name: `key-value cache ${layer}` }),
    }));
  }
}

/** The pairs of all blocks of a row, each of `cols` columns, merged in the order of the blocks; the parts are disposed. */
function mergeStats(parts: Tensor[], cols: number): Tensor {
  let merged = parts[0];
  for (const [index, part] of parts.entries()) {
    if (index === 0) continue;
    const both = scratch(part, part.shape);
    part.backend.run("normMerge", {
      ...{ a: merged.buffer, b: part.buffer, y: both.buffer },
      ...{ rows: part.shape[0], countA: index * cols, countB: cols },
    });
    merged.dispose();
    part.dispose();
    merged = both;
  }
  return merged;
}

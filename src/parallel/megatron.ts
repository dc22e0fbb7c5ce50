// Tensor parallelism in one dimension: Megatron-LM (arXiv 1909.08053), and with sequence parallelism (arXiv 2205.05198).
// Rank p of P holds columns block p of the weights that widen (qkv, up), rows block p of those that come back (projections), and rows
// block p of the vocabulary. The residual stream is whole on every rank, or with sequence parallelism cut by rows.
//
// Legend: T rows (batch * tokens), D width, V padded vocabulary, P ranks, p this rank.

import type { Backend } from "../backend/backend.ts";
import type { FloatType } from "../backend/buffer.ts";
import { invariant } from "../backend/errors.ts";
import type { DropoutArgs, HeadShape } from "../backend/kernels.ts";
import { handle } from "../comm/collectives.ts";
import type { ProcessGroup } from "../comm/process-group.ts";
import { attention, cachedAttention, fusedWidth, rotary } from "../tensor/ops/attention.ts";
import { dropout } from "../tensor/ops/elementwise.ts";
import { embedding, type Ids, scatterAdd } from "../tensor/ops/embedding.ts";
import { crossEntropy } from "../tensor/ops/loss.ts";
import { type NormKind, norm } from "../tensor/ops/norm.ts";
import type { Tape } from "../tensor/tape.ts";
import { constant, type Parameter, scratch, type Tensor } from "../tensor/tensor.ts";
import { padTo } from "./block.ts";
import { appendToCache, keptRows } from "./cache.ts";
import type {
  CacheSpec,
  LayerCache,
  Layout,
  ParameterKind,
  ParameterSpec,
  ReducedGradients,
  Sequence,
  Whole,
} from "./layout.ts";
import { type Communication, worldGroup } from "./mesh.ts";
import {
  type ColumnFactor,
  columnParallel,
  columnParallelOfRows,
  rowParallel,
  rowParallelToRows,
  termOfSum,
  withTerm,
} from "./parallel-linear.ts";
import { place } from "./placement.ts";
import { allReduce, type MeshAxis, meshAxis, reduceScatter } from "./redistribute.ts";
import { vocabularyUnit } from "./serial.ts";
import { paste, type Sharding, Shards } from "./sharded.ts";

export class Megatron implements Layout {
  readonly name: "1d" | "1d-sp";
  readonly rank: number;
  readonly size: number;
  readonly wire: FloatType;
  readonly sequenceParallel: boolean;
  readonly #backend: Backend;
  readonly #world: ProcessGroup;
  readonly #axis: MeshAxis<"p">;
  readonly #shards: Shards;
  readonly #kinds = new WeakMap<Parameter, ParameterKind>();

  constructor(options: Communication & { backend: Backend; sequenceParallel: boolean }) {
    const { backend, link, sequenceParallel } = options;
    this.name = sequenceParallel ? "1d-sp" : "1d";
    this.rank = link.rank;
    this.size = link.size;
    this.wire = options.wire ?? "f32";
    this.sequenceParallel = sequenceParallel;
    this.#backend = backend;
    this.#world = worldGroup(options);
    this.#axis = meshAxis("p", this.#world);
    this.#shards = new Shards({ backend, world: this.#world, shardingOf: (whole) => this.#shardingOf(whole) });
  }

  /** What is whole on every rank sees all rows there and needs no sum; with sequence parallelism it sees the rank's own. */
  #shardingOf({ kind, shape }: Whole): Sharding {
    const { size } = this;
    const [rows, cols] = shape.length === 1 ? [1, shape[0]] : shape;
    const held = kind === "vocabulary" ? padTo(rows, size * vocabularyUnit) : rows;
    const byRows = kind === "row" || kind === "vocabulary";
    const byCols = kind === "column" || kind === "columnBias";
    const part = (extent: number, index: number) => ({
      from: (extent / size) * index,
      to: (extent / size) * (index + 1),
    });
    return {
      block: (rank) => ({
        rows: byRows ? part(held, rank) : { from: 0, to: rows },
        cols: byCols ? part(cols, rank) : { from: 0, to: cols },
      }),
      copies: byRows || byCols ? undefined : this.#world,
      partial: this.sequenceParallel,
    };
  }

  /** With sequence parallelism the ranks share rows, not samples: the least number of samples whose rows divide. */
  paddedBatch({ batch, tokens }: Sequence): number {
    let padded = batch;
    if (this.sequenceParallel) while ((padded * tokens) % this.size !== 0) padded++;
    return padded;
  }

  parameter(spec: ParameterSpec): Parameter {
    const parameter = this.#shards.parameter(spec);
    this.#kinds.set(parameter, spec.kind);
    return parameter;
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

  // forward   each rank looks up all rows in its V block; all-reduce, or reduce-scatter to the rank's own rows
  // dE        scatter-add of all rows of dy, which all ranks have, or all-gather first
  async embedding(
    tape: Tape,
    options: { tokens: Ids; table: Parameter; positions?: { ids: Ids; table: Parameter } },
  ): Promise<Tensor> {
    const { tokens, table, positions } = options;
    const over = this.#axis;
    const purpose = "embedding";
    using term = positions && termOfSum(positions.table, { tape, over });
    const add = positions && term && { ids: positions.ids, table: term };
    const rowOffset = this.rank * table.shape[0];
    using partial = place(embedding(tape, { ids: tokens, table, rowOffset, add }), { p: "partial" });
    const sum = this.sequenceParallel
      ? await reduceScatter(partial, { over, dim: 0, purpose })
      : await allReduce(partial, { over, to: "invariant", purpose });
    if (!positions) return sum;
    const ids = this.sequenceParallel ? positions.ids.block(this.rank, tokens.count / this.size) : positions.ids;
    return withTerm(sum, positions.table, (dy, { tensor, accumulate }) => {
      if (!accumulate) tape.backend.run("fill", { y: tensor.buffer, n: tensor.size, value: 0 });
      scatterAdd(dy, { ids, rowOffset: 0, dtable: tensor.buffer, rows: tensor.shape[0] });
    });
  }

  async linear(x: Tensor, w: Parameter, bias?: Parameter): Promise<Tensor> {
    const kind = this.#kinds.get(w);
    const naming = { name: w.name.replace(/\.weight$/, ""), purpose: "linear" };
    if (kind === "column") {
      const cut = bias && place(bias, { p: "shard 0" });
      return this.#columns(x, { ...naming, transposed: false, w: place(w, { p: "shard 1" }), bias: cut });
    }
    invariant(kind === "row", `${w.name} is no linear's weight`);
    const columns = place(x, { p: "shard 1" });
    const factor = { ...naming, over: this.#axis, w: place(w, { p: "shard 0" }), bias };
    return this.sequenceParallel ? rowParallelToRows(columns, factor) : rowParallel(columns, factor);
  }

  /** logits [T, V/P] */
  head(x: Tensor, table: Parameter): Promise<Tensor> {
    return this.#columns(x, { transposed: true, w: place(table, { p: "shard 0" }), name: "logits", purpose: "head" });
  }

  /** Columns block p of a product with the residual stream. */
  async #columns(x: Tensor, factor: ColumnFactor & { purpose: string }): Promise<Tensor> {
    const along = { ...factor, over: this.#axis };
    return this.sequenceParallel
      ? columnParallelOfRows(place(x, { p: "shard 0" }), along)
      : columnParallel(place(x, { p: "invariant" }), along);
  }

  /** Rows are whole on each rank: nothing is sent. */
  async norm(x: Tensor, options: { kind: NormKind; gain: Parameter; bias?: Parameter; eps: number }): Promise<Tensor> {
    return norm(x, { ...options, width: x.shape[1] });
  }

  /** Heads are split over ranks, and every rank has all rows of its own: nothing is sent. */
  async attention(
    qkv: Tensor,
    options: { shape: HeadShape; sequence: Sequence; rotary?: Tensor; dropout?: DropoutArgs; cache?: LayerCache },
  ): Promise<Tensor> {
    const { sequence, cache } = options;
    const { tokens, offset } = sequence;
    const shape = this.#ownHeads(options.shape);
    const batch = this.paddedBatch(sequence);
    using turned = options.rotary ? rotary(qkv, { shape, table: options.rotary, tokens, offset }) : undefined;
    const rows = turned ?? qkv;
    if (cache) {
      appendToCache(rows, { cache: cache.rows, sequence: { ...sequence, batch } });
      return cachedAttention(rows, { shape, cache: cache.rows, batch, queries: tokens, keys: offset + tokens });
    }
    const mask = options.dropout && {
      ...options.dropout,
      batchOffset: 0,
      headOffset: this.rank * shape.heads,
      globalHeads: options.shape.heads,
    };
    return attention(rows, { shape, batch, tokens, dropout: mask });
  }

  #ownHeads({ heads, kvHeads, headWidth }: HeadShape): HeadShape {
    return { heads: heads / this.size, kvHeads: kvHeads / this.size, headWidth };
  }

  dropout(x: Tensor, options: DropoutArgs): Tensor {
    const rowOffset = this.sequenceParallel ? this.rank * x.shape[0] : 0;
    return dropout(x, { ...options, rowOffset, colOffset: 0 });
  }

  // forward   row maximum, then (sum of exponentials, target's logit): all-reduce T, then 2 T words. Every rank has the loss then.
  // backward  local
  async crossEntropy(
    logits: Tensor,
    options: { targets: Ids; vocabSize: number; scale: number; rows: number },
  ): Promise<Tensor> {
    const [, cols] = logits.shape;
    const colOffset = this.rank * cols;
    const purpose = "loss";
    return crossEntropy(logits, {
      targets: options.targets.ids,
      validCols: Math.min(cols, Math.max(0, options.vocabSize - colOffset)),
      validRows: options.rows,
      colOffset,
      scale: options.scale,
      exchange: {
        max: (max) => this.#world.allReduce(max, { purpose, combine: "max", exact: true }),
        sums: (sums) => this.#world.allReduce(sums, { purpose, exact: true }),
        loss: async (loss) => handle(loss),
      },
    });
  }

  async gatherLogits(
    logits: Tensor,
    options: { sequence: Sequence; vocabSize: number; last: boolean },
  ): Promise<Float32Array> {
    const { sequence, vocabSize, last } = options;
    const step = last ? sequence.tokens : 1;
    using own = keptRows(logits, { step });
    const [rows, cols] = own.shape;
    using whole = scratch(own, [(sequence.batch * sequence.tokens) / step, vocabSize]);
    for (const [index, part] of (await this.#world.allGather(own, { purpose: "logits", exact: true })).entries()) {
      const block = { rows: { from: 0, to: rows }, cols: { from: index * cols, to: (index + 1) * cols } };
      paste(part, { into: whole, block });
      part.dispose();
    }
    return (await whole.read()) as Float32Array;
  }

  cache(options: CacheSpec): LayerCache[] {
    // Of one token a sample, the ranks share a multiple of P samples; of more tokens, a divisor of that or fewer samples may do.
    const batch = this.paddedBatch({ batch: options.batch, tokens: 1, offset: 0 });
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

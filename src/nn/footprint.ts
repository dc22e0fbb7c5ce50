// The closed form of a training step's memory on a rank: what a run needs, before it asks the device. Counts what is asked for; a
// backend's pool may keep up to an eighth more. What another rank lends counts as if it had been received into memory of its own.
//
// Legend: T rows = batch * context, D width, F hidden width, C fused q,k,v columns, H heads, V padded vocabulary, P ranks,
// q x q x d mesh, e bytes of what the run's type stores: 4, or 2 in f16. What has a number a row, and gradients of parameters, are f32.

import { bytesOf, type FloatType } from "../backend/buffer.ts";
import type { BytesByPurpose } from "../backend/memory.ts";
import { chooseAlgorithm } from "../comm/algorithms.ts";
import type { Whole } from "../parallel/layout.ts";
import { type GradientSum, gradientSums, heldWords, type MeshExtents, paddedVocabulary } from "../parallel/volume.ts";
import { fusedWidth } from "../tensor/ops/attention.ts";
import type { ModelConfig } from "./config.ts";
import { gpt2 } from "./gpt2.ts";
import { llama } from "./llama.ts";

const oneRank: MeshExtents = { layout: "serial", size: 1, q: 1, d: 1 };

/** Peak bytes of a training step with AdamW on a rank: each purpose's own peak, and the peak of their sum.
 *
 *  weights e N, gradients 4 N, optimizer 8 N and in f16 4 N more for masters, where N is the rank's share; vectors and the table of rotary
 *  angles, which is whole on each, are f32. A block keeps for
 *  its backward its input, both norms' outputs and the residual between (4 streams), q, k, v, attention's output and row sums, the
 *  activation's input and output and the norms' statistics; with recomputation its input alone, and one block's at a time; with the loss in blocks of rows logits and what goes with them are of one such block. The peak is
 *  at the loss, in the head's or the last feed-forward's backward, at the end of the last block's forward (the second, with its gradient
 *  there, when recomputing), or in the sum of gradients over ranks: three times the largest bucket, what is sent, what comes, the sum.
 *  On a wire of f16 who sends holds also what it has rounded, and while it is under way what is packed.
 *  In 2D and 2.5D with q > 2, or rounding, how many blocks of a product a rank holds depends on who is faster: this is the most. */
export function trainingBytes(
  config: ModelConfig,
  run: {
    shape?: MeshExtents;
    batch: number;
    context: number;
    recompute: boolean;
    lossBlocks?: number;
    /** f32 when absent */
    dtype?: FloatType;
    /** f32 when absent: f16 rounds what is f32, in memory beside it */
    wire?: FloatType;
  },
): BytesByPurpose & { total: number } {
  const { shape = oneRank, recompute, lossBlocks = 1, dtype = "f32", wire = "f32" } = run;
  const e = bytesOf({ dtype, length: 1 });
  const { weights, layers, vocabSize, heads, maxPositions, ropeTheta } =
    config.model_type === "gpt2" ? gpt2(config) : llama(config);
  const { D, F, wide } = widths(config);
  const C = fusedWidth(heads);
  const { ids, rows, streamRows, stream, columns } = rowsHeld(shape, run.batch * run.context);
  const V = paddedVocabulary(vocabSize, shape);
  const sizes: Sizes = {
    stream: e * stream * D,
    whole: e * rows * D,
    columns: e * columns,
    F,
    logits: (e * columns * V) / lossBlocks,
    table: (4 * V * D) / shape.q ** 2,
    weights: (4 * D) / shape.q ** 2,
    packed: wire === "f16" && dtype === "f32",
  };
  const stats = 4 * 2 * streamRows;
  // Row sums of attention, or of its gradient.
  const sums = 4 * columns * heads.heads;
  const block = 4 * sizes.stream + sizes.columns * (D + C + wide + F) + sums + 2 * stats;
  const kept = 4 * ids + layers * (recompute ? sizes.stream : block);
  // Beside what is kept: another block, but for its input; and the gradient of its output.
  const again = recompute ? { block: block - sizes.stream, gradient: sizes.stream } : { block: 0, gradient: 0 };
  // Last residual and its norm, statistics, logits, then per row: maximum, sums.
  const inBlocks = lossBlocks > 1;
  const last = inBlocks ? sizes.stream + (2 * sizes.stream + stats) / lossBlocks : 2 * sizes.stream + stats;
  const loss = last + sizes.logits + (4 * 3 * rows) / lossBlocks;
  const { project, down, column, freed } = exchanged(shape, sizes);
  const ofBlock = { ...sizes, stream: sizes.stream / lossBlocks, whole: sizes.whole / lossBlocks };
  const { head } = exchanged(shape, ofBlock);
  // The gradient of all rows, put together from those of blocks.
  const gathered = inBlocks ? sizes.stream : 0;
  const up = column(wide);
  const [inner, between] = [sizes.columns * F, sizes.columns * wide];
  const sum = Math.max(0, ...gradientSums(weights, shape).flatMap((each) => sumBytes(each, { shape, wire })));

  const activations = kept + Math.max(loss, again.block + project.activations);
  // Attention's backward: gradients of its output and q, k, v, and row sums; or of q, k, v before and after they were turned; or of the
  // projection to them.
  const turned = ropeTheta === undefined ? 0 : 2 * sizes.columns * C;
  const attend = again.gradient + Math.max(sizes.columns * (D + C) + sums, turned, column(C));
  const scratch = Math.max(
    ...[gathered + sizes.logits, gathered + head, sum, again.gradient + project.scratch],
    ...[attend, down, inner + between, up].map((bytes) => sizes.stream + bytes),
  );
  const feedForward = kept + again.block + sizes.stream;
  const peak = Math.max(
    kept + loss + gathered + sizes.logits,
    kept + again.block + again.gradient + project.activations + project.scratch,
    kept + last + gathered + head - (inBlocks ? 0 : freed),
    feedForward + down,
    // The activation's output is freed, its gradient not yet; then both, and its input.
    feedForward + between,
    feedForward - inner - between + up - freed,
    sum,
  );
  const share = (of: readonly Whole[]) => of.reduce((words, whole) => words + heldWords(whole, shape), 0);
  const matrices = share(weights.filter((whole) => whole.shape.length > 1));
  const N = share(weights);
  const table = ropeTheta === undefined ? 0 : maxPositions * heads.headWidth;
  const held = {
    weights: e * matrices + 4 * (N - matrices + table),
    gradients: 4 * N,
    optimizer: 8 * N + (dtype === "f16" ? 4 * matrices : 0),
  };
  return { ...held, activations, scratch, total: held.weights + held.gradients + held.optimizer + peak };
}

/** Of the buckets of gradients that are summed along an axis: what is sent, what comes and the sum; rounded, what was sent too. */
function sumBytes({ axis, words }: GradientSum, { shape, wire }: { shape: MeshExtents; wire: FloatType }): number[] {
  const { size, q, d } = shape;
  const ranks = { depth: d, batch: q * d, world: size }[axis];
  return words.map((n) => 4 * n * (wire === "f16" && doubles(ranks, n) ? 4 : 3));
}

/** A sum by doubling is whole on its way; by ring it is in parts. */
const doubles = (size: number, words: number): boolean => chooseAlgorithm("allReduce", { size, words }) === "doubling";

/** wide: columns that a block's activation function reads. */
const widths = (config: ModelConfig): { D: number; F: number; wide: number } =>
  config.model_type === "gpt2"
    ? { D: config.n_embd, F: config.n_inner, wide: config.n_inner }
    : { D: config.hidden_size, F: config.intermediate_size, wide: 2 * config.intermediate_size };

/** What a rank has of T rows. rows: those it attends to; streamRows: those of its residual stream. For each column of the whole, words of
 *  a tensor of the stream, and of one between two linears. */
function rowsHeld({ layout, size, q, d }: MeshExtents, T: number) {
  switch (layout) {
    case "2d":
    case "2.5d": {
      const rows = T / (q * d);
      // Token ids of all rows of the plane; positions and targets of its own.
      return { ids: (q + 2) * rows, rows, streamRows: rows, stream: rows / q, columns: rows / q };
    }
    case "1d-sp":
      return { ids: 3 * T, rows: T, streamRows: T / size, stream: T / size, columns: T / size };
    default:
      return { ids: 3 * T, rows: T, streamRows: T, stream: T, columns: T / size };
  }
}

/** Bytes of tensors on a rank. */
interface Sizes {
  /** of the residual stream */
  stream: number;
  /** the same with all columns of all rows that the rank attends to */
  whole: number;
  /** for each column between two linears; how many columns an activation function's output has */
  columns: number;
  F: number;
  logits: number;
  /** blocks of weights' gradients: the head's table, and a matrix of the width by one column or row */
  table: number;
  weights: number;
  /** what is sent is rounded first */
  packed: boolean;
}

/** Bytes that exist only while something is computed or sent: at a block's last projection; in the backward of the head, of the
 *  feed-forward's row product, and of a column product with so many columns. `freed`: of what the forward left, gone at the height of the
 *  head's and a column product's. */
function exchanged({ layout, q, size }: MeshExtents, sizes: Sizes) {
  const { stream, whole, columns, F, logits, table, weights, packed } = sizes;
  const inner = columns * F;
  switch (layout) {
    case "2d":
    case "2.5d": {
      // Blocks of two steps of a product, but for its own. Rounded, its own too, and those of a step packed.
      const steps = packed && q > 1 ? 2.5 : Math.min(2, q - 1);
      return {
        project: { activations: 2 * stream, scratch: 0 },
        head: logits + stream + steps * (logits + table),
        down: inner + steps * (inner + F * weights),
        column: (cols: number) => columns * cols + stream + steps * (stream + cols * weights),
        freed: 0,
      };
    }
    case "1d": {
      // All-reduces: of what is summed, what comes, the sum, and rounded, what was sent. A gradient of x is summed when all else of the
      // product is freed.
      const own = packed && doubles(size, whole / 4) ? whole : 0;
      return {
        project: { activations: 2 * whole, scratch: whole + own },
        head: Math.max(3 * whole + own, logits + whole),
        down: inner,
        column: () => 3 * whole + own,
        freed: stream,
      };
    }
    case "1d-sp":
      // Gathered rows beside their parts, or a sum's parts beside the whole.
      return {
        project: { activations: whole + stream, scratch: whole },
        head: logits + 2 * whole,
        down: 2 * whole,
        column: (cols: number) => columns * cols + 2 * whole,
        freed: 0,
      };
    case "serial":
      return {
        project: { activations: 2 * stream, scratch: 0 },
        head: logits + stream,
        down: inner,
        column: (cols: number) => columns * cols + stream,
        freed: 0,
      };
  }
}

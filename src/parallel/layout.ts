// The one interface that models are written against: what a transformer asks for, whoever holds which block.
// A layout decides what part of a tensor this rank has and what it exchanges; ops compute on what is there.
//
// Legend: B batch, T tokens, D width, F hidden width, V vocabulary, C fused q,k,v columns. Shapes are the whole's; a rank
// may hold a block of them. Activations are matrices whose rows are (sample, token).

import type { FloatType } from "../backend/buffer.ts";
import { invariant } from "../backend/errors.ts";
import type { DropoutArgs, HeadShape } from "../backend/kernels.ts";
import type { Ids } from "../tensor/ops/embedding.ts";
import type { NormKind } from "../tensor/ops/norm.ts";
import type { Tape } from "../tensor/tape.ts";
import type { Parameter, Tensor } from "../tensor/tensor.ts";
import type { Placed } from "./placement.ts";

/** What a parameter is to a layout: which of its dims follow which activation.
 *  "column", "columnBias": a linear whose output is split over ranks next (qkv, up), "row", "rowBias": one whose input was (projections);
 *  "vector": along the width (norms); "vocabulary": [V, D], rows padded as the layout needs; "positions": [T, D]. */
export type ParameterKind = "column" | "columnBias" | "row" | "rowBias" | "vector" | "vocabulary" | "positions";

/** How a parameter starts, so that any rank can make its own block of it. */
export type Initial =
  | { kind: "normal"; std: number; seed: number; item: number }
  | { kind: "constant"; value: number }
  /** the whole tensor, row-major */
  | { kind: "data"; data: Float32Array };

/** The whole of a parameter, whatever a rank holds of it. */
export interface Whole {
  name: string;
  /** logical shape, before padding */
  shape: readonly number[];
  kind: ParameterKind;
}

/** dtype: how a matrix is stored, f32 when absent. */
export type ParameterSpec = Whole & { initial: Initial; dtype?: FloatType };

/** The samples of a forward pass. `offset`: the position of each sample's first token (> 0 only with a cache). */
export interface Sequence {
  batch: number;
  tokens: number;
  offset: number;
}

/** What a cache is to hold: rows of the type that the model's activations have. */
export interface CacheSpec {
  layers: number;
  batch: number;
  capacity: number;
  shape: HeadShape;
  dtype: FloatType;
}

/** Fused rows of earlier tokens, [batch, capacity, C], one tensor a layer. */
export interface LayerCache {
  rows: Tensor;
}

/** What a rank has of a parameter's gradient, as to the ranks that hold a copy of the parameter: the same as they have, or a term of
 *  the sum. */
export type GradientOfCopies<P extends "invariant" | "partial"> = Placed<{ copies: P }>;

/** What `reduceGradients` returns: every rank that holds a copy of a parameter holds the same gradient of it. It is made of such
 *  gradients only, so an optimizer cannot be handed gradients whose sum over ranks was forgotten. */
export class ReducedGradients {
  readonly parameters: readonly Parameter[];
  protected readonly reduced = true;
  constructor(parameters: readonly Parameter[], gradients: ReadonlyMap<Parameter, GradientOfCopies<"invariant">>) {
    for (const parameter of parameters)
      invariant(gradients.get(parameter) === parameter.gradient, `the gradient of ${parameter.name} was not reduced`);
    this.parameters = parameters;
  }
}

export interface Layout {
  readonly name: string;
  /** this rank, of how many */
  readonly rank: number;
  readonly size: number;
  /** how f32 travels between ranks; f16 rounds activations, weights and gradients on their way */
  readonly wire: FloatType;

  /** The least number of samples, from `batch` on, that the ranks can share: the rest are padding that counts nowhere. */
  paddedBatch(sequence: Sequence): number;

  /** This rank's block of a parameter. */
  parameter(spec: ParameterSpec): Parameter;
  /** The whole logical tensor (no padding) of which `block` is a parameter, its gradient or its optimizer state: on every rank, or
   *  on rank `to` only, and nothing elsewhere. Every rank calls it. */
  gather(block: Tensor, whole: Whole, to?: number): Promise<Float32Array | undefined>;

  /** h[B T, D] = table[tokens] (+ positions[place in the sequence]). */
  embedding(
    tape: Tape,
    options: { tokens: Ids; table: Parameter; positions?: { ids: Ids; table: Parameter } },
  ): Promise<Tensor>;
  /** y[B T, N] = x[B T, K] w[K, N] + bias[N]. */
  linear(x: Tensor, w: Parameter, bias?: Parameter): Promise<Tensor>;
  /** Normalises rows of the whole width. */
  norm(x: Tensor, options: { kind: NormKind; gain: Parameter; bias?: Parameter; eps: number }): Promise<Tensor>;
  /** y[B T, heads * headWidth] of fused rows qkv [B T, C]; rotates by `rotary` first; with a cache appends to it and attends over it. */
  attention(
    qkv: Tensor,
    options: { shape: HeadShape; sequence: Sequence; rotary?: Tensor; dropout?: DropoutArgs; cache?: LayerCache },
  ): Promise<Tensor>;
  dropout(x: Tensor, options: DropoutArgs): Tensor;
  /** logits[B T, V] = x[B T, D] table[V, D] transposed; padding columns may follow. */
  head(x: Tensor, table: Parameter): Promise<Tensor>;
  /** scale * sum over rows of the negative log likelihood, [1]: the whole's, on every rank. `rows`: how many are no padding. */
  crossEntropy(
    logits: Tensor,
    options: { targets: Ids; vocabSize: number; scale: number; rows: number },
  ): Promise<Tensor>;

  /** Sums gradients over the ranks that hold a copy of the parameter and saw other samples or rows: once per optimizer step.
   *  Parameters that no op reached get zeros. */
  reduceGradients(parameters: readonly Parameter[]): Promise<ReducedGradients>;
  /** out[0] = sum over all elements of the whole of gradient^2: the same bits on every rank. */
  gradientNormSquared(gradients: ReducedGradients, out: Tensor): Promise<void>;
  /** Ranks that hold this rank's block of a parameter. */
  copies(parameter: Parameter): number;
  /** Logits without padding on every rank's host, row-major: [B T, V], or [B, V] of each sample's last row. Waits for the device. */
  gatherLogits(
    logits: Tensor,
    options: { sequence: Sequence; vocabSize: number; last: boolean },
  ): Promise<Float32Array>;
  /** An empty cache for each of `layers` layers. The caller disposes its rows. */
  cache(options: CacheSpec): LayerCache[];
}

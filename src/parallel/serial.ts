// One rank holds everything and exchanges nothing: the reference that every other layout must equal.

import type { Backend } from "../backend/backend.ts";
import type { DropoutArgs, HeadShape } from "../backend/kernels.ts";
import { attention, cachedAttention, fusedWidth, rotary } from "../tensor/ops/attention.ts";
import { dropout } from "../tensor/ops/elementwise.ts";
import { embedding, type Ids } from "../tensor/ops/embedding.ts";
import { crossEntropy } from "../tensor/ops/loss.ts";
import { type NormKind, norm } from "../tensor/ops/norm.ts";
import { matmul } from "../tensor/ops/products.ts";
import type { Tape } from "../tensor/tape.ts";
import { constant, Parameter, sizeOf, type Tensor } from "../tensor/tensor.ts";
import { initialBlock, padTo } from "./block.ts";
import { appendToCache, keptRows } from "./cache.ts";
import {
  type CacheSpec,
  type LayerCache,
  type Layout,
  type ParameterSpec,
  ReducedGradients,
  type Sequence,
  type Whole,
} from "./layout.ts";
import { sumSquares } from "./norm-squared.ts";
import { place } from "./placement.ts";

/** Rows of a vocabulary table are padded to this multiple, so that rows of logits stay aligned to vec4. */
export const vocabularyUnit = 4;

export class Serial implements Layout {
  readonly name = "serial";
  readonly rank = 0;
  readonly size = 1;
  readonly wire = "f32";
  readonly #backend: Backend;

  constructor(backend: Backend) {
    this.#backend = backend;
  }

  paddedBatch({ batch }: Sequence): number {
    return batch;
  }

  parameter(spec: ParameterSpec): Parameter {
    const [rows, cols] = spec.shape.length === 1 ? [1, spec.shape[0]] : spec.shape;
    const held = spec.kind === "vocabulary" ? padTo(rows, vocabularyUnit) : rows;
    const whole = { rows: { from: 0, to: held }, cols: { from: 0, to: cols } };
    const data = this.#backend.valueless ? undefined : initialBlock(spec, whole);
    const shape = spec.shape.length === 1 ? spec.shape : [held, cols];
    return Parameter.of(this.#backend, { shape, data, name: spec.name, dtype: spec.dtype ?? "f32" });
  }

  async gather(block: Tensor, whole: Whole): Promise<Float32Array> {
    const values = (await block.read()) as Float32Array;
    return values.subarray(0, sizeOf(whole.shape));
  }

  async embedding(
    tape: Tape,
    options: { tokens: Ids; table: Parameter; positions?: { ids: Ids; table: Parameter } },
  ): Promise<Tensor> {
    return embedding(tape, { ids: options.tokens, table: options.table, add: options.positions });
  }

  async linear(x: Tensor, w: Parameter, bias?: Parameter): Promise<Tensor> {
    return matmul(x, w, { form: "nn", bias, name: w.name.replace(/\.weight$/, "") });
  }

  async norm(x: Tensor, options: { kind: NormKind; gain: Parameter; bias?: Parameter; eps: number }): Promise<Tensor> {
    const { kind, gain, bias, eps } = options;
    return norm(x, { kind, gain, bias, eps, width: x.shape[1] });
  }

  async attention(
    qkv: Tensor,
    options: { shape: HeadShape; sequence: Sequence; rotary?: Tensor; dropout?: DropoutArgs; cache?: LayerCache },
  ): Promise<Tensor> {
    const { shape, sequence, cache } = options;
    const { batch, tokens, offset } = sequence;
    using turned = options.rotary ? rotary(qkv, { shape, table: options.rotary, tokens, offset }) : undefined;
    const rows = turned ?? qkv;
    if (cache) {
      appendToCache(rows, { cache: cache.rows, sequence });
      return cachedAttention(rows, { shape, cache: cache.rows, batch, queries: tokens, keys: offset + tokens });
    }
    const mask = options.dropout && { ...options.dropout, batchOffset: 0, headOffset: 0, globalHeads: shape.heads };
    return attention(rows, { shape, batch, tokens, dropout: mask });
  }

  dropout(x: Tensor, options: DropoutArgs): Tensor {
    return dropout(x, { ...options, rowOffset: 0, colOffset: 0 });
  }

  async head(x: Tensor, table: Parameter): Promise<Tensor> {
    return matmul(x, table, { form: "nt", name: "logits" });
  }

  async crossEntropy(
    logits: Tensor,
    options: { targets: Ids; vocabSize: number; scale: number; rows: number },
  ): Promise<Tensor> {
    return crossEntropy(logits, { targets: options.targets.ids, validCols: options.vocabSize, scale: options.scale });
  }

  async reduceGradients(parameters: readonly Parameter[]): Promise<ReducedGradients> {
    for (const parameter of parameters) {
      const { gradient, gradientFilled } = parameter;
      if (!gradientFilled) this.#backend.run("fill", { y: gradient.buffer, n: gradient.size, value: 0 });
      parameter.gradientFilled = true;
    }
    const whole = parameters.map((each) => [each, place(each.gradient, { copies: "invariant" })] as const);
    return new ReducedGradients(parameters, new Map(whole));
  }

  async gradientNormSquared({ parameters }: ReducedGradients, out: Tensor): Promise<void> {
    sumSquares(parameters, { copies: this.copies, out });
  }

  copies(): number {
    return 1;
  }

  async gatherLogits(
    logits: Tensor,
    options: { sequence: Sequence; vocabSize: number; last: boolean },
  ): Promise<Float32Array> {
    const { sequence, vocabSize, last } = options;
    using kept = keptRows(logits, { step: last ? sequence.tokens : 1, cols: vocabSize });
    return (await kept.read()) as Float32Array;
  }

  cache(options: CacheSpec): LayerCache[] {
    const shape = [options.batch, options.capacity, fusedWidth(options.shape)];
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

// A transformer on a layout: makes its weights, runs its forward pass, and gives its weights back as a checkpoint's.
// Gradients are the tape's business, updates the optimizer's.

import type { Backend } from "../backend/backend.ts";
import type { FloatType } from "../backend/buffer.ts";
import { invariant, UserError } from "../backend/errors.ts";
import type { Initial, LayerCache, Layout, ParameterSpec, Sequence } from "../parallel/layout.ts";
import { rotaryTable } from "../tensor/ops/attention.ts";
import { Ids } from "../tensor/ops/embedding.ts";
import { sumOverRows } from "../tensor/ops/rows.ts";
import type { Tape } from "../tensor/tape.ts";
import { constant, type Parameter, type Tensor } from "../tensor/tensor.ts";
import type { Architecture, DropoutRates, Pass } from "./architecture.ts";
import type { ModelConfig } from "./config.ts";
import { gpt2 } from "./gpt2.ts";
import { llama } from "./llama.ts";
import { exportWeight, importWeight } from "./weights.ts";

export type CheckpointTensors = Map<string, { shape: readonly number[]; data: Float32Array }>;

export interface ForwardOptions {
  /** token ids, row-major [batch, tokens] */
  tokens: Int32Array;
  sequence: Sequence;
  /** masks are a function of (seed, step); `rates` default to the config's */
  dropout?: { seed: number; step: number; rates?: DropoutRates };
  /** recompute each block in the backward instead of keeping its activations */
  recompute?: boolean;
  /** rows of logits in so many blocks, one after another, each computed again in the backward: for the loss alone, of batches that need no
   *  padding; 1 by default. Divides the rows that a rank holds */
  lossBlocks?: number;
  /** one entry a layer; sequence.offset tokens are in it already */
  cache?: readonly LayerCache[];
}

export class Model {
  readonly config: ModelConfig;
  readonly layout: Layout;
  readonly parameters: readonly Parameter[];
  readonly vocabSize: number;
  readonly maxPositions: number;
  readonly architecture: Architecture;
  /** how matrices and activations are stored; f16 has its f32 masters in its parameters */
  readonly dtype: FloatType;
  readonly #byName: ReadonlyMap<string, Parameter>;
  readonly #rotary: Tensor | undefined;

  /** Weights come from `weights` (Hugging Face's names and shapes), or are drawn from `seed`.
   *  @throws UserError when a weight is missing or misshapen */
  constructor(
    readonly backend: Backend,
    options: {
      config: ModelConfig;
      layout: Layout;
      seed: number;
      /** f32 when absent */
      dtype?: FloatType;
      weights?: ReadonlyMap<string, { shape: readonly number[]; data: ArrayLike<number> }>;
    },
  ) {
    const { config, weights } = options;
    this.config = config;
    this.dtype = options.dtype ?? "f32";
    this.layout = options.layout;
    this.architecture = config.model_type === "gpt2" ? gpt2(config) : llama(config);
    this.vocabSize = this.architecture.vocabSize;
    this.maxPositions = this.architecture.maxPositions;
    const specs = this.architecture.weights.map((weight, item): ParameterSpec => {
      const { name, shape, kind, start } = weight;
      const whole = { name, shape, kind, dtype: this.dtype };
      if (weights) return { ...whole, initial: { kind: "data", data: importWeight(weight, weights) } };
      const initial: Initial =
        "std" in start
          ? { kind: "normal", std: start.std, seed: options.seed, item }
          : { kind: "constant", value: start.constant };
      return { ...whole, initial };
    });
    const made: Parameter[] = [];
    try {
      for (const spec of specs) made.push(this.layout.parameter(spec));
      this.#rotary = this.#makeRotary();
    } catch (error) {
      // A device that runs out half-way gets back what it gave.
      for (const parameter of made) parameter.dispose();
      throw error;
    }
    this.parameters = made;
    this.#byName = new Map(this.parameters.map((parameter) => [parameter.name, parameter]));
  }

  #makeRotary(): Tensor | undefined {
    const { ropeTheta, heads, maxPositions } = this.architecture;
    if (ropeTheta === undefined) return undefined;
    const table = { positions: maxPositions, headWidth: heads.headWidth, theta: ropeTheta };
    // Its sines would take longer than all else that a simulated rank does.
    const data = this.backend.valueless ? undefined : rotaryTable(table);
    const shape = [maxPositions, heads.headWidth / 2, 2];
    return constant(this.backend, { shape, data, purpose: "weights", name: "rotary table" });
  }

  /** logits[B T, V], padding columns may follow.
   *  @throws UserError when the sequence is longer than the model's positions, or a token id is out of range */
  async logits(tape: Tape, options: ForwardOptions): Promise<Tensor> {
    const { pass, stream } = await this.#stream(tape, options);
    using last = stream;
    return await this.architecture.head(pass, last);
  }

  /** All blocks: what the head reads, [B T, D]. */
  async #stream(tape: Tape, options: ForwardOptions): Promise<{ pass: Pass; stream: Tensor }> {
    const { sequence, tokens } = options;
    const { architecture } = this;
    if (sequence.offset + sequence.tokens > this.maxPositions)
      throw new UserError(
        `a sequence of ${sequence.offset + sequence.tokens} tokens is longer than the model's ${this.maxPositions} positions; use a shorter context`,
      );
    invariant(tokens.length === sequence.batch * sequence.tokens, "tokens do not fill the sequence");
    const padded = this.#padded(tokens, sequence);
    const places = this.backend.valueless ? sharedPlaces(padded.length, sequence) : placesOf(padded.length, sequence);
    const ids = tape.keep(new Ids(this.backend, { ids: padded, limit: this.vocabSize }));
    const positions = tape.keep(new Ids(this.backend, { ids: places, limit: this.maxPositions, name: "position" }));
    const { dropout } = options;
    const pass: Pass = {
      layout: this.layout,
      tape,
      sequence,
      tokens: ids,
      positions,
      weight: (name) => {
        const parameter = this.#byName.get(name);
        if (!parameter) invariant(false, `the model has no weight ${name}`);
        return parameter;
      },
      bias: (name) => this.#byName.get(name),
      rotary: this.#rotary,
      cache: options.cache,
      dropout: dropout && { ...dropout, rates: dropout.rates ?? architecture.dropout },
    };
    let h = await architecture.embed(pass);
    for (let layer = 0; layer < architecture.layers; layer++) {
      const before = h;
      const block = (x: Tensor) => architecture.block(pass, x, layer);
      h = options.recompute ? await tape.checkpoint(before, block) : await block(before);
      before.dispose();
    }
    return { pass, stream: h };
  }

  /** scale * summed negative log likelihood of `targets`, [1]; scale 1/(B T) makes the mean, in nats a token. */
  async loss(tape: Tape, options: ForwardOptions & { targets: Int32Array; scale: number }): Promise<Tensor> {
    const { pass, stream } = await this.#stream(tape, options);
    using last = stream;
    const { vocabSize, layout, architecture } = this;
    const { scale, lossBlocks = 1 } = options;
    const padded = this.#padded(options.targets, options.sequence);
    const lossOf = async (x: Tensor, ids: Int32Array, rows: number): Promise<Tensor> => {
      using targets = new Ids(this.backend, { ids, limit: vocabSize, name: "target id" });
      using logits = await architecture.head(pass, x);
      return await layout.crossEntropy(logits, { targets, vocabSize, scale, rows });
    };
    if (lossBlocks === 1 || padded.length !== options.targets.length)
      return await lossOf(last, padded, options.targets.length);
    const held = last.shape[0];
    if (!Number.isInteger(lossBlocks) || held % lossBlocks !== 0)
      throw new UserError(`${held} rows of a rank do not divide into ${lossBlocks} blocks; use a divisor of ${held}`);
    const rows = held / lossBlocks;
    return await sumOverRows(last, {
      count: lossBlocks,
      block: (x, index) => {
        // The same rows of each block of rows that a rank holds.
        const ids = new Int32Array(padded.length / lossBlocks);
        for (let at = 0; at * held < padded.length; at++)
          ids.set(padded.subarray(at * held + index * rows, at * held + (index + 1) * rows), at * rows);
        return lossOf(x, ids, ids.length);
      },
    });
  }

  /** Ids with as many samples of token 0 behind them as the layout needs. */
  #padded(ids: Int32Array, sequence: Sequence): Int32Array {
    const samples = this.layout.paddedBatch(sequence);
    if (samples === sequence.batch) return ids;
    const padded = new Int32Array(samples * sequence.tokens);
    padded.set(ids);
    return padded;
  }

  /** Whole tensors under their checkpoint names: of the weights, or of what `select` takes from each (its gradient, a moment). Every
   *  rank calls it; with `to` that rank gets them, and the others an empty map. */
  async checkpoint(
    select: (parameter: Parameter) => Tensor = (parameter) => parameter.master ?? parameter,
    { to }: { to?: number } = {},
  ): Promise<CheckpointTensors> {
    const tensors: CheckpointTensors = new Map();
    for (const [index, weight] of this.architecture.weights.entries()) {
      const whole = await this.layout.gather(select(this.parameters[index]), weight, to);
      if (!whole) continue;
      for (const [name, tensor] of exportWeight(weight, whole)) tensors.set(name, tensor);
    }
    return tensors;
  }

  dispose(): void {
    for (const parameter of this.parameters) parameter.dispose();
    this.#rotary?.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Each token's position. */
function placesOf(length: number, { tokens, offset }: Sequence): Int32Array {
  const places = new Int32Array(length);
  for (let i = 0; i < length; i++) places[i] = offset + (i % tokens);
  return places;
}

let lastPlaces: { key: string; places: Int32Array } | undefined;

/** The same array for ranks of one simulation, none of which writes to it. */
function sharedPlaces(length: number, sequence: Sequence): Int32Array {
  const key = [length, sequence.tokens, sequence.offset].join();
  if (lastPlaces?.key !== key) lastPlaces = { key, places: placesOf(length, sequence) };
  return lastPlaces.places;
}

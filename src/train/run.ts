// A model under training: how it takes a step, how it is evaluated, what it writes. What comes when is the loop's (trainer.ts).

import type { DropoutRates } from "../nn/architecture.ts";
import type { Model } from "../nn/model.ts";
import { Tape } from "../tensor/tape.ts";
import { constant, type Tensor } from "../tensor/tensor.ts";
import type { Corpus, Split, Windows } from "./corpus.ts";
import { firstBadTensor } from "./diagnose.ts";
import { meanLoss } from "./evaluate.ts";
import type { DoneEvent, StepEvent, TokenEvent, TrainParameters } from "./events.ts";
import { generate } from "./generate.ts";
import { LossScale } from "./loss-scale.ts";
import { AdamW } from "./optimizer.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** PyTorch's default */
const eps = 1e-8;

/** Tokens of each split looked at when a run is ended early, and of the training split when the validation split is looked at whole:
 *  about those of nanoGPT's 20 batches; seconds on a slow device. */
const fewTokens = 16_384;

type StepResult = Pick<StepEvent, "loss" | "gradNorm" | "lossScale" | "skipped">;

/** What a checkpoint holds. */
export interface TrainingState {
  readonly model: Model;
  readonly optimizer: AdamW;
  readonly scale: LossScale | undefined;
}

export class Run {
  readonly #model: Model;
  readonly #parameters: TrainParameters;
  readonly #optimizer: AdamW;
  /** [2]: the step's loss, its squared gradient norm: read together, once a step */
  readonly #report: Tensor;
  readonly #rates: DropoutRates;
  /** where gradients are f16, stored or on their way, with the tensor [1] that backward starts from */
  readonly #scale: LossScale | undefined;
  readonly #seed: Tensor | undefined;

  constructor(model: Model, parameters: TrainParameters) {
    const { backend, layout, architecture } = model;
    const { beta1, beta2, weightDecay, clip, dropout } = parameters;
    this.#model = model;
    this.#parameters = parameters;
    this.#optimizer = new AdamW(backend, {
      beta1,
      beta2,
      eps,
      weightDecay,
      clip,
      layout,
      parameters: model.parameters,
    });
    this.#report = constant(backend, { shape: [2], purpose: "scratch", name: "step report" });
    if (model.dtype === "f16" || layout.wire === "f16") {
      this.#scale = new LossScale(parameters.lossScale);
      this.#seed = constant(backend, { shape: [1], purpose: "scratch", name: "loss scale" });
    }
    this.#rates = dropout > 0 ? { embedding: dropout, residual: dropout, attention: dropout } : architecture.dropout;
  }

  async #forward(tape: Tape, options: { corpus: Corpus; step: number; micro: number }): Promise<Tensor> {
    const { batch, context, accumulate, seed, recompute, lossBlocks } = this.#parameters;
    const { corpus, step, micro } = options;
    const windows = corpus.batch({ seed, batch, context, split: "train", step, micro });
    return this.#model.loss(tape, {
      tokens: windows.inputs,
      targets: windows.targets,
      sequence: { batch, tokens: context, offset: 0 },
      scale: 1 / (batch * context * accumulate),
      dropout: { seed, step: step * accumulate + micro, rates: this.#rates },
      recompute,
      lossBlocks,
    });
  }

  /** One optimizer step over the micro-batches' mean gradient. Waits for the device once, for the two numbers it returns. In f16 a gradient
   *  that overflowed changes nothing but the scale; when no scale is small enough it is the run that went wrong. */
  async step(corpus: Corpus, options: { step: number; learningRate: number }): Promise<StepResult> {
    const { backend } = this.#model;
    const report = this.#report.buffer;
    const lossScale = this.#scale?.value ?? 1;
    if (this.#seed) backend.run("fill", { y: this.#seed.buffer, n: 1, value: lossScale });
    for (let micro = 0; micro < this.#parameters.accumulate; micro++) {
      using tape = new Tape(backend, { recording: true });
      const loss = await this.#forward(tape, { corpus, step: options.step, micro });
      if (micro === 0) backend.run("scale", { x: loss.buffer, y: report, n: 1, alpha: 1 });
      else backend.run("axpy", { x: loss.buffer, y: report, n: 1, alpha: 1 });
      await tape.backward(loss, this.#seed);
    }
    const gradients = await this.#model.layout.reduceGradients(this.#model.parameters);
    await this.#optimizer.step({ gradients, learningRate: options.learningRate, lossScale });
    backend.run("copy", {
      x: this.#optimizer.normSquared.buffer,
      y: report,
      shape: [1, 1, 1, 1],
      xStrides: [0, 0, 0, 1],
      yStrides: [0, 0, 0, 1],
      xOffset: 0,
      yOffset: 1,
    });
    const [loss, normSquared] = await this.#report.read();
    const gradNorm = Math.sqrt(normSquared) / lossScale;
    if (!this.#scale || !Number.isFinite(loss)) return { loss, gradNorm };
    const finite = Number.isFinite(gradNorm);
    if (!this.#scale.next(finite) || finite) return { loss, gradNorm, lossScale };
    this.#optimizer.forgetStep();
    return { loss, gradNorm: Number.POSITIVE_INFINITY, lossScale, skipped: true };
  }

  /** What its later steps depend on, beside its parameters and its text. */
  get state(): TrainingState {
    return { model: this.#model, optimizer: this.#optimizer, scale: this.#scale };
  }

  get scaling(): Pick<DoneEvent, "skippedSteps" | "lossScale"> {
    return this.#scale ? { skippedSteps: this.#scale.skipped, lossScale: this.#scale.value } : {};
  }

  /** The first tensor of a step that is not finite. AdamW left the weights as they were, so the step can be run again. */
  async diagnose(corpus: Corpus, step: number): Promise<string> {
    for (let micro = 0; micro < this.#parameters.accumulate; micro++) {
      const bad = await firstBadTensor(this.#model, (tape) => this.#forward(tape, { corpus, step, micro }));
      if (bad) return bad;
    }
    return "the gradient norm";
  }

  /** Batches of an evaluation that has to be short. */
  get fewBatches(): number {
    return Math.max(1, Math.round(fewTokens / (this.#parameters.batch * this.#parameters.context)));
  }

  async evaluate(corpus: Corpus, batches: number): Promise<{ trainLoss: number; validationLoss: number }> {
    const train = this.#drawMany(corpus, { split: "train", batches: batches || this.fewBatches });
    return { trainLoss: await this.#mean(train), validationLoss: await this.validationLoss(corpus, batches) };
  }

  /** Over `batches` random batches, or exactly, over every whole window, when 0. */
  validationLoss(corpus: Corpus, batches: number): Promise<number> {
    return this.#mean(
      batches === 0 ? corpus.windows("validation") : this.#drawMany(corpus, { split: "validation", batches }),
    );
  }

  #mean(windows: Windows): Promise<number> {
    const { context, batch, lossBlocks } = this.#parameters;
    return meanLoss(this.#model, { windows, context, batch, lossBlocks });
  }

  /** The same batches at every evaluation: evaluations differ by the weights alone. */
  #drawMany(corpus: Corpus, options: { split: Split; batches: number }): Windows {
    const { seed, batch, context } = this.#parameters;
    const { split, batches } = options;
    // A step number no training step reaches: evaluation never looks at the batch just trained on.
    return corpus.batch({ seed, step: 0xffffffff, batch: batch * batches, context, split });
  }

  /** Returns the text that follows the validation split's first token; ends early when `signal` comes in the middle of it. */
  async *sample(
    tokenizer: Tokenizer,
    options: { corpus: Corpus; tokens: number; signal?: AbortSignal },
  ): AsyncGenerator<TokenEvent, string> {
    const { seed } = this.#parameters;
    const { backend } = this.#model;
    const prompt = options.corpus.tokens.validation.slice(0, 1);
    const tokens: number[] = [];
    const sampling = { temperature: 0.8, topK: 0, topP: 0.95, seed };
    let whole: boolean | undefined;
    for await (const token of generate(this.#model, { prompt, tokens: options.tokens, ...sampling })) {
      tokens.push(token);
      await backend.tune?.();
      yield { event: "token", token };
      // Ranks go on from an event together, so that all of them see the same signal here, and nowhere else. A run that was to end
      // before ends with its sample.
      whole ??= options.signal?.aborted ?? false;
      if (!whole && options.signal?.aborted) break;
    }
    return tokenizer.decode([...prompt, ...tokens]);
  }

  [Symbol.dispose](): void {
    this.#optimizer.dispose();
    this.#report.dispose();
    this.#seed?.dispose();
  }
}

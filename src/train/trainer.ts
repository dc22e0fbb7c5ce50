// The training loop: batches in, events out. Knows nothing of ranks (the layout does), of files or of terminals.

import type { Backend } from "../backend/backend.ts";
import { UserError } from "../backend/errors.ts";
import type { Ledger } from "../comm/ledger.ts";
import { type ModelConfig, parameterCount } from "../nn/config.ts";
import { Model } from "../nn/model.ts";
import type { Layout } from "../parallel/layout.ts";
import { Serial } from "../parallel/serial.ts";
import type { TrainControls } from "./controls.ts";
import type { Corpus } from "./corpus.ts";
import { DivergedError, type TrainEvent, type TrainParameters } from "./events.ts";
import { availableType } from "./precision.ts";
import { Run } from "./run.ts";
import { learningRateAt } from "./schedule.ts";
import type { Tokenizer } from "./tokenizer.ts";

export interface TrainOptions {
  backend: Backend;
  config: ModelConfig;
  tokenizer: Tokenizer;
  corpus: Corpus;
  parameters: TrainParameters;
  /** ends the run after the step under way, with what it has; or the sample, when that is what is under way */
  signal?: AbortSignal;
  /** what is asked of the run while it goes */
  controls?: TrainControls;
  /** A checkpoint's bytes: the run goes on behind its step, with the model it was saved of, whatever mesh that was on. On the same mesh and
   *  backend, with the same parameters and text, every step has the bits it would have had. */
  resume?: Uint8Array;
  /** defaults to one rank that holds everything */
  layout?: Layout;
  /** told which step its messages belong to: from 1; 0 for those of evaluations and samples */
  ledger?: Ledger;
}

/** Most runs need none. */
const checkpoints = () => import("./checkpoint.ts");

/** A training run on one text. The device's memory is free again when the generator ends, however it ends.
 *  @throws UserError when model, text and parameters do not fit each other, or controls ask for a trace, which trainOnMesh gives, on one
 *  rank too, or when what is resumed is no intact checkpoint of this model and tokenizer; DivergedError when the loss or a gradient is no longer finite */
export async function* train(options: TrainOptions): AsyncGenerator<TrainEvent> {
  const { backend, config, parameters, corpus, tokenizer, signal, controls } = options;
  checkFit(options);
  const layout = options.layout ?? new Serial(backend);
  const { dtype, note: dtypeNote } = availableType(backend, parameters.dtype ?? "f32");
  const saved =
    options.resume && (await checkpoints()).openCheckpoint(options.resume, { config, tokenizer, parameters });
  const weights = saved?.weightsAs(dtype);
  using model = new Model(backend, { config, layout, seed: parameters.seed, dtype, weights });
  using run = new Run(model, parameters);
  saved?.restore(run.state);
  const tokensPerStep = parameters.batch * parameters.context * parameters.accumulate;
  const started = performance.now();
  yield {
    event: "start",
    parameters,
    parameterCount: parameterCount(config),
    backend: backend.name,
    adapter: backend.adapter.description,
    dtype,
    ...(dtypeNote === undefined ? {} : { dtypeNote }),
    tokensPerStep,
    ...(saved && { resumedAt: saved.step }),
  };

  let done = saved?.step ?? 0;
  const sample = async function* (tokens: number): AsyncGenerator<TrainEvent> {
    const text = yield* run.sample(tokenizer, { corpus, tokens, signal });
    yield { event: "sample", step: done, text };
  };
  /** What was asked for since the step before. */
  const attend = async function* (): AsyncGenerator<TrainEvent> {
    if (controls?.take("trace"))
      throw new UserError("train alone makes no timelines; use trainOnMesh, on one rank with the serial layout");
    if (controls?.take("checkpoint")) {
      const bytes = await (await checkpoints()).saveCheckpoint(run.state, { step: done, parameters, tokenizer });
      yield { event: "checkpoint", step: done, bytes };
    }
    const tokens = controls?.take("sample");
    if (tokens) yield* sample(tokens);
  };
  while (done < parameters.steps && !signal?.aborted) {
    const stepStarted = performance.now();
    const learningRate = learningRateAt(done, parameters) * (controls?.learningRateFactor ?? 1);
    if (options.ledger) options.ledger.step = done + 1;
    const result = await run.step(corpus, { step: done, learningRate });
    if (options.ledger) options.ledger.step = 0;
    if (!Number.isFinite(result.loss) || !(Number.isFinite(result.gradNorm) || result.skipped))
      throw new DivergedError({
        step: done + 1,
        learningRate,
        tensor: await run.diagnose(corpus, done),
        dtype,
        wire: layout.wire,
      });
    done++;
    const durationMs = performance.now() - stepStarted;
    const tokensPerSecond = (tokensPerStep / durationMs) * 1000;
    await backend.tune?.();
    const memoryBytes = backend.memory.total;
    yield { event: "step", step: done, ...result, learningRate, tokensPerSecond, durationMs, memoryBytes };
    yield* attend();
    if (parameters.evalEvery > 0 && done % parameters.evalEvery === 0 && done < parameters.steps) {
      const losses = await run.evaluate(corpus, parameters.evalBatches);
      await backend.tune?.();
      yield { event: "eval", step: done, ...losses };
    }
  }

  const early = done < parameters.steps;
  const last = await run.evaluate(corpus, early ? run.fewBatches : parameters.evalBatches);
  yield { event: "eval", step: done, ...last };
  const validationLoss =
    early || parameters.evalBatches === 0 ? last.validationLoss : await run.validationLoss(corpus, 0);
  if (parameters.sampleTokens > 0) yield* sample(parameters.sampleTokens);
  yield* attend();
  yield {
    event: "done",
    steps: done,
    validationLoss,
    peakBytes: backend.memory.peak,
    durationMs: performance.now() - started,
    ...run.scaling,
  };
}

function checkFit({ config, corpus, tokenizer, parameters }: TrainOptions): void {
  if (tokenizer.vocabSize !== config.vocab_size)
    throw new UserError(
      `the tokenizer has ${tokenizer.vocabSize} tokens, the config's vocab_size is ${config.vocab_size}; make them equal`,
    );
  if (corpus.context !== parameters.context)
    throw new UserError(
      `the corpus was cut for a context of ${corpus.context}, the run asks for ${parameters.context}; make them equal`,
    );
}

// What a training run is asked for and what it reports: plain data, one JSON object an event.
// Shared by the trainer that yields them and by whoever shows them; computes nothing.

import type { Backend } from "../backend/backend.ts";
import type { FloatType } from "../backend/buffer.ts";
import type { BytesByPurpose } from "../backend/memory.ts";
import type { Timeline } from "../trace/timeline.ts";

/** Everything a run needs beside the model, the text and the backend. */
export interface TrainParameters {
  /** sequences in one micro-batch */
  batch: number;
  /** tokens in one sequence */
  context: number;
  /** optimizer steps */
  steps: number;
  learningRate: number;
  /** where the cosine decay ends */
  minLearningRate: number;
  /** steps of linear warm-up */
  warmup: number;
  beta1: number;
  beta2: number;
  /** on every matrix, embeddings included; never on vectors */
  weightDecay: number;
  /** largest global L2 norm of the gradient; 0: no clipping */
  clip: number;
  /** probability of dropping, in [0, 1) */
  dropout: number;
  /** micro-batches added up before a step */
  accumulate: number;
  /** computes a block's activations again in its backward instead of keeping them */
  recompute: boolean;
  /** rows of logits in so many blocks, of which one exists at a time; 1 when absent */
  lossBlocks?: number;
  /** how matrices and activations are stored where the device has it; f32 when absent. Sums, masters of weights and moments are f32. */
  dtype?: FloatType;
  /** how f32 travels between ranks; f32 when absent. f16: half the bytes of activations, weights and gradients, which round on their way */
  wire?: FloatType;
  /** where either is f16: what the loss's gradient is multiplied by at first, a power of two; 65536 when absent */
  lossScale?: number;
  seed: number;
  /** steps between evaluations; 0: only at the end */
  evalEvery: number;
  /** batches of an evaluation; 0: every whole window of the validation split */
  evalBatches: number;
  /** tokens generated at the end; 0: none */
  sampleTokens: number;
}

export type TrainEvent =
  | StartEvent
  | StepEvent
  | EvalEvent
  | TokenEvent
  | SampleEvent
  | CheckpointEvent
  | TimelineEvent
  | DoneEvent;

export interface StartEvent {
  event: "start";
  parameters: TrainParameters;
  /** trainable numbers in the model */
  parameterCount: number;
  backend: Backend["name"];
  /** one line a person understands */
  adapter: string;
  /** how matrices and activations are stored */
  dtype: FloatType;
  /** why that is not what was asked for */
  dtypeNote?: string;
  /** batch * context * accumulate */
  tokensPerStep: number;
  /** of a resumed run: steps finished before, which its steps are counted on from */
  resumedAt?: number;
  /** how ranks share the work; absent when one does all */
  mesh?: { layout: string; dims: readonly number[] };
}

export interface StepEvent {
  event: "step";
  /** counted from 1: steps finished */
  step: number;
  /** mean cross-entropy of the step's batch before its update, nats a token */
  loss: number;
  /** global L2 norm of the gradient before clipping; infinite in a skipped step */
  gradNorm: number;
  /** the one used: the schedule's, times the factor of controls */
  learningRate: number;
  /** in f16: what the loss's gradient was multiplied by */
  lossScale?: number;
  /** in f16: the gradient overflowed and changed nothing, the next step has half the scale */
  skipped?: true;
  tokensPerSecond: number;
  durationMs: number;
  /** held after the step, of all ranks together */
  memoryBytes: number;
  /** on a mesh: bytes each rank received in this step, counted */
  bytesReceived?: readonly number[];
  /** on a mesh: the same by the closed form */
  closedFormBytes?: readonly number[];
  /** of a watched run: bytes[from][to] of this step */
  traffic?: readonly (readonly number[])[];
  /** of a watched run: what each rank holds after the step, as if it had a device to itself */
  ranks?: readonly { memory: BytesByPurpose & { total: number } }[];
}

export interface EvalEvent {
  event: "eval";
  /** steps finished */
  step: number;
  /** nats a token */
  trainLoss: number;
  validationLoss: number;
}

/** One more token of the sample that follows. */
export interface TokenEvent {
  event: "token";
  token: number;
}

/** What the model writes: at the end of a run, or when it was asked for. */
export interface SampleEvent {
  event: "sample";
  /** steps finished */
  step: number;
  text: string;
}

/** All that a run needs to go on from here, of all ranks together. */
export interface CheckpointEvent {
  event: "checkpoint";
  /** steps finished */
  step: number;
  /** a safetensors file */
  bytes: Uint8Array;
}

/** What ranks did when, in the steps of a trace that was asked for. Ranks that are not on one machine have clocks that differ. */
export interface TimelineEvent {
  event: "timeline";
  /** the first step, counted from 1 */
  from: number;
  /** the last one: earlier than asked for when the run ended before */
  to: number;
  timeline: Timeline;
}

export interface DoneEvent {
  event: "done";
  /** steps finished, those before it was resumed too: fewer than asked for when the run was ended early */
  steps: number;
  validationLoss: number;
  /** of all ranks together, when they share a device */
  peakBytes: BytesByPurpose & { total: number };
  durationMs: number;
  /** in f16: steps whose gradient overflowed, and the scale at the end */
  skippedSteps?: number;
  lossScale?: number;
  /** on a mesh: what each rank held, as if it had a device to itself */
  ranks?: readonly { peakBytes: BytesByPurpose & { total: number } }[];
  /** on a mesh: bytes[from][to] of all training steps */
  traffic?: readonly (readonly number[])[];
  /** on a mesh whose ranks share no memory: all bytes of tensors that crossed, evaluations included, and those beside them */
  sent?: { elementBytes: number; overheadBytes: number };
}

/** The loss or a gradient stopped being a finite number. */
export class DivergedError extends Error {
  override name = "DivergedError";
  /** counted from 1, like a step event's */
  readonly step: number;
  readonly learningRate: number;
  /** "loss", "gradient norm", or the weight where it was first seen */
  readonly tensor: string;
  constructor(at: { step: number; learningRate: number; tensor: string; dtype: FloatType; wire?: FloatType }) {
    const { step, learningRate, tensor, dtype, wire } = at;
    const wider = `${dtype === "f16" ? ", or --dtype f32" : ""}${wire === "f16" ? ", or --wire f32" : ""}`;
    super(
      `the run diverged at step ${step}: ${tensor} is no longer a finite number at learning rate ${learningRate}; use a smaller --lr, a longer --warmup or a smaller --clip${wider}`,
    );
    this.step = step;
    this.learningRate = learningRate;
    this.tensor = tensor;
  }
}

/** The files of a reference run, as bytes. */
export interface ReferenceFiles {
  config: Uint8Array;
  weights: Uint8Array;
  batch: Uint8Array;
  expected: Uint8Array;
  losses: Uint8Array;
}

/** A relative L2 error |got - expected| / |expected| and the tensor that has it. */
export interface WorstError {
  worst: number;
  name: string;
}

/** Errors of a replayed reference run. */
export interface VerifyResult {
  /** relative L2 error of the first step's logits */
  logits: number;
  grad: WorstError;
  /** relative error of each step's loss */
  loss: number[];
  /** largest relative error of a step's gradient norm */
  gradNorm: number;
  after: WorstError;
  pass: boolean;
}

/** Largest errors of a replayed reference run. */
export interface Tolerances {
  logits: number;
  grad: number;
  /** of the first loss, and of the later ones where they have no limit of their own */
  loss: number;
  laterLosses?: number;
  /** of the final weights */
  after: number;
}

/** Those a float32 engine may show against a float64 reference: about 20 times those of PyTorch's own float32 on gradients and losses, 10
 *  on logits, 18 on final weights. */
export const verifyTolerances = { logits: 5e-6, grad: 2e-5, loss: 5e-6, after: 2e-4 } as const;

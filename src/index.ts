// The public API: the parts that train on one device. What needs a mesh is in parallel.ts; everything else is inside and may change.
// For programs whose own library knows no `using`:
/// <reference lib="esnext.disposable" preserve="true" />

export type { AdapterInfo, Backend } from "./backend/backend.ts";
export type { DeviceBuffer, DType, FloatType } from "./backend/buffer.ts";
export {
  DeviceError,
  DeviceLostError,
  OutOfMemoryError,
  UserError,
  ValidationError,
} from "./backend/errors.ts";
export type { BytesByPurpose, Purpose } from "./backend/memory.ts";
export { type BackendOptions, createBackend, listAdapters } from "./backend/select.ts";
export type { TuningTable } from "./backend/webgpu/tuning/table.ts";
export { type ModelConfig, parameterCount, parseModelConfig } from "./nn/config.ts";
export { trainingBytes } from "./nn/footprint.ts";
export { type ForwardOptions, Model } from "./nn/model.ts";
export type { Layout } from "./parallel/layout.ts";
export { Serial } from "./parallel/serial.ts";
export { attention, rotary, rotaryTable } from "./tensor/ops/attention.ts";
export { add, dropout, gelu, scale, siluGate } from "./tensor/ops/elementwise.ts";
export { embedding, Ids } from "./tensor/ops/embedding.ts";
export { crossEntropy } from "./tensor/ops/loss.ts";
export { norm } from "./tensor/ops/norm.ts";
export { matmul } from "./tensor/ops/products.ts";
export { philox, uniform } from "./tensor/random.ts";
export { Tape } from "./tensor/tape.ts";
export { constant, Parameter, Tensor } from "./tensor/tensor.ts";
export { TrainControls } from "./train/controls.ts";
export { type Corpus, makeCorpus, textFromBytes } from "./train/corpus.ts";
export { meanLoss } from "./train/evaluate.ts";
export {
  DivergedError,
  type Tolerances,
  type TrainEvent,
  type TrainParameters,
  type VerifyResult,
  verifyTolerances,
} from "./train/events.ts";
export { generate, sampleToken } from "./train/generate.ts";
export { LossScale } from "./train/loss-scale.ts";
export { AdamW } from "./train/optimizer.ts";
export { verifyReference } from "./train/reference.ts";
export { readSafetensors, writeSafetensors } from "./train/safetensors.ts";
export { learningRateAt } from "./train/schedule.ts";
export { byteTokenizer, charTokenizer, type Tokenizer } from "./train/tokenizer.ts";
export { train } from "./train/trainer.ts";

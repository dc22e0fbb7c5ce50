// The public API of devices that are not there, `shardgrad/plan`: one training step in time, traffic and memory; how it scales; which layout
// fits. Runs in pages too, in the thread that calls it: give it a worker.
// For programs whose own library knows no `using`:
/// <reference lib="esnext.disposable" preserve="true" />

export type { FloatType } from "./backend/buffer.ts";
export { UserError } from "./backend/errors.ts";
export type { BytesByPurpose, Purpose } from "./backend/memory.ts";
export { type ModelConfig, parameterCount, parseModelConfig } from "./nn/config.ts";
export { shardedExtents } from "./nn/extents.ts";
export { modelFlops } from "./nn/flops.ts";
export { trainingBytes } from "./nn/footprint.ts";
export { type Traffic, totalCount, trainingTraffic } from "./nn/traffic.ts";
export {
  type LayoutName,
  layoutNames,
  type MeshShape,
  maxRanks,
  meshShape,
  parseMesh,
  requireLegal,
  shapesOf,
} from "./parallel/shape.ts";
export { type LevelChanges, type ProfileChanges, withChanges } from "./plan/changes.ts";
export type { DeviceTimes } from "./plan/device.ts";
export { type Distribution, distributionOf, histogramOf } from "./plan/distribution.ts";
export type { DegradedLink, Faults } from "./plan/faults.ts";
export { deviceBytes, type SimulatedStep, type StepFigures, type StepRun } from "./plan/figures.ts";
export type { ProductKernel, ProductToRead } from "./plan/kernel-text.ts";
export type { PlanLoss } from "./plan/losses.ts";
export { kernelSeconds } from "./plan/machine.ts";
export type { StepParts, StepSplit } from "./plan/parts.ts";
export { productKernel } from "./plan/product-kernel.ts";
export {
  type DeviceProfile,
  type NetworkLevel,
  type ProductRate,
  type Profile,
  parseProfile,
} from "./plan/profile.ts";
export { networkNames, profileNamed, profileNames } from "./plan/profiles.ts";
export type { SimulationProgress, TellProgress } from "./plan/progress.ts";
export { countOrigins, type Origin, type Quantity, visitQuantities } from "./plan/quantity.ts";
export { parametersOf as stepParameters, type StepToRecord } from "./plan/record-step.ts";
export { type Growth, growths, type ScaleProblem, type ScaleRefusal, type ScaleRow, scale } from "./plan/scale.ts";
export { nothingLegal, type PlanChoice, type PlanResult, searchPlan } from "./plan/search.ts";
export type { PlanProblem, PlanRefusal } from "./plan/shape-search.ts";
export {
  type ProductSpan,
  type ProductToSimulate,
  type SimulatedProduct,
  simulateProduct,
} from "./plan/simulate-product.ts";
export { type FiguredStep, replayStep, type SimulatedDevices, simulateStep } from "./plan/simulate-step.ts";
export { chromeTrace } from "./trace/chrome.ts";
export type { Level, Slice, Timeline } from "./trace/timeline.ts";
export type { TrainParameters } from "./train/events.ts";

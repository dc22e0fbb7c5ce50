// The public API of meshes, `shardgrad/parallel`: links, collectives, placements, layouts, products and training on many ranks.
// For programs whose own library knows no `using`:
/// <reference lib="esnext.disposable" preserve="true" />

export { type MeshTrainOptions, trainOnMesh, verifyOnMesh } from "./cluster/launch.ts";
export { measureProduct, type ProductResult } from "./cluster/matmul.ts";
export type { ProductError } from "./cluster/product-check.ts";
export type { ProductRun, Timing } from "./cluster/product-rank.ts";
export type { Along, BlockRange, ProductMessage, WatchedRank } from "./cluster/product-watch.ts";
export type { RankContext, RankProgram, Reply } from "./cluster/rank.ts";
export { loopbackRanks, type Ranks, type Run } from "./cluster/ranks.ts";
export { joinRoom } from "./cluster/rendezvous/client.ts";
export type { JoinOptions, RoomClient, RoomEvents, Start } from "./cluster/rendezvous/membership.ts";
export {
  type PartListener,
  type PartStart,
  planned as plannedTraining,
  type RoomTraining,
  takePart,
} from "./cluster/take-part.ts";
export { portTo } from "./cluster/webrtc-pipes.ts";
export { type WorkerOptions, workerRanks } from "./cluster/workers.ts";
export type { Channel, ChannelListener } from "./comm/channel.ts";
export type { IceOptions, IceServer } from "./comm/ice.ts";
export { bytesReceived, Ledger, type LedgerEntry, totals, trafficMatrix } from "./comm/ledger.ts";
export { CommunicationError, type Link } from "./comm/link.ts";
export { type Rank, runRanks } from "./comm/loopback.ts";
export { MessagePortChannel } from "./comm/message-port.ts";
export { ProcessGroup } from "./comm/process-group.ts";
export { RemoteLink, type RemoteOptions } from "./comm/remote.ts";
export { type ConnectOptions, connectRanks, releaseWebRtc, type Signalling } from "./comm/webrtc.ts";
export { shardedExtents } from "./nn/extents.ts";
export { trainingTraffic } from "./nn/traffic.ts";
export { lowerBound, score } from "./parallel/bound.ts";
export { collect, distribute } from "./parallel/distribute.ts";
export { product } from "./parallel/matmul.ts";
export {
  type Form,
  type GridMesh,
  gridMesh,
  type LineMesh,
  lineMesh,
  operands,
  type ProductMesh,
  type ProductSize,
} from "./parallel/operands.ts";
export { type Placed, type Placements, place, setPlacementChecks } from "./parallel/placement.ts";
export { productReceived, replicationWords } from "./parallel/product-volume.ts";
export {
  allGather,
  allReduce,
  allToAll,
  gradientOf,
  meshAxis,
  reduceScatter,
  replicate,
  split,
  sumGradient,
} from "./parallel/redistribute.ts";
export { createLayout, type MeshShape, meshShape, parseMesh, requireLegal, shapesOf } from "./parallel/shape.ts";
export { chromeTrace } from "./trace/chrome.ts";
export { overlap } from "./trace/overlap.ts";
export type { Level, Slice, Timeline } from "./trace/timeline.ts";
export { type CheckpointHead, readCheckpoint } from "./train/checkpoint.ts";

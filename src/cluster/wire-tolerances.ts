// What a replayed reference run may be off by where f32 travels as f16: from the number of roundings that a value passes.

import { roundings } from "../comm/algorithms.ts";
import { layersOf, type ModelConfig, type RunConfig } from "../nn/config.ts";
import { shardedExtents } from "../nn/extents.ts";
import { isGrid, type MeshExtents } from "../parallel/volume.ts";
import { type Tolerances, verifyTolerances } from "../train/events.ts";

/** Unit roundoff of f16. */
const unit = 2 ** -11;

/** Limits for a reference run on ranks of that mesh.
 *
 *  A rounding to nearest changes a value by at most 2^-11 of it, by 2^-11 / sqrt(3) in the mean square; n that know nothing of each other
 *  by sqrt(n) times that, if what lies between them neither damps nor amplifies. Three times as much is the limit, sqrt(3 n) 2^-11, on top
 *  of twice one rank's. (Higham & Mary, "A New Approach to Probabilistic Rounding Error Analysis", 2019.) The first loss is held to its logits'. What
 *  AdamW makes of the gradients is held to nothing: it divides each by its own size, so near zero a rounding decides a whole step. */
export function wireTolerances(shape: MeshExtents, model: { config: ModelConfig; run: RunConfig }): Tolerances {
  const { config, run } = model;
  const layers = layersOf(config);
  const words = run.batch * run.seq * shardedExtents(config).width;
  const { forward, backward, gradient } = (isGrid(shape) ? gridRoundings : lineRoundings)(shape, { layers, words });
  const limit = (count: number) => Math.sqrt(3 * count) * unit;
  const none = Number.POSITIVE_INFINITY;
  return {
    logits: 2 * verifyTolerances.logits + limit(forward),
    grad: 2 * verifyTolerances.grad + limit(forward + backward + gradient),
    loss: 2 * verifyTolerances.loss + limit(forward),
    laterLosses: none,
    after: none,
  };
}

/** Of a value on its way to the logits, of a gradient on its way back, and of a weight's gradient beyond its factors'. */
interface Roundings {
  forward: number;
  backward: number;
  gradient: number;
}

/** words: of the activations. Linears of a layer, one behind the other: to fused heads and back, up and down. */
type Run = { layers: number; words: number };
const linearsPerLayer = 4;

function gridRoundings({ q, d }: MeshExtents, { layers, words }: Run): Roundings {
  const factor = roundings("broadcast", { size: q, words });
  const sum = roundings("reduce", { size: q, words });
  const [ab, abt] = [2 * factor, factor + sum];
  return {
    // embedding, linears, head
    forward: sum + layers * linearsPerLayer * ab + abt,
    backward: ab + layers * linearsPerLayer * abt,
    gradient: factor + sum + roundings("allReduce", { size: d, words }),
  };
}

function lineRoundings({ layout, size }: MeshExtents, { layers, words }: Run): Roundings {
  if (layout !== "1d-sp") {
    // Of every second linear the result is summed, of the others the gradient.
    const sums = (1 + 2 * layers) * roundings("allReduce", { size, words });
    return { forward: sums, backward: sums, gradient: 0 };
  }
  const scatter = roundings("reduceScatter", { size, words });
  const gather = roundings("allGather", { size, words });
  const layersLong = 2 * layers * (scatter + gather);
  return { forward: scatter + layersLong + gather, backward: scatter + layersLong, gradient: gather };
}

// Why a way to train is slower than another: what its simulated step spends more on, and what comes of what it computes and sends.

import type { ModelConfig } from "../nn/config.ts";
import { trainingTraffic } from "../nn/traffic.ts";
import { isGrid } from "../parallel/volume.ts";
import type { TrainParameters } from "../train/events.ts";
import type { PlanWay } from "./shape-search.ts";
import { bytesText, percentText, secondsText } from "./units.ts";

/** Seconds of a step more than the best's, for as many tokens; below 0 what it has less of. Computing, exposed and idle add up to all, and
 *  the last three to computing. */
export interface PlanLoss {
  readonly seconds: number;
  readonly computingSeconds: number;
  readonly exposedSeconds: number;
  readonly idleSeconds: number;
  /** of computing: more arithmetic of products, at the best's rate */
  readonly moreProductsSeconds: number;
  /** of computing: its products at their own rate */
  readonly slowerProductsSeconds: number;
  /** of computing: kernels that are no products */
  readonly otherKernelsSeconds: number;
}

export function lossOf(choice: PlanWay, best: PlanWay): PlanLoss {
  const alike = best.batch / choice.batch;
  const more = (of: (parts: PlanWay["parts"]) => number) => alike * of(choice.parts) - of(best.parts);
  const moreFlops = more(({ productFlops }) => productFlops);
  const moreProductsSeconds = (moreFlops * best.parts.productSeconds) / best.parts.productFlops;
  return {
    seconds: more(({ seconds }) => seconds),
    computingSeconds: more(({ computingSeconds }) => computingSeconds),
    exposedSeconds: more(({ exposedSeconds }) => exposedSeconds),
    idleSeconds: more(({ idleSeconds }) => idleSeconds),
    moreProductsSeconds,
    slowerProductsSeconds: more(({ productSeconds }) => productSeconds) - moreProductsSeconds,
    otherKernelsSeconds: more(({ otherSeconds }) => otherSeconds),
  };
}

/** A second reason is told where it is at least such a part of the first. */
const worthTelling = 0.25;

/** What a choice loses against the best, in a sentence. run: but for batch, accumulate and recompute
 *  e.g. "4 micro-batches send weights 4 times: 0.81 s more exposed communication" */
export function whySlower(
  choice: PlanWay,
  { best, config, parameters }: { best: PlanWay; config: ModelConfig; parameters: TrainParameters },
): string {
  const loss = lossOf(choice, best);
  const { computingSeconds, exposedSeconds, idleSeconds } = loss;
  const reasons = [
    {
      seconds: computingSeconds,
      text: () => `${computingCause(choice, { best, loss })}${more(computingSeconds)} computing`,
    },
    {
      seconds: exposedSeconds,
      text: () => `${exposedCause(choice, { best, config, parameters })}${more(exposedSeconds)} exposed communication`,
    },
    { seconds: idleSeconds, text: () => `${more(idleSeconds)} idle` },
  ].sort((a, b) => b.seconds - a.seconds);
  const [{ seconds: most }] = reasons;
  // Of times that differ by rounding there is nothing to tell.
  if (most <= 1e-6 * best.parts.seconds) return "it takes as long";
  const told = reasons.filter(({ seconds }) => seconds > worthTelling * most).map(({ text }) => text());
  return `${choice.batch === best.batch ? "" : "for as many tokens, "}${told.join("; ")}`;
}

const more = (seconds: number): string => `${secondsText(seconds, { digits: 2 })} more`;

function computingCause(
  { recompute, parts, batch }: PlanWay,
  { best, loss }: { best: PlanWay; loss: PlanLoss },
): string {
  const { moreProductsSeconds, slowerProductsSeconds, otherKernelsSeconds } = loss;
  const most = Math.max(moreProductsSeconds, slowerProductsSeconds, otherKernelsSeconds);
  if (most === moreProductsSeconds) return recompute && !best.recompute ? "blocks computed again: " : "more products: ";
  if (most === slowerProductsSeconds) {
    const rate = (of: PlanWay["parts"]) => of.productFlops / of.productSeconds;
    return `smaller products at ${percentText(rate(parts) / rate(best.parts))} of the best's rate: `;
  }
  const times = ((best.batch / batch) * parts.otherSeconds) / best.parts.otherSeconds;
  return `kernels that are no products take ${times.toFixed(1)} times as long: `;
}

function exposedCause(
  choice: PlanWay,
  { best, config, parameters }: { best: PlanWay; config: ModelConfig; parameters: TrainParameters },
): string {
  const received = ({ shape, batch, recompute }: PlanWay, accumulate: number): number => {
    const run = { ...parameters, shape, batch: batch / accumulate, accumulate, recompute };
    return (best.batch / batch) * Math.max(...trainingTraffic(config, run).bytesReceived);
  };
  const [own, others] = [received(choice, choice.accumulate), received(best, best.accumulate)];
  // A grid sends weights with every micro-batch.
  const again = isGrid(choice.shape) ? own - received(choice, 1) : 0;
  if (choice.accumulate > best.accumulate && again > (own - others) / 2)
    return `${choice.accumulate} micro-batches send weights ${choice.accumulate} times: `;
  return own > 1.05 * others ? `a rank receives ${bytesText(own)}, not ${bytesText(others)}: ` : "";
}

// What a step's time is made of, in numbers that add up over blocks and micro-batches.

import { kernelOp, type StepProgram } from "./program.ts";
import type { Machine, Replay } from "./replay.ts";

/** How a device spends a step, in the mean of all, in seconds: computing, exposed and idle add up to the step. */
export interface StepSplit {
  /** a kernel runs, whether or not a message is under way */
  readonly computingSeconds: number;
  /** the part of computing with a message under way */
  readonly hiddenSeconds: number;
  /** a message is under way, and no kernel runs */
  readonly exposedSeconds: number;
  readonly idleSeconds: number;
}

export function splitOf({ devices }: Pick<Replay, "devices">): StepSplit {
  const sum = { computingSeconds: 0, hiddenSeconds: 0, exposedSeconds: 0, idleSeconds: 0 };
  for (const { computing, hidden, exposed, idle } of devices) {
    sum.computingSeconds += (computing + hidden) / devices.length;
    sum.hiddenSeconds += hidden / devices.length;
    sum.exposedSeconds += exposed / devices.length;
    sum.idleSeconds += idle / devices.length;
  }
  return sum;
}

/** A step's kernels, of a device in the mean of all. */
export interface KernelParts {
  /** of products */
  readonly productFlops: number;
  readonly productSeconds: number;
  /** of all other kernels */
  readonly otherSeconds: number;
}

/** How often each kernel runs, of all ranks. */
export function countsOf({ works, kinds, what }: StepProgram): Float64Array {
  const counts = new Float64Array(works.length);
  for (let op = 0; op < kinds.length; op++) if (kinds[op] === kernelOp) counts[what[op]]++;
  return counts;
}

/** On devices without faults. */
export function kernelParts(
  { works }: Pick<StepProgram, "works">,
  { counts, machine: { devices, kernelSeconds } }: { counts: Float64Array; machine: Machine },
): KernelParts {
  let [productFlops, productSeconds, otherSeconds] = [0, 0, 0];
  for (const [work, { product, flops }] of works.entries()) {
    const seconds = counts[work] * kernelSeconds(work, 0);
    if (product) {
      productFlops += counts[work] * flops;
      productSeconds += seconds;
    } else otherSeconds += seconds;
  }
  return {
    productFlops: productFlops / devices,
    productSeconds: productSeconds / devices,
    otherSeconds: otherSeconds / devices,
  };
}

export interface StepParts extends StepSplit, KernelParts {
  readonly seconds: number;
}

export const partsOf = ({ seconds, devices, kernels }: Replay & { kernels: KernelParts }): StepParts => ({
  ...{ seconds, ...splitOf({ devices }), ...kernels },
});

/** `more` times as much beside `one` as `two` has beside it: later blocks and micro-batches are as long as the second. */
export function extended(one: StepParts, two: StepParts, more: number): StepParts {
  const of = (name: keyof StepParts) => one[name] + more * (two[name] - one[name]);
  const seconds = of("seconds");
  // What the first has and the second has not would become less than nothing.
  const [computing, exposed, idle] = (["computingSeconds", "exposedSeconds", "idleSeconds"] as const).map((name) =>
    Math.max(0, of(name)),
  );
  const scale = seconds / (computing + exposed + idle || 1);
  return {
    ...{ seconds, computingSeconds: scale * computing, exposedSeconds: scale * exposed, idleSeconds: scale * idle },
    hiddenSeconds: Math.min(scale * computing, Math.max(0, of("hiddenSeconds"))),
    ...{ productFlops: of("productFlops"), productSeconds: of("productSeconds"), otherSeconds: of("otherSeconds") },
  };
}

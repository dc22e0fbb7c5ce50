// A simulated step in the numbers that the page shows.

import type { MeshShape, StepFigures } from "shardgrad/plan";

/** Of a device in the mean, but for what is received and held: by the rank with the most. computing, exposed and idle make the step. */
export interface Figures {
  readonly layout: MeshShape["layout"];
  readonly dims: readonly number[];
  readonly seconds: number;
  readonly computingSeconds: number;
  readonly hiddenSeconds: number;
  readonly exposedSeconds: number;
  readonly idleSeconds: number;
  readonly bytesReceived: number;
  readonly messagesReceived: number;
  readonly memoryBytes: number;
  readonly fits: boolean;
  readonly mfu: number;
  readonly tokensPerSecond: number;
  /** the whole step was simulated: the figures are those that `shardgrad simulate` prints */
  readonly whole: boolean;
}

/** The faster of two; what fits is better than what does not. */
export const better = (a: Figures, b: Figures): Figures =>
  a.fits === b.fits ? (b.seconds < a.seconds ? b : a) : a.fits ? a : b;

export function wholeFigures(figures: StepFigures): Figures {
  const { layout, dims, seconds, computingSeconds, hiddenSeconds, exposedSeconds, idleSeconds } = figures;
  const { bytesReceived, messagesReceived, memoryBytes, fits, mfu, tokensPerSecond } = figures;
  return {
    ...{ layout, dims, seconds, computingSeconds, hiddenSeconds, exposedSeconds, idleSeconds },
    ...{ bytesReceived, messagesReceived, memoryBytes: memoryBytes.total, fits, mfu, tokensPerSecond, whole: true },
  };
}

// The learning rate of a step: linear warm-up, then cosine decay (Loshchilov & Hutter, arXiv 1608.03983), as nanoGPT has it.

export interface Schedule {
  learningRate: number;
  minLearningRate: number;
  /** steps of warm-up: step s < warmup takes learningRate (s + 1) / (warmup + 1) */
  warmup: number;
  /** steps in all: the last comes close to minLearningRate */
  steps: number;
}

/** Learning rate of step s, counted from 0. */
export function learningRateAt(s: number, schedule: Schedule): number {
  const { learningRate, minLearningRate, warmup, steps } = schedule;
  if (s < warmup) return (learningRate * (s + 1)) / (warmup + 1);
  if (s >= steps) return minLearningRate;
  const progress = (s - warmup) / (steps - warmup);
  return minLearningRate + 0.5 * (1 + Math.cos(Math.PI * progress)) * (learningRate - minLearningRate);
}

// The words in which this backend's errors name its calls. They are made when an error is, not before.

import type { Purpose } from "../memory.ts";

/** What to do when there is no memory for a purpose. */
export const smaller: Record<Purpose, string> = {
  weights: "use a smaller vocabulary or width, or split the weights over more devices",
  gradients: "use a smaller vocabulary or width, or split the weights over more devices",
  optimizer: "use a smaller vocabulary or width, or split the weights over more devices",
  activations: "use a smaller batch or context, or split them over more devices",
  scratch: "use a smaller batch or context",
};

export function inUnits(bytes: number): string {
  if (bytes < 1e4) return `${bytes} B`;
  if (bytes < 1e7) return `${Math.round(bytes / 1e3)} kB`;
  return `${Math.round(bytes / 1e6)} MB`;
}

export const describeAllocate = (purpose: string, bytes: number) => `allocate ${inUnits(bytes)} for ${purpose}`;
export const describeTransfer = (name: string, length: number) => `${name} ${length} elements`;
export const describeOther = (name: string, of: string) => name + of;

/** e.g. "run matmul m=768 n=384 k=128": the numbers of a call, which say its shapes. */
export function describeRun(kernel: string, args: object): string {
  const numbers = Object.entries(args).filter(([, value]) => typeof value === "number" && Number.isInteger(value));
  return `run ${kernel} ${numbers.map(([name, value]) => `${name}=${value}`).join(" ")}`;
}

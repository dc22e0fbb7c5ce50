// What kernels of a device really take: short training runs and products, timed by the device itself.

import type { Backend } from "../backend/backend.ts";
import { UserError } from "../backend/errors.ts";
import type { KernelArgs } from "../backend/kernels.ts";
import { workOf } from "../backend/work.ts";
import { Ledger } from "../comm/ledger.ts";
import { runRanks } from "../comm/loopback.ts";
import { createLayout, type MeshShape, meshShape } from "../parallel/shape.ts";
import type { Tokenizer } from "../train/tokenizer.ts";
import { train } from "../train/trainer.ts";
import type { KernelWork } from "./program.ts";
import { type StepToRecord, spreadCorpus } from "./record-step.ts";
import { extentsOf } from "./recorder.ts";

/** Kernels of one kind and size. */
export interface Observed {
  readonly work: KernelWork;
  /** of each run */
  readonly seconds: number[];
}

export const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

/** What is said of a device that has no times to give. */
export const noKernelTimes = ({ adapter }: Backend): UserError =>
  new UserError(
    `${adapter.description} does not tell when kernels run, and that is what is measured; use --backend cpu`,
  );

/** Kernels that run while `work` does, by what they compute.
 *  @throws UserError where the device has no times to give */
export async function observed(backend: Backend, work: () => Promise<void>): Promise<Observed[]> {
  if (!backend.trace) throw noKernelTimes(backend);
  const found = new Map<string, Observed>();
  await backend.trace((kernel, args) => {
    const { flops, bytes } = workOf(kernel, args);
    const product = kernel === "matmul" ? extentsOf(args as KernelArgs["matmul"]) : undefined;
    const key = [kernel, flops, bytes, product?.m, product?.n].join(" ");
    let each = found.get(key);
    if (!each) {
      each = { work: { kernel, flops, bytes, ...(product && { product }) }, seconds: [] };
      found.set(key, each);
    }
    const { seconds } = each;
    return (startUs, endUs) => seconds.push((endUs - startUs) / 1e6);
  });
  try {
    await work();
    await backend.sync();
  } finally {
    await backend.trace(undefined);
  }
  return [...found.values()];
}

/** Seconds of each step but the first ones, of ranks that share the device. */
export async function stepSeconds(
  backend: Backend,
  { step, warmup, steps }: { step: StepToRecord; warmup: number; steps: number },
): Promise<number[]> {
  const { shape, config, parameters } = step;
  const corpus = spreadCorpus(parameters, config.vocab_size);
  const tokenizer = { vocabSize: config.vocab_size } as Tokenizer;
  const seconds: number[] = [];
  const run = { config, corpus, tokenizer, parameters: { ...parameters, steps: warmup + steps } };
  await runRanks({ size: shape.size, backend }, async ({ link, backend: own }) => {
    const layout = createLayout(shape, { backend: own, link, ledger: new Ledger(), wire: parameters.wire });
    for await (const event of train({ ...run, backend: own, layout })) {
      if (event.event !== "step") continue;
      if (link.rank === 0 && event.step > warmup) seconds.push(event.durationMs / 1e3);
      if (event.step === warmup + steps) return;
    }
  });
  return seconds;
}

export const serial: MeshShape = meshShape({ layout: "serial" });

// What kernels of a device really take: short training runs and products, timed by the device itself.

import type { Backend } from "../backend/backend.ts";
import { UserError } from "../backend/errors.ts";
import { Ledger } from "../comm/ledger.ts";
import { runRanks } from "../comm/loopback.ts";
import { createLayout, type MeshShape, meshShape } from "../parallel/shape.ts";
import type { Tokenizer } from "../train/tokenizer.ts";
import { train } from "../train/trainer.ts";
import type { KernelWork } from "./program.ts";
import { type StepToRecord, spreadCorpus } from "./record-step.ts";
import { Works } from "./recorder.ts";

/** Kernels of one kind and size. */
export interface Observed {
  readonly work: KernelWork;
  /** of each run */
  readonly seconds: number[];
}

/** What is said of a device that has no times to give. */
export const noKernelTimes = ({ adapter }: Backend): UserError =>
  new UserError(
    `${adapter.description} does not tell when kernels run, and that is what is measured; use --backend cpu`,
  );

/** Kernels that run while `work` does, by what they compute.
 *  @throws UserError where the device has no times to give */
export async function observed(backend: Backend, work: () => Promise<void>): Promise<Observed[]> {
  if (!backend.trace) throw noKernelTimes(backend);
  const works = new Works();
  const found: Observed[] = [];
  await backend.trace((kernel, args) => {
    const index = works.indexOf(kernel, args);
    found[index] ??= { work: works.all[index], seconds: [] };
    const { seconds } = found[index];
    return (startUs, endUs) => seconds.push((endUs - startUs) / 1e6);
  });
  try {
    await work();
    await backend.sync();
  } finally {
    await backend.trace(undefined);
  }
  return found;
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

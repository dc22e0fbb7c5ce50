// `--save` and `--resume`: a run as a file. What is in it is train/checkpoint.ts's.

import { resolve } from "node:path";
import type { Command } from "commander";
import type { FloatType } from "../backend/buffer.ts";
import { UserError } from "../backend/errors.ts";
import { type CheckpointHead, readCheckpoint } from "../train/checkpoint.ts";
import { wholeNumber } from "./common.ts";
import { named, prepareOutput, readInput } from "./files.ts";
import type { NumberFlagName } from "./flags.ts";

/** What Node reads in one piece: a model of 178 million parameters in f32. */
const mostCheckpointBytes = 2 ** 31 - 1;

export interface CheckpointFlags {
  save?: string;
  saveEvery?: string;
  resume?: string;
}

export const addCheckpointOptions = (command: Command): Command =>
  command
    .option(
      "--save <file>",
      "writes a checkpoint at the end, at Ctrl-C too: safetensors, weights under Hugging Face's names",
    )
    .option("--save-every <steps>", "with --save: every so many steps too")
    .option(
      "--resume <file>",
      "goes on from a checkpoint, on any mesh: its model, its tokenizer, and its flags where no others are given",
    );

/** A checkpoint that is to be gone on from. */
export interface Resumed {
  path: string;
  bytes: Uint8Array;
  head: CheckpointHead;
}

/** @throws UserError when it cannot be read, or is no checkpoint */
export async function readResumed(path: string): Promise<Resumed> {
  const advice = "use a smaller model; a page or a program can go on from it";
  const bytes = await readInput(path, "a checkpoint that --save has written", {
    mostBytes: mostCheckpointBytes,
    advice,
  });
  return { path, bytes, head: named(path, () => readCheckpoint(bytes)) };
}

/** Where a run leaves its checkpoints. */
export interface Saving {
  path: string;
  /** steps; undefined where only the last one counts */
  every: number | undefined;
}

/** @param others files of this run, none of which it may replace; the one resumed from it may
 *  @throws UserError when it cannot be written, or is one of them */
export async function prepareSaving(
  { save, saveEvery }: CheckpointFlags,
  others: readonly (string | undefined)[],
): Promise<Saving | undefined> {
  if (save === undefined) {
    if (saveEvery !== undefined)
      throw new UserError(`got --save-every ${saveEvery} without --save; need --save FILE with it`);
    return undefined;
  }
  const every = saveEvery === undefined ? undefined : wholeNumber("save-every", saveEvery);
  if (others.some((other) => other !== undefined && resolve(other) === resolve(save)))
    throw new UserError(`got --save ${save}, which is another file of this run; use another name`);
  await prepareOutput(save);
  return { path: save, every };
}

/** What a checkpoint says where a flag does not. */
interface SavedFlags {
  numbers: Partial<Record<NumberFlagName, number>>;
  recompute: boolean;
  tokenizer: "char" | "byte";
  dtype: FloatType;
  wire: FloatType;
}

/** A run's flags with those of the run that was saved where they were left out.
 *  @param given whether a flag that has a default was
 *  @throws UserError for another tokenizer */
export function asSaved<F extends SavedFlags>(
  flags: F,
  { resumed, given }: { resumed: Resumed; given: (name: "tokenizer" | "dtype" | "wire") => boolean },
): F {
  const { path, head } = resumed;
  const { parameters: saved, tokenizer } = head;
  if (given("tokenizer") && flags.tokenizer !== tokenizer.name)
    throw new UserError(
      `got --tokenizer ${flags.tokenizer} with ${path}, whose tokenizer is ${tokenizer.name}; leave it out`,
    );
  const { numbers } = flags;
  const before: SavedFlags["numbers"] = {
    ...{ batch: saved.batch, context: saved.context, steps: saved.steps, lr: saved.learningRate, warmup: saved.warmup },
    // Another rate has another end, unless that is given too.
    ...(numbers.lr === undefined && { "min-lr": saved.minLearningRate }),
    ...{ beta1: saved.beta1, beta2: saved.beta2, "weight-decay": saved.weightDecay, clip: saved.clip },
    ...{ accumulate: saved.accumulate, "loss-blocks": saved.lossBlocks, seed: saved.seed },
    ...{ "eval-every": saved.evalEvery, "eval-batches": saved.evalBatches, sample: saved.sampleTokens },
  };
  return {
    ...flags,
    numbers: { ...before, ...numbers },
    recompute: flags.recompute || saved.recompute,
    tokenizer: tokenizer.name,
    dtype: given("dtype") ? flags.dtype : (saved.dtype ?? "f32"),
    wire: given("wire") ? flags.wire : (saved.wire ?? "f32"),
  };
}

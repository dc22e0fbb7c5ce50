// Which layout on which mesh, in how many micro-batches, with or without recomputation: every legal one is looked at, and those that fit
// are simulated.

import { layersOf } from "../nn/config.ts";
import { shapesOf } from "../parallel/shape.ts";
import { lossOf, type PlanLoss, whySlower } from "./losses.ts";
import { partsOf } from "./parts.ts";
import { differentRanks, peakOf } from "./peaks.ts";
import type { RecordThreads } from "./record-in-threads.ts";
import { threadsFor } from "./record-ranks.ts";
import { Known, type PlanProblem, type PlanRefusal, type PlanWay, ShapeSearch, stepOf } from "./shape-search.ts";
import { recordRanks, requireBlocks, simulate } from "./simulate.ts";

/** A way to train beside the best one. */
export interface PlanChoice extends PlanWay {
  /** what it loses against the first, in seconds and in a sentence; undefined for the first */
  readonly loss: PlanLoss | undefined;
  readonly why: string | undefined;
}

export interface PlanResult {
  /** the fastest first, by tokens a second; none where nothing is legal, or nothing fits */
  readonly choices: readonly PlanChoice[];
  readonly refused: readonly PlanRefusal[];
}

type Progress = (what: string) => void | Promise<void>;

/** progress: told what is simulated next
 *  @throws UserError for more blocks than can be simulated */
export async function searchPlan(problem: PlanProblem, progress: Progress = () => undefined): Promise<PlanResult> {
  requireBlocks(problem.devices * layersOf(problem.config));
  const threads = await threadsFor(problem.devices);
  try {
    return await search(problem, { threads, progress });
  } finally {
    await threads?.close();
  }
}

interface Means {
  threads: RecordThreads | undefined;
  progress: Progress;
}

async function search(problem: PlanProblem, { threads, progress }: Means): Promise<PlanResult> {
  const known = new Known();
  const choices: PlanWay[] = [];
  const refused: PlanRefusal[] = [];
  const searchOf = ({ shape, batch }: Pick<PlanWay, "shape" | "batch">) => {
    const tell = (what: string) => progress(`${shape.layout} ${shape.dims.join("x")}, ${batch} sequences: ${what}`);
    return new ShapeSearch(problem, { shape, batch, known, threads, progress: tell });
  };
  for (const batch of problem.batches)
    for (const shape of shapesOf(problem.devices)) {
      const found = await searchOf({ shape, batch }).run();
      if ("why" in found) refused.push({ shape, batch, ...found });
      else choices.push(...found.choices);
    }
  const ranked: PlanWay[] = [];
  const rest = choices.sort(faster);
  for (let next = rest.shift(); next; next = rest.shift()) {
    // What may be the best is looked at once more.
    const best = ranked.toSorted(faster).at(0);
    if (best && (ranked.length === mostConfirmed || next.tokensPerSecond * nearBest < best.tokensPerSecond)) {
      ranked.push(next, ...rest);
      break;
    }
    const again = await lookedAtAgain(next, { problem, threads, progress });
    if (again.memoryBytes <= problem.memoryBytes) {
      ranked.push(again);
      continue;
    }
    // Another rank than those asked first holds too much.
    const others = searchOf(next);
    const { shape, batch, recompute, accumulate } = next;
    const smaller = await others.first({ recompute, beyond: accumulate });
    if (smaller) rest.push(smaller);
    else if (![...ranked, ...rest].some((other) => other.shape === shape && other.batch === batch)) {
      const { why, leastBytes = 0 } = await others.tooLarge();
      refused.push({ shape, batch, why, leastBytes: Math.max(leastBytes, problem.memoryBytes + 1) });
    }
    rest.sort(faster);
  }
  const [best, ...others] = ranked.sort(faster);
  if (!best) return { choices: [], refused };
  const { config, parameters } = problem;
  const first = { ...best, loss: undefined, why: undefined };
  const beside = others.map((choice) => ({
    ...{ ...choice, loss: lossOf(choice, best) },
    why: whySlower(choice, { best, config, parameters }),
  }));
  return { choices: [first, ...beside], refused };
}

/** What to do where nothing is legal, in a sentence. */
export const nothingLegal = ({ refused }: Pick<PlanResult, "refused">, devices: number): string =>
  `no layout of ${devices} ranks is legal for this model and batch: ${refused.map(({ shape, why }) => `${shape.layout} ${why}`).join("; ")}`;

/** Choices that are so near the best, in so few of these, are simulated whole. */
const [nearBest, mostConfirmed] = [1.08, 3];
/** Blocks of ranks and micro-batches beyond which a step takes too long to be simulated whole. */
const mostBlocks = 2048;

const faster = (a: PlanWay, b: PlanWay): number => b.tokensPerSecond - a.tokensPerSecond;

/** Whole, where that does not take long, and for the memory of every rank. */
async function lookedAtAgain(
  choice: PlanWay,
  { problem, threads, progress }: Means & { problem: PlanProblem },
): Promise<PlanWay> {
  const { profile, devices } = problem;
  const { shape, batch, accumulate } = choice;
  const tell = () => progress(`${shape.layout} ${shape.dims.join("x")}, ${batch} sequences: the whole step`);
  const step = stepOf(problem, choice);
  if (shape.size * layersOf(step.config) * accumulate > mostBlocks)
    return { ...choice, memoryBytes: await peakOf(step, { ranks: differentRanks(shape), threads, tell }) };
  const record = await recordRanks({ ...step, threads }, tell);
  const parts = partsOf(simulate(record, { profile, devices }));
  const memoryBytes = Math.max(...record.peakBytes.map(({ total }) => total));
  const tokensPerSecond = (batch * step.parameters.context) / parts.seconds;
  return { ...choice, parts, seconds: parts.seconds, tokensPerSecond, memoryBytes };
}

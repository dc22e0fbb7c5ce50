// What passes between the page and its worker: plain data, some dozens of times a second at most.

import type { BytesByPurpose } from "shardgrad";
import type { Settings } from "./settings.ts";

/** One step, as short as it goes: a long run has many. */
export type StepRow = readonly [step: number, loss: number, learningRate: number, durationMs: number];
export type EvalRow = readonly [step: number, trainLoss: number, validationLoss: number];
export interface Sample {
  step: number;
  text: string;
  /** where it is not the usual one */
  temperature?: number;
}

/** What a visitor has written. */
export interface Wanted {
  /** that the text begins with; of the text that is trained on where it is empty */
  prompt: string;
  temperature: number;
}

/** What a run has said of its learning: kept with its checkpoints, so that its curve goes on. */
export interface History {
  steps: StepRow[];
  evals: EvalRow[];
  samples: Sample[];
}

export interface Started {
  /** by which its checkpoints are kept */
  id: string;
  /** of the model */
  parameterCount: number;
  tokensPerStep: number;
  /** of the run, those before a resumed checkpoint included */
  steps: number;
  /** finished before, where it goes on from a checkpoint */
  resumedAt: number;
  ranks: number;
  /** what computes, and why */
  note: string;
  /** f32 or f16, and why that is not what was asked for */
  dtype: string;
  dtypeNote?: string;
}

/** Of one step, by rank. */
export interface RankFigures {
  step: number;
  /** bytes, [from][to] */
  traffic: readonly (readonly number[])[];
  /** bytes a rank received, counted and by the closed form */
  received: readonly number[];
  closedForm: readonly number[];
  memory: readonly (BytesByPurpose & { total: number })[];
}

export interface Finished {
  steps: number;
  /** ended before all its steps */
  early: boolean;
  validationLoss: number;
  durationMs: number;
  peakBytes: number;
}

/** A checkpoint that this browser keeps. */
export interface Kept {
  /** of the run: checkpoints of one take each other's place */
  id: string;
  step: number;
  savedAtMs: number;
  textName: string;
  settings: Settings;
}

/** What a report and a run that is over are shown by, and a resumed one goes on from. */
export interface RunRecord {
  settings: Settings;
  textName: string;
  started?: Started;
  history: History;
  figures?: RankFigures;
  finished?: Finished;
  failed?: Failure;
}

/** A sentence for the user, and the words under it. */
export interface Failure {
  title: string;
  text: string;
}

/** Slices of all ranks as columns: objects would take the page's own thread too long to read. */
export interface PackedTimeline {
  from: number;
  to: number;
  ranks: number;
  /** from the first slice's start to the last one's end */
  spanUs: number;
  /** left out, as there were too many */
  dropped: number;
  names: readonly string[];
  /** by slice: in the order of rank, track and start */
  rank: Uint16Array;
  /** 0 steps, 1 computing, 2 sending, 3 receiving */
  track: Uint8Array;
  name: Uint32Array;
  /** the other rank of a message; -1 */
  peer: Int16Array;
  bytes: Float64Array;
  /** since the first slice's start */
  startUs: Float64Array;
  endUs: Float64Array;
  /** by rank: shares of the time in which it computed, only had messages under way, and waited */
  shares: readonly { computing: number; messages: number; waiting: number }[];
}

/** What has happened since the last news; only what did. */
export interface News {
  started?: Started;
  /** at a run's beginning: what it learns from, and what was known of it from before */
  text?: TextFacts;
  history?: History;
  steps?: StepRow[];
  evals?: EvalRow[];
  samples?: Sample[];
  /** the sample that is being written, so far */
  writing?: string;
  figures?: RankFigures;
  timeline?: PackedTimeline;
  /** a checkpoint has been kept in this browser */
  kept?: Kept;
  /** a checkpoint could not be kept, and why */
  notKept?: Failure;
  /** the run holds, or goes on */
  paused?: boolean;
  finished?: Finished;
  failed?: Failure;
}

/** What a run would be. */
export interface Outlook {
  parameterCount: number;
  tokensPerStep: number;
  ranks: number;
  /** bytes that the busiest rank receives in a step, by the closed form */
  bytesPerStep: number;
  /** the peak of a rank's memory, by the closed form */
  memoryBytes: number;
}

/** The text that is trained on. */
export interface TextFacts {
  name: string;
  characters: number;
  /** different ones: the vocabulary */
  different: number;
  /** its beginning */
  opening: string;
}

/** What of a checkpoint the page shows and goes by. */
export interface OpenedCheckpoint {
  name: string;
  step: number;
  settings: Pick<Settings, "layers" | "heads" | "width" | "context" | "batch" | "steps" | "rate" | "seed" | "dtype">;
}

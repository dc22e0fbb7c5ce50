// What ranks run: one program each, the same on every link. What they are given and what they tell is plain data.

import type { Backend } from "../backend/backend.ts";
import type { FloatType } from "../backend/buffer.ts";
import type { BytesByPurpose } from "../backend/memory.ts";
import { Ledger, type LedgerEntry } from "../comm/ledger.ts";
import type { LinkTraffic } from "../comm/link.ts";
import type { ModelConfig } from "../nn/config.ts";
import { createLayout, type MeshShape } from "../parallel/shape.ts";
import { TrainControls } from "../train/controls.ts";
import { corpusOf, type Split } from "../train/corpus.ts";
import type { ReferenceFiles, Tolerances, TrainEvent, TrainParameters, VerifyResult } from "../train/events.ts";
import { type TokenizerJson, tokenizerFromJson } from "../train/tokenizer.ts";
import { train } from "../train/trainer.ts";
import { verifyReference } from "../train/verify.ts";
import { type ProductRun, productRank, timeAlone } from "./product-rank.ts";
import type { RankContext } from "./rank.ts";
import { roundTripsRank } from "./round-trips.ts";
import { type RankNotes, Tracer, withTimelines } from "./tracer.ts";

export interface TrainRun {
  shape: MeshShape;
  config: ModelConfig;
  tokenizer: TokenizerJson;
  tokens: Readonly<Record<Split, Int32Array>>;
  parameters: TrainParameters;
  /** a checkpoint's bytes */
  resume?: Uint8Array;
  /** replies may ask for something, a trace among it */
  steered?: boolean;
  /** each step's news say what the rank holds */
  watch?: boolean;
}

/** What a rank tells while it trains: an event, and the messages it received in training steps since the one before. */
export interface TrainNews {
  event: TrainEvent;
  entries: readonly LedgerEntry[];
  /** sent so far, where bytes cross */
  sent?: LinkTraffic;
  /** with a step's event of a watched run: held after it */
  memory?: MemoryInUse;
  /** with a timeline's event: what it is of this rank */
  notes?: RankNotes;
}

/** One rank of a training run. */
export async function trainRank({ link, backend, tell }: RankContext, run: TrainRun): Promise<void> {
  const { shape, config, tokens, parameters, watch, resume } = run;
  const ledger = new Ledger();
  const tracer = run.steered ? new Tracer({ rank: link.rank, backend }) : undefined;
  const layout = createLayout(shape, { backend, link: tracer?.around(link) ?? link, ledger, wire: parameters.wire });
  const corpus = corpusOf(tokens, parameters.context);
  const controller = new AbortController();
  const { signal } = controller;
  // This rank's own: they are asked what the reply to an event says, which is the same for all.
  const controls = new TrainControls();
  const tokenizer = tokenizerFromJson(run.tokenizer);
  const options = { backend, config, tokenizer, corpus, parameters, layout, ledger, signal, controls, resume };
  const events = train(options);
  let notes: RankNotes | undefined;
  const take = (noted: RankNotes) => {
    notes = noted;
  };
  for await (const event of tracer ? withTimelines(events, { tracer, controls, take }) : events) {
    const entries = ledger.entries.filter(({ step }) => step > 0);
    // A long run's need not be kept.
    ledger.clear();
    const news: TrainNews = { event, entries, sent: link.traffic };
    if (event.event === "timeline") news.notes = notes;
    if (event.event === "step" && watch) news.memory = memoryInUse(backend);
    // Ranks go on together, so that all of them end after the same step.
    const { goOn, aborted, asked } = await tell(news);
    if (!goOn) break;
    if (aborted) controller.abort();
    if (asked) controls.ask(asked);
  }
}

type MemoryInUse = BytesByPurpose & { total: number };

export const memoryInUse = ({ memory: { bytes, total } }: Backend): MemoryInUse => ({ ...bytes, total });

export interface VerifyRun {
  shape: MeshShape;
  files: ReferenceFiles;
  /** factor on all limits */
  slack: number;
  limits: Tolerances;
  /** how f32 travels; f32 when absent */
  wire?: FloatType;
}

async function verifyRank(
  { link, backend }: RankContext,
  { shape, files, slack, limits, wire }: VerifyRun,
): Promise<{ result: VerifyResult; entries: readonly LedgerEntry[]; backend: Backend["name"]; adapter: string }> {
  const ledger = new Ledger();
  const layout = createLayout(shape, { backend, link, ledger, wire });
  const result = await verifyReference({ backend, files, layout, slack, limits });
  return { result, entries: ledger.entries, backend: backend.name, adapter: backend.adapter.description };
}

/** What a device is, as plain data. */
export interface DeviceFacts {
  backend: Backend["name"];
  adapter: string;
  maxBufferBytes: number;
}

export const factsOf = ({ name, adapter, maxBufferBytes }: Backend): DeviceFacts => ({
  backend: name,
  adapter: adapter.description,
  maxBufferBytes,
});

export const programs = {
  train: trainRank,
  verify: verifyRank,
  product: productRank,
  roundTrips: roundTripsRank,
  productAlone: ({ backend }: RankContext, run: ProductRun) => timeAlone(backend, run),
  device: async ({ backend }: RankContext, _: undefined) => factsOf(backend),
};

export type ProgramName = keyof typeof programs;
export type ProgramOptions<N extends ProgramName> = Parameters<(typeof programs)[N]>[1];
export type ProgramResult<N extends ProgramName> = Awaited<ReturnType<(typeof programs)[N]>>;

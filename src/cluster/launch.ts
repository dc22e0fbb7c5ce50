// Training and checking on a mesh: starts one program a rank, wherever ranks run, and tells of all of them as one run.

import type { Backend } from "../backend/backend.ts";
import type { FloatType } from "../backend/buffer.ts";
import type { BytesByPurpose } from "../backend/memory.ts";
import { bytesReceived, type LedgerEntry, trafficMatrix } from "../comm/ledger.ts";
import type { LinkTraffic } from "../comm/link.ts";
import { shardedExtents } from "../nn/extents.ts";
import { trainingTraffic } from "../nn/traffic.ts";
import { type MeshShape, requireLegal } from "../parallel/shape.ts";
import { openCheckpoint } from "../train/checkpoint.ts";
import {
  type ReferenceFiles,
  type Tolerances,
  type TrainEvent,
  type VerifyResult,
  verifyTolerances,
} from "../train/events.ts";
import { type TrainOptions, train } from "../train/trainer.ts";
import { referenceModel } from "../train/verify.ts";
import { memoryInUse, type TrainNews } from "./programs.ts";
import type { Reply } from "./rank.ts";
import { ranksOf, type Where } from "./ranks.ts";
import { Relay } from "./relay.ts";
import { Tracer, timelineOf, withTimelines } from "./tracer.ts";
import { wireTolerances } from "./wire-tolerances.ts";

export type MeshTrainOptions = Omit<TrainOptions, "layout" | "ledger" | "backend"> &
  Where & {
    shape: MeshShape;
    /** how long a rank waits for another before it gives the run up; not counted while nobody asks for the next event */
    timeoutMs?: number;
    /** steps' events say what crossed between which ranks, and what each rank holds */
    watch?: boolean;
  };

/** Trains on all ranks of a mesh; each event is rank 0's, once every rank has come as far, with the traffic and memory of all. Ranks go on
 *  when the next event is asked for: who asks for none holds the run.
 *  @throws UserError when model, batch and mesh do not fit each other, or what is resumed is no intact checkpoint of this model and tokenizer, before
 *  anything is allocated */
export async function* trainOnMesh(options: MeshTrainOptions): AsyncGenerator<TrainEvent> {
  const { shape, timeoutMs, backend, config, parameters, corpus, tokenizer, signal, controls, watch, resume } = options;
  if (backend && shape.size === 1 && shape.layout === "serial") return yield* alone(backend, options);
  const { batch, context } = parameters;
  requireLegal(shape, { ...shardedExtents(config), batch, context });
  if (resume) openCheckpoint(resume, { config, tokenizer, parameters });
  const relay = new Relay<TrainNews, Reply>(shape.size, (goOn) => ({
    goOn,
    aborted: signal?.aborted === true,
    ...(controls && { asked: controls.takeAll() }),
  }));
  const ended = ranksOf(options)
    .run("train", {
      ...{ size: shape.size, timeoutMs },
      options: {
        ...{ shape, config, tokenizer: tokenizer.toJSON(), tokens: corpus.tokens, parameters },
        ...{ steered: controls !== undefined, watch, resume },
      },
      take: (rank, item) => relay.give(rank, item as TrainNews),
    })
    .then(
      () => relay.end(),
      (error: unknown) => relay.fail(error),
    );
  const traffic = trafficMatrix([], shape.size);
  let closedFormBytes: readonly number[] = [];
  try {
    for await (const news of relay) {
      const entries = news.flatMap((each) => each.entries);
      for (const { from, to, bytes } of entries) traffic[from][to] += bytes;
      const [{ event }] = news;
      if (event.event === "start")
        closedFormBytes = trainingTraffic(config, { shape, ...parameters, dtype: event.dtype }).bytesReceived;
      // Every rank waits between two steps: what they hold alike they go on computing alike.
      await backend?.tune?.();
      yield merged(news, { shape, entries, traffic, backend, closedFormBytes });
    }
  } finally {
    relay.stop();
    await ended;
  }
}

/** One rank that holds everything, in this thread. */
async function* alone(backend: Backend, options: MeshTrainOptions): AsyncGenerator<TrainEvent> {
  const { controls, watch } = options;
  const events = train({ ...options, backend });
  const traced = controls ? withTimelines(events, { tracer: new Tracer({ rank: 0, backend }), controls }) : events;
  for await (const event of traced)
    yield event.event === "step" && watch
      ? { ...event, traffic: [[0]], ranks: [{ memory: memoryInUse(backend) }] }
      : event;
}

/** The run's event of all ranks' events. */
function merged(
  news: readonly TrainNews[],
  run: {
    shape: MeshShape;
    /** what all ranks received since the event before, in steps */
    entries: readonly LedgerEntry[];
    /** of the whole run */
    traffic: number[][];
    /** the device that all share, if they do */
    backend: Backend | undefined;
    closedFormBytes: readonly number[];
  },
): TrainEvent {
  const { shape, entries, traffic, backend, closedFormBytes } = run;
  const events = news.map((each) => each.event);
  const [event] = events;
  switch (event.event) {
    case "start":
      return { ...event, mesh: { layout: shape.layout, dims: shape.dims } };
    case "step": {
      const held = news.flatMap(({ memory }) => (memory ? [{ memory }] : []));
      return {
        ...event,
        memoryBytes:
          backend?.memory.total ?? (events as (typeof event)[]).reduce((sum, each) => sum + each.memoryBytes, 0),
        bytesReceived: bytesReceived(entries, shape.size),
        closedFormBytes,
        ...(held.length > 0 && { traffic: trafficMatrix(entries, shape.size), ranks: held }),
      };
    }
    case "timeline":
      return { ...event, timeline: timelineOf(news.flatMap(({ notes }) => notes ?? [])) };
    case "done": {
      const ranks = events.map((each) => ({ peakBytes: (each as typeof event).peakBytes }));
      const sent = news.flatMap((each) => each.sent ?? []);
      const crossed = sent.length > 0 && { sent: sumOf(sent) };
      return { ...event, peakBytes: backend?.memory.peak ?? together(ranks), ranks, traffic, ...crossed };
    }
    default:
      return event;
  }
}

const sumOf = (sent: readonly LinkTraffic[]): LinkTraffic => ({
  elementBytes: sent.reduce((sum, each) => sum + each.elementBytes, 0),
  overheadBytes: sent.reduce((sum, each) => sum + each.overheadBytes, 0),
});

/** Peaks of devices that are not one. */
function together(
  ranks: readonly { peakBytes: BytesByPurpose & { total: number } }[],
): BytesByPurpose & { total: number } {
  const sum = { ...ranks[0].peakBytes };
  for (const { peakBytes } of ranks.slice(1))
    for (const name of Object.keys(sum) as (keyof typeof sum)[]) sum[name] += peakBytes[name];
  return sum;
}

/** @throws UserError when a reference run's config is malformed, or its model and batch do not fit the mesh */
export function requireReferenceFits(files: Pick<ReferenceFiles, "config">, shape: MeshShape): void {
  const { config, run } = referenceModel(files);
  requireLegal(shape, { ...shardedExtents(config), batch: run.batch, context: run.seq });
}

/** Replays a reference run on a mesh: what rank 0, which holds the whole tensors, found, and every message of the run.
 *  @throws UserError as verifyReference, or when the reference's model does not fit the mesh */
export async function verifyOnMesh(
  options: Where & { files: ReferenceFiles; shape: MeshShape; wire?: FloatType },
): Promise<
  VerifyResult & {
    traffic: readonly LedgerEntry[];
    limits: Tolerances;
    slack: number;
    backend: Backend["name"];
    adapter: string;
  }
> {
  const { files, shape, wire } = options;
  requireReferenceFits(files, shape);
  const rounding = wire === "f16" && shape.size > 1;
  // Sums over ranks round once more than one rank's: twice the room.
  const slack = shape.size > 1 && !rounding ? 2 : 1;
  const limits = rounding ? wireTolerances(shape, referenceModel(files)) : verifyTolerances;
  const run = { shape, files, slack, limits, wire };
  const found = await ranksOf(options).run("verify", { size: shape.size, options: run });
  const [{ result, backend, adapter }] = found;
  return { ...result, limits, slack, backend, adapter, traffic: found.flatMap(({ entries }) => entries) };
}

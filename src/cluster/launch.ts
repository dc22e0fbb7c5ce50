// Training and checking on a mesh: starts one program a rank, wherever ranks run, and tells of all of them as one run.

import type { Backend } from "../backend/backend.ts";
import type { FloatType } from "../backend/buffer.ts";
import type { BytesByPurpose } from "../backend/memory.ts";
import { bytesReceived, type LedgerEntry, trafficMatrix } from "../comm/ledger.ts";
import type { LinkTraffic } from "../comm/link.ts";
import { shardedExtents } from "../nn/extents.ts";
import { trainingTraffic } from "../nn/traffic.ts";
import { type MeshShape, requireLegal } from "../parallel/shape.ts";
import type { Timeline } from "../trace/timeline.ts";
import {
  type ReferenceFiles,
  type StartEvent,
  type Tolerances,
  type TrainEvent,
  type VerifyResult,
  verifyTolerances,
} from "../train/events.ts";
import { type TrainOptions, train } from "../train/trainer.ts";
import { referenceModel } from "../train/verify.ts";
import type { TrainNews } from "./programs.ts";
import { ranksOf, type Where } from "./ranks.ts";
import { Relay } from "./relay.ts";
import { type StepRange, Tracer, timelineOf } from "./tracer.ts";
import { wireTolerances } from "./wire-tolerances.ts";

export type MeshTrainOptions = Omit<TrainOptions, "layout" | "ledger" | "backend"> &
  Where & {
    shape: MeshShape;
    /** how long a rank waits for another before it gives the run up */
    timeoutMs?: number;
    /** Steps, counted from 1, of which all ranks note what they do when. Their timeline is handed over when the run has ended; a traced
     *  step takes longer. Ranks that are not on one machine have clocks that differ. */
    trace?: StepRange & { take(timeline: Timeline): void };
  };

/** Trains on all ranks of a mesh; each event is rank 0's, once every rank has come as far, with the traffic and memory of all.
 *  @throws UserError when model, batch and mesh do not fit each other, before anything is allocated */
export async function* trainOnMesh(options: MeshTrainOptions): AsyncGenerator<TrainEvent> {
  const { shape, timeoutMs, backend, config, parameters, corpus, tokenizer, signal, trace } = options;
  if (backend && shape.size === 1 && shape.layout === "serial") {
    const events = train({ backend, config, parameters, corpus, tokenizer, signal });
    return yield* trace ? tracedAlone(events, { backend, trace }) : events;
  }
  const { batch, context } = parameters;
  requireLegal(shape, { ...shardedExtents(config), batch, context });
  const relay = new Relay<TrainNews>(shape.size);
  const ended = ranksOf(options)
    .run("train", {
      ...{ size: shape.size, timeoutMs },
      options: {
        ...{ shape, config, tokenizer: tokenizer.toJSON(), tokens: corpus.tokens, parameters },
        ...(trace && { trace: { from: trace.from, to: trace.to } }),
      },
      take: async (rank, item) => {
        const goOn = await relay.give(rank, item as TrainNews);
        return { goOn, aborted: signal?.aborted === true };
      },
    })
    .then((notes) => trace?.take(timelineOf(notes.flatMap((each) => each ?? []))))
    .then(
      () => relay.end(),
      (error: unknown) => relay.fail(error),
    );
  const traffic = trafficMatrix([], shape.size);
  let closedFormBytes: readonly number[] = [];
  try {
    for await (const news of relay) {
      const events = news.map(({ event }) => event);
      const entries = news.flatMap((each) => each.entries);
      for (const { from, to, bytes } of entries) traffic[from][to] += bytes;
      if (events[0].event === "start") {
        const { dtype } = events[0] as StartEvent;
        closedFormBytes = trainingTraffic(config, { shape, ...parameters, dtype }).bytesReceived;
      }
      // Every rank waits between two steps: what they hold alike they go on computing alike.
      await backend?.tune?.();
      const sent = news.flatMap((each) => each.sent ?? []);
      yield merged(events, { shape, entries, traffic, backend, closedFormBytes, sent });
    }
  } finally {
    relay.stop();
    await ended;
  }
}

/** One rank that holds everything: its events, and its timeline at their end. */
async function* tracedAlone(
  events: AsyncIterable<TrainEvent>,
  { backend, trace }: { backend: Backend; trace: NonNullable<MeshTrainOptions["trace"]> },
): AsyncGenerator<TrainEvent> {
  const tracer = new Tracer({ rank: 0, backend });
  for await (const event of events) {
    yield event;
    await tracer.between(event, trace);
  }
  trace.take(timelineOf([await tracer.finish()]));
}

/** The run's event of all ranks' events. */
function merged(
  events: readonly TrainEvent[],
  run: {
    shape: MeshShape;
    entries: readonly LedgerEntry[];
    traffic: number[][];
    /** the device that all share, if they do */
    backend: Backend | undefined;
    closedFormBytes: readonly number[];
    sent: readonly LinkTraffic[];
  },
): TrainEvent {
  const { shape, entries, traffic, backend, closedFormBytes, sent } = run;
  const [event] = events;
  switch (event.event) {
    case "start":
      return { ...event, mesh: { layout: shape.layout, dims: shape.dims } };
    case "step":
      return {
        ...event,
        memoryBytes:
          backend?.memory.total ?? (events as (typeof event)[]).reduce((sum, each) => sum + each.memoryBytes, 0),
        bytesReceived: bytesReceived(entries, shape.size),
        closedFormBytes,
      };
    case "done": {
      const ranks = events.map((each) => ({ peakBytes: (each as typeof event).peakBytes }));
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

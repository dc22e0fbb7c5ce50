// Training and checking on a mesh of ranks in this process: starts one program a rank, and tells of all of them as one run.

import type { Backend } from "../backend/backend.ts";
import { bytesReceived, Ledger, type LedgerEntry, trafficMatrix } from "../comm/ledger.ts";
import { type Rank, runRanks } from "../comm/loopback.ts";
import { shardedExtents } from "../nn/extents.ts";
import { trainingTraffic } from "../nn/traffic.ts";
import { createLayout, type MeshShape, requireLegal } from "../parallel/shape.ts";
import type { ReferenceFiles, TrainEvent, VerifyResult } from "../train/events.ts";
import { availableType } from "../train/precision.ts";
import { type TrainOptions, train } from "../train/trainer.ts";
import { referenceModel, verifyReference } from "../train/verify.ts";
import { Relay } from "./relay.ts";

export type MeshTrainOptions = Omit<TrainOptions, "layout" | "ledger"> & {
  shape: MeshShape;
  /** how long a rank waits for another before it gives the run up */
  timeoutMs?: number;
};

/** Trains on all ranks of a mesh; each event is rank 0's, once every rank has come as far, with the traffic and memory of all.
 *  @throws UserError when model, batch and mesh do not fit each other, before anything is allocated */
export async function* trainOnMesh(options: MeshTrainOptions): AsyncGenerator<TrainEvent> {
  const { shape, timeoutMs, ...run } = options;
  if (shape.size === 1 && shape.layout === "serial") return yield* train(run);
  const { batch, context } = run.parameters;
  requireLegal(shape, { ...shardedExtents(run.config), batch, context });
  const ledgers = Array.from({ length: shape.size }, () => new Ledger());
  const { dtype } = availableType(run.backend, run.parameters.dtype ?? "f32");
  const expected = trainingTraffic(run.config, { shape, ...run.parameters, dtype });
  const relay = new Relay<TrainEvent>(shape.size);
  const program = async ({ link, backend }: Rank) => {
    const ledger = ledgers[link.rank];
    const layout = createLayout(shape, { backend, link, ledger });
    // Ranks go on together, so that all of them see the same `signal` when they look at it next.
    for await (const event of train({ ...run, backend, layout, ledger }))
      if (!(await relay.give(link.rank, event))) return;
  };
  const ended = runRanks({ size: shape.size, backend: run.backend, timeoutMs }, program).then(
    () => relay.end(),
    (error: unknown) => relay.fail(error),
  );
  const traffic = trafficMatrix([], shape.size);
  try {
    for await (const events of relay) {
      // All ranks have come as far: what their ledgers hold is complete, and a long run's need not be kept.
      const entries = ledgers.flatMap((ledger) => ledger.entries).filter(({ step }) => step > 0);
      for (const ledger of ledgers) ledger.clear();
      for (const { from, to, bytes } of entries) traffic[from][to] += bytes;
      // Every rank waits between two steps: what they hold alike they go on computing alike.
      await run.backend.tune?.();
      yield merged(events, { shape, entries, traffic, backend: run.backend, closedFormBytes: expected.bytesReceived });
    }
  } finally {
    relay.stop();
    await ended;
  }
}

/** The run's event of all ranks' events. */
function merged(
  events: readonly TrainEvent[],
  run: {
    shape: MeshShape;
    entries: readonly LedgerEntry[];
    traffic: number[][];
    backend: Backend;
    closedFormBytes: readonly number[];
  },
): TrainEvent {
  const { shape, entries, traffic, backend, closedFormBytes } = run;
  const [event] = events;
  switch (event.event) {
    case "start":
      return { ...event, mesh: { layout: shape.layout, dims: shape.dims } };
    case "step":
      return { ...event, bytesReceived: bytesReceived(entries, shape.size), closedFormBytes };
    case "done": {
      const ranks = events.map((each) => ({ peakBytes: (each as typeof event).peakBytes }));
      return { ...event, peakBytes: backend.memory.peak, ranks, traffic };
    }
    default:
      return event;
  }
}

/** @throws UserError when a reference run's config is malformed, or its model and batch do not fit the mesh */
export function requireReferenceFits(files: Pick<ReferenceFiles, "config">, shape: MeshShape): void {
  const { config, run } = referenceModel(files);
  requireLegal(shape, { ...shardedExtents(config), batch: run.batch, context: run.seq });
}

/** Replays a reference run on a mesh: what rank 0, which holds the whole tensors, found, and every message of the run.
 *  @throws UserError as verifyReference, or when the reference's model does not fit the mesh */
export async function verifyOnMesh(options: {
  backend: Backend;
  files: ReferenceFiles;
  shape: MeshShape;
}): Promise<VerifyResult & { traffic: readonly LedgerEntry[]; slack: number }> {
  const { backend: device, files, shape } = options;
  const ledgers = Array.from({ length: shape.size }, () => new Ledger());
  requireReferenceFits(files, shape);
  // Sums over ranks round once more than one rank's: twice the room.
  const slack = shape.size > 1 ? 2 : 1;
  const [result] = await runRanks({ size: shape.size, backend: device }, ({ link, backend }) => {
    const layout = createLayout(shape, { backend, link, ledger: ledgers[link.rank] });
    return verifyReference({ backend, files, layout, slack });
  });
  return { ...result, slack, traffic: ledgers.flatMap((ledger) => ledger.entries) };
}

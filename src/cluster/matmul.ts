// One product of random matrices on a mesh of ranks: what crossed the links beside its closed form and the lower bound, how long it took
// beside the product on one rank, and how far it is from f64. Terminals are cli/matmul.ts's.

import type { Backend } from "../backend/backend.ts";
import { bytesOf } from "../backend/buffer.ts";
import { UserError } from "../backend/errors.ts";
import { lowerBound, score } from "../parallel/bound.ts";
import type { ProductSize } from "../parallel/operands.ts";
import { productFootprint, productReceived, replicationWords } from "../parallel/product-volume.ts";
import type { Timeline } from "../trace/timeline.ts";
import { type ProductError, worstOf } from "./product-check.ts";
import { type ProductRun, type Timing, timeAlone, timing } from "./product-rank.ts";
import type { WatchedRank } from "./product-watch.ts";
import { type DeviceFacts, factsOf } from "./programs.ts";
import { ranksOf, type Where } from "./ranks.ts";
import { timelineOf } from "./tracer.ts";

export interface ProductResult {
  backend: Backend["name"];
  adapter: string;
  ranks: {
    wordsReceived: number;
    bytesReceived: number;
    closedFormWords: number;
    messages: number;
    closedFormMessages: number;
  }[];
  /** whether every rank of every repetition received its closed form, to the word, the byte and the message */
  equal: boolean;
  /** words that some rank of any algorithm receives */
  lowerBoundWords: number;
  /** words that bring B to every plane: counted in the score, since no message of the product does */
  replicationWords: number;
  score: number | undefined;
  error: ProductError;
  time: {
    mesh: Timing;
    /** the same product on one rank, on the same device; undefined where a whole matrix fits no buffer of it */
    serial: Timing | undefined;
  };
  /** of the timed products, where it was asked for */
  timeline: Timeline | undefined;
  /** of the last product, where it was asked for: each rank's part */
  watched: WatchedRank[] | undefined;
}

/** Multiplies `repeats` times on all ranks of a mesh.
 *  @throws UserError for what does not fit the device, before anything is allocated */
export async function measureProduct(where: Where, run: ProductRun): Promise<ProductResult> {
  const { shape, form, size, repeats, wire = "f32" } = run;
  const { backend: shared } = where;
  const all = ranksOf(where);
  const device = shared ? factsOf(shared) : (await all.run("device", { size: 1, options: undefined }))[0];
  requireFits(device, run);
  const fitsOneRank = Math.max(...wholeBytes(size)) <= device.maxBufferBytes;
  let serial: Timing | undefined;
  if (fitsOneRank)
    serial = shared ? await timeAlone(shared, run) : (await all.run("productAlone", { size: 1, options: run }))[0];
  shared?.trim();
  const timeoutMs = rankTimeoutMs;
  if (shared?.tune) {
    // What each rank multiplies is of other shapes than the whole: met once, then measured.
    await all.run("product", {
      size: shape.size,
      timeoutMs,
      options: { ...run, repeats: 0, trace: false, watch: false },
    });
    await shared.tune();
  }
  const ranks = await all.run("product", { size: shape.size, timeoutMs, options: run });
  const reports = ranks.map(({ received }, rank) => {
    const closed = productReceived({ mesh: shape, rank, form, size });
    return {
      ...{ ...received[0], closedFormWords: closed.words, closedFormMessages: closed.messages },
      equal: received.every(
        (each) =>
          each.wordsReceived === closed.words &&
          each.bytesReceived === bytesOf({ dtype: wire, length: closed.words }) &&
          each.messages === closed.messages,
      ),
    };
  });
  const extra = replicationWords({ mesh: shape, form, size });
  const most = Math.max(...reports.map(({ wordsReceived }) => wordsReceived));
  return {
    backend: device.backend,
    adapter: device.adapter,
    ranks: reports.map(({ equal: _, ...report }) => report),
    equal: reports.every(({ equal }) => equal),
    lowerBoundWords: lowerBound(size, shape.size),
    replicationWords: extra,
    score: score({ words: most + extra, size, ranks: shape.size }),
    error: worstOf(ranks.map(({ error }) => error)),
    time: { mesh: timing(ranks[0].ms.slice(-repeats), size), serial },
    timeline: run.trace ? timelineOf(ranks.flatMap(({ notes }) => notes ?? [])) : undefined,
    watched: run.watch ? ranks.flatMap(({ watched }) => watched ?? []) : undefined,
  };
}

/** A software device computes a large product for minutes, and meanwhile every rank waits. */
const rankTimeoutMs = 600_000;

/** Of A, B and C without padding. */
const wholeBytes = ({ m, n, k }: ProductSize): number[] => [4 * m * k, 4 * k * n, 4 * m * n];

function requireFits(device: DeviceFacts, { shape, form, size, maxBytes }: ProductRun): void {
  const { largestWords, words } = productFootprint({ mesh: shape, form, size });
  const text = `${size.m} x ${size.k} times ${size.k} x ${size.n} on ${shape.size} rank${shape.size === 1 ? "" : "s"}`;
  if (4 * largestWords > device.maxBufferBytes)
    throw new UserError(
      `${text} needs a buffer of ${mebibytes(4 * largestWords)} on each rank, but ${device.adapter} gives at most ${mebibytes(device.maxBufferBytes)}; use smaller sizes or more ranks`,
    );
  const total = 4 * words * shape.size;
  const most = Math.max(
    total,
    wholeBytes(size).reduce((sum, bytes) => sum + bytes),
  );
  if (most > maxBytes)
    throw new UserError(
      `${text} takes ${mebibytes(most)} of this machine's memory, need at most ${mebibytes(maxBytes)}; use smaller sizes${shape.size > 1 ? " or fewer ranks" : ""}`,
    );
}

const mebibytes = (bytes: number): string => `${Math.ceil(bytes / 2 ** 20).toLocaleString("en-US")} MiB`;

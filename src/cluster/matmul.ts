// One product of random matrices on a mesh of ranks in this process: what crossed the links beside its closed form and the lower bound,
// how long it took beside the product on one rank, and how far it is from f64. Terminals are cli/matmul.ts's.

import type { Backend } from "../backend/backend.ts";
import { UserError } from "../backend/errors.ts";
import { Ledger } from "../comm/ledger.ts";
import { type Rank, runRanks } from "../comm/loopback.ts";
import { lowerBound, score } from "../parallel/bound.ts";
import { distribute } from "../parallel/distribute.ts";
import { product } from "../parallel/matmul.ts";
import { type Form, gridMesh, lineMesh, operands, type ProductMesh, type ProductSize } from "../parallel/operands.ts";
import { productFootprint, productReceived, replicationWords } from "../parallel/product-volume.ts";
import type { MeshShape } from "../parallel/shape.ts";
import { isGrid } from "../parallel/volume.ts";
import { streams, uniform } from "../tensor/random.ts";
import { Tape } from "../tensor/tape.ts";
import { constant } from "../tensor/tensor.ts";
import { checkBlock, type ProductError, type Rule, worstOf } from "./product-check.ts";

export interface ProductRun {
  shape: MeshShape;
  form: Form;
  size: ProductSize;
  /** timed products, after one that is not */
  repeats: number;
  seed: number;
  /** what all ranks, and the product on one rank, may take together of this machine */
  maxBytes: number;
}

/** Milliseconds of each repetition, and the rate of the median. */
export interface Timing {
  ms: number[];
  medianMs: number;
  gflops: number;
}

export interface ProductResult {
  ranks: { wordsReceived: number; closedFormWords: number; messages: number; closedFormMessages: number }[];
  /** whether every rank of every repetition received its closed form, to the word and the message */
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
}

/** Multiplies `repeats` times on all ranks of a mesh that share the backend's device.
 *  @throws UserError for what does not fit the device, before anything is allocated */
export async function measureProduct(backend: Backend, run: ProductRun): Promise<ProductResult> {
  const { shape, form, size, repeats } = run;
  const whole = wholeBytes(size);
  const fitsOneRank = Math.max(...whole) <= backend.maxBufferBytes;
  requireFits(backend, run);
  const serial = fitsOneRank ? await timeSerial(backend, run) : undefined;
  backend.trim();
  if (backend.tune) {
    // What each rank multiplies is of other shapes than the whole: met once, then measured.
    await runRanks({ size: shape.size, backend, timeoutMs: rankTimeoutMs }, (rank) =>
      multiply(rank, { ...run, repeats: 0 }),
    );
    await backend.tune();
  }
  const ranks = await runRanks({ size: shape.size, backend, timeoutMs: rankTimeoutMs }, (rank) => multiply(rank, run));
  const reports = ranks.map(({ received }, rank) => {
    const closed = productReceived({ mesh: shape, rank, form, size });
    return {
      ...{ ...received[0], closedFormWords: closed.words, closedFormMessages: closed.messages },
      equal: received.every((each) => each.wordsReceived === closed.words && each.messages === closed.messages),
    };
  });
  const extra = replicationWords({ mesh: shape, form, size });
  const most = Math.max(...reports.map(({ wordsReceived }) => wordsReceived));
  return {
    ranks: reports.map(({ equal: _, ...report }) => report),
    equal: reports.every(({ equal }) => equal),
    lowerBoundWords: lowerBound(size, shape.size),
    replicationWords: extra,
    score: score({ words: most + extra, size, ranks: shape.size }),
    error: worstOf(ranks.map(({ error }) => error)),
    time: { mesh: timing(ranks[0].ms.slice(-repeats), size), serial },
  };
}

/** A software device computes a large product for minutes, and meanwhile every rank waits. */
const rankTimeoutMs = 600_000;

function timing(ms: number[], { m, n, k }: ProductSize): Timing {
  const sorted = ms.toSorted((a, b) => a - b);
  const medianMs = (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
  return { ms, medianMs, gflops: (2 * m * n * k) / medianMs / 1e6 };
}

/** Of A, B and C without padding. */
const wholeBytes = ({ m, n, k }: ProductSize): number[] => [4 * m * k, 4 * k * n, 4 * m * n];

function requireFits(backend: Backend, { shape, form, size, maxBytes }: ProductRun): void {
  const { largestWords, words } = productFootprint({ mesh: shape, form, size });
  const text = `${size.m} x ${size.k} times ${size.k} x ${size.n} on ${shape.size} rank${shape.size === 1 ? "" : "s"}`;
  if (4 * largestWords > backend.maxBufferBytes)
    throw new UserError(
      `${text} needs a buffer of ${mebibytes(4 * largestWords)} on each rank, but ${backend.adapter.description} gives at most ${mebibytes(backend.maxBufferBytes)}; use smaller sizes or more ranks`,
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

/** A number in (-1, 1) for each element of A and of B, as f32 holds it. */
function rules({ form, size, seed }: ProductRun): {
  a: Rule;
  b: Rule;
  shapeA: [number, number];
  shapeB: [number, number];
} {
  const { m, n, k } = size;
  const shapeA: [number, number] = form === "ATB" ? [k, m] : [m, k];
  const shapeB: [number, number] = form === "ABT" ? [n, k] : [k, n];
  const rule =
    (step: number, [, cols]: [number, number]): Rule =>
    (row, col) =>
      Math.fround(2 * uniform({ seed, stream: streams.matrices, step, index: row * cols + col }) - 1);
  return { a: rule(0, shapeA), b: rule(1, shapeB), shapeA, shapeB };
}

async function timeSerial(backend: Backend, run: ProductRun): Promise<Timing> {
  const { form, size, repeats } = run;
  const { a, b, shapeA, shapeB } = rules(run);
  const whole = (shape: [number, number], rule: Rule) => {
    const data = new Float32Array(shape[0] * shape[1]);
    for (let at = 0; at < data.length; at++) data[at] = rule(Math.floor(at / shape[1]), at % shape[1]);
    return constant(backend, { shape, data, purpose: "activations" });
  };
  using x = whole(shapeA, a);
  using y = whole(shapeB, b);
  using z = constant(backend, { shape: [size.m, size.n], purpose: "activations" });
  const ms: number[] = [];
  for (let repeat = 0; repeat <= repeats; repeat++) {
    await backend.sync();
    const start = performance.now();
    backend.run("matmul", {
      ...{ a: x.buffer, b: y.buffer, y: z.buffer, batch: 1, ...size },
      ...{ transposeA: form === "ATB", transposeB: form === "ABT", accumulate: false },
    });
    await backend.sync();
    ms.push(performance.now() - start);
    if (repeat === 0) await backend.tune?.();
  }
  // The first compiles.
  return timing(ms.slice(1), size);
}

/** One rank's program: the same product repeats + 1 times, from barrier to barrier; then this rank's block against f64. */
async function multiply({ link, backend }: Rank, run: ProductRun) {
  const { shape, form, size, repeats } = run;
  const { q, d } = shape;
  const ledger = new Ledger();
  const mesh: ProductMesh = isGrid(shape) ? gridMesh({ q, d, link, ledger }) : lineMesh({ link, ledger });
  const of = operands(mesh, form);
  const { a, b, shapeA, shapeB } = rules(run);
  using tape = new Tape(backend, { recording: false });
  const x = distribute(mesh, { tape, as: of.a, shape: shapeA, values: a });
  const y = distribute(mesh, { tape, as: of.b, shape: shapeB, values: b });
  const ms: number[] = [];
  const timed = async (repeat: number) => {
    ledger.step = repeat;
    await backend.sync();
    await mesh.world.barrier({ purpose: "timing" });
    const start = performance.now();
    const c = await product(x, y, { mesh, form });
    await backend.sync();
    await mesh.world.barrier({ purpose: "timing" });
    ms.push(performance.now() - start);
    return c;
  };
  for (let repeat = 0; repeat < repeats; repeat++) (await timed(repeat)).dispose();
  using c = await timed(repeats);
  const values = (await c.read()) as Float32Array;
  return {
    ms,
    received: ms.map((_, step) => receivedIn(ledger, step)),
    error: checkBlock(values, { mesh, form, size, a, b }),
  };
}

function receivedIn(ledger: Ledger, step: number): { wordsReceived: number; messages: number } {
  const entries = ledger.entries.filter((entry) => entry.step === step && entry.purpose !== "timing");
  return {
    wordsReceived: entries.reduce((sum, { words }) => sum + words, 0),
    messages: entries.reduce((sum, { messages }) => sum + messages, 0),
  };
}

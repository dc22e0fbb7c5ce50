// One rank's part in measuring a product, and the same product on one rank alone: programs that ranks run.

import type { Backend } from "../backend/backend.ts";
import type { FloatType } from "../backend/buffer.ts";
import { Ledger } from "../comm/ledger.ts";
import { distribute } from "../parallel/distribute.ts";
import { product } from "../parallel/matmul.ts";
import { type Form, gridMesh, lineMesh, operands, type ProductMesh, type ProductSize } from "../parallel/operands.ts";
import { productRoundings } from "../parallel/product-volume.ts";
import type { MeshShape } from "../parallel/shape.ts";
import { isGrid } from "../parallel/volume.ts";
import { streams, uniform } from "../tensor/random.ts";
import { Tape } from "../tensor/tape.ts";
import { constant } from "../tensor/tensor.ts";
import { checkBlock, type ProductError, type Rule } from "./product-check.ts";
import { ProductWatch, type WatchedRank } from "./product-watch.ts";
import type { RankContext } from "./rank.ts";
import { type RankNotes, Tracer } from "./tracer.ts";

export interface ProductRun {
  shape: MeshShape;
  form: Form;
  size: ProductSize;
  /** timed products, after one that is not */
  repeats: number;
  seed: number;
  /** how f32 travels; f32 when absent */
  wire?: FloatType;
  /** what all ranks, and the product on one rank, may take together of this machine */
  maxBytes: number;
  /** notes what each rank does when, in the timed products */
  trace?: boolean;
  /** notes what each rank sends and multiplies in the last product */
  watch?: boolean;
}

/** Milliseconds of each repetition, and the rate of the median. */
export interface Timing {
  ms: number[];
  medianMs: number;
  gflops: number;
}

export function timing(ms: number[], { m, n, k }: ProductSize): Timing {
  const sorted = ms.toSorted((a, b) => a - b);
  const medianMs = (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
  return { ms, medianMs, gflops: (2 * m * n * k) / medianMs / 1e6 };
}

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

/** The product on one rank. */
export async function timeAlone(backend: Backend, run: ProductRun): Promise<Timing> {
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

/** The same product repeats + 1 times, from barrier to barrier; then this rank's block against f64. */
export async function productRank(
  rank: Pick<RankContext, "link" | "backend">,
  run: ProductRun,
): Promise<{
  ms: number[];
  received: Received[];
  error: ProductError;
  notes: RankNotes | undefined;
  watched: WatchedRank | undefined;
}> {
  const { shape, form, size, repeats, wire } = run;
  const { q, d } = shape;
  const ledger = new Ledger();
  const watch = run.watch ? new ProductWatch(rank) : undefined;
  const { link, backend } = watch ?? rank;
  const tracer = run.trace ? new Tracer({ rank: link.rank, backend }) : undefined;
  const to = { link: tracer?.around(link) ?? link, ledger, wire };
  const mesh: ProductMesh = isGrid(shape) ? gridMesh({ q, d, ...to }) : lineMesh(to);
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
  for (let repeat = 0; repeat < repeats; repeat++) {
    (await timed(repeat)).dispose();
    if (repeat === 0) await tracer?.start();
  }
  watch?.begin(mesh);
  using c = await timed(repeats);
  const watched = watch?.end({ mesh, form, size });
  tracer?.stop();
  const values = (await c.read()) as Float32Array;
  const roundings = wire === "f16" ? productRoundings({ mesh: shape, form, size }) : 0;
  return {
    ms,
    received: ms.map((_, step) => receivedIn(ledger, step)),
    error: checkBlock(values, { mesh, form, size, a, b, roundings }),
    notes: await tracer?.finish(),
    watched,
  };
}

/** In one repetition. */
interface Received {
  wordsReceived: number;
  bytesReceived: number;
  messages: number;
}

function receivedIn(ledger: Ledger, step: number): Received {
  const entries = ledger.entries.filter((entry) => entry.step === step && entry.purpose !== "timing");
  return {
    wordsReceived: entries.reduce((sum, { words }) => sum + words, 0),
    bytesReceived: entries.reduce((sum, { bytes }) => sum + bytes, 0),
    messages: entries.reduce((sum, { messages }) => sum + messages, 0),
  };
}

// Every conversion between placements on three ranks: what arrives is the same whole, placed as it says, and so is its gradient;
// and Megatron's MLP written with them equals the serial one. Small whole numbers, exact in f32 whatever the order of sums.

import { test } from "uvu";
import { equal, is, ok } from "uvu/assert";
import { Ledger, totals } from "../../src/comm/ledger.ts";
import { type Rank, runRanks } from "../../src/comm/loopback.ts";
import { worldGroup } from "../../src/parallel/mesh.ts";
import {
  conversions,
  duals,
  type Placed,
  type Placement,
  place,
  placementsOf,
  products,
  requirePlacements,
  setPlacementChecks,
} from "../../src/parallel/placement.ts";
import {
  allGather,
  allReduce,
  allToAll,
  gradientOf,
  type MeshAxis,
  meshAxis,
  reduceScatter,
  replicate,
  split,
  sumGradient,
} from "../../src/parallel/redistribute.ts";
import { add } from "../../src/tensor/ops/elementwise.ts";
import { matmul } from "../../src/tensor/ops/products.ts";
import { Tape } from "../../src/tensor/tape.ts";
import { constant, Parameter, type Tensor } from "../../src/tensor/tensor.ts";
import { backendUnderTest, closeBackend } from "../gpu/harness.ts";

const size = 3;
const ranks = Array.from({ length: size }, (_, rank) => rank);
// Unequal, and both divide over three ranks.
const [rows, cols] = [6, 15];
const purpose = "test";

test.before.each(() => setPlacementChecks(true));
test.after.each(() => setPlacementChecks(false));
test.after(closeBackend);

let seed = 7;
const integers = (length: number): Float32Array =>
  Float32Array.from({ length }, () => {
    seed = (seed * 1103515245 + 12345) % 2 ** 31;
    return (seed % 17) - 8;
  });

/** What each rank holds of a whole [rows, cols], row-major. */
function blocksOf(whole: Float32Array, { placement, width }: { placement: Placement; width: number }): Float32Array[] {
  if (placement === "shard 0") {
    const length = whole.length / size;
    return ranks.map((rank) => whole.slice(rank * length, (rank + 1) * length));
  }
  if (placement === "shard 1") {
    const part = width / size;
    return ranks.map((rank) => whole.filter((_, at) => Math.floor((at % width) / part) === rank));
  }
  if (placement !== "partial") return ranks.map(() => whole);
  const [first, second] = [integers(whole.length), integers(whole.length)];
  return [first, second, whole.map((value, at) => value - first[at] - second[at])];
}

const shapeOf = (placement: Placement) => [
  placement === "shard 0" ? rows / size : rows,
  placement === "shard 1" ? cols / size : cols,
];

const added = (parts: readonly Float32Array[]) => parts.reduce((sum, part) => sum.map((value, at) => value + part[at]));

function checkPlaced(parts: Float32Array[], { whole, placement }: { whole: Float32Array; placement: Placement }): void {
  if (placement === "partial") equal(added(parts), whole);
  else equal(parts, blocksOf(whole, { placement, width: cols }));
}

/** Any conversion by its name in the table, as JavaScript would call it: the types are test/types' subject. */
async function convert(x: Tensor, way: { from: Placement; to: Placement; over: MeshAxis<"p"> }): Promise<Tensor> {
  const { from, to, over } = way;
  const dim = (placement: Placement) => (placement === "shard 0" ? 0 : 1);
  const whole = to === "replicate" ? "replicate" : "invariant";
  const name = `${from} > ${to}` as keyof typeof conversions;
  const as = <P extends Placement>(placement: P) => place(x, { p: placement });
  switch (conversions[name]) {
    case "replicate":
      return replicate(as("invariant"), { over, purpose });
    case "allReduce":
      return allReduce(as("partial"), { over, to: whole, purpose });
    case "reduceScatter":
      return reduceScatter(as("partial"), { over, dim: dim(to), purpose });
    case "split":
      return split(as("invariant"), { over, dim: dim(to), purpose });
    case "allGather":
      return dim(from) === 0
        ? allGather(as("shard 0"), { over, dim: 0, to: whole, purpose })
        : allGather(as("shard 1"), { over, dim: 1, to: whole, purpose });
    case "allToAll":
      return dim(from) === 0
        ? allToAll(as("shard 0"), { over, from: 0, to: 1, purpose })
        : allToAll(as("shard 1"), { over, from: 1, to: 0, purpose });
  }
}

const run = async <T>(program: (rank: Rank & { over: MeshAxis<"p">; rank: number }) => Promise<T>, ledger?: Ledger) =>
  runRanks({ size, backend: await backendUnderTest(), timeoutMs: 20_000 }, ({ link, backend }) =>
    program({ link, backend, rank: link.rank, over: meshAxis("p", worldGroup({ link, ledger })) }),
  );

for (const [name, collective] of Object.entries(conversions)) {
  const [from, to] = name.split(" > ") as [Placement, Placement];
  test(`${collective}: ${from} to ${to}, and its gradient from ${duals[to]} to ${duals[from]}`, async () => {
    const [whole, gradient] = [integers(rows * cols), integers(rows * cols)];
    const xs = blocksOf(whole, { placement: from, width: cols });
    const dys = blocksOf(gradient, { placement: duals[to], width: cols });
    const results = await run(async ({ backend, rank, over }) => {
      const result = { y: new Float32Array() as Float32Array, dx: new Float32Array() as Float32Array, placements: {} };
      {
        using tape = new Tape(backend, { recording: true });
        const x = tape.view(tape.input(xs[rank], { shape: shapeOf(from) }), { requiresGrad: true });
        const y = await convert(x, { from, to, over });
        result.placements = { ...placementsOf(y) };
        result.y = (await y.read()) as Float32Array;
        await tape.backward(y, tape.input(dys[rank], { shape: shapeOf(duals[to]) }));
        result.dx = (await tape.gradient(x)!.read()) as Float32Array;
        // Nobody disposes while another rank still asks for what this one lent.
        await over.group.barrier({ purpose });
      }
      await over.group.barrier({ purpose });
      is(backend.memory.total, 0, `rank ${rank} left memory allocated`);
      return result;
    });
    checkPlaced(
      results.map(({ y }) => y),
      { whole, placement: to },
    );
    checkPlaced(
      results.map(({ dx }) => dx),
      { whole: gradient, placement: duals[from] },
    );
    for (const { placements } of results) equal(placements, { p: to });
  });
}

// ---- Megatron's MLP, without its activation so that whole numbers stay whole ---------------------------------------------

/** A local product whose placements follow from its factors', for one axis. */
function product<X extends "replicate" | "shard 1", W extends "shard 1" | "shard 0">(
  x: Placed<{ p: X }>,
  w: Placed<{ p: W }>,
) {
  requirePlacements(w, { needs: { p: placementsOf(x)?.p === "shard 1" ? "shard 0" : "shard 1" }, what: "product's w" });
  type Y = X extends "shard 1" ? "partial" : "shard 1";
  const y = products[`${placementsOf(x)?.p} * ${placementsOf(w)?.p}` as keyof typeof products];
  return place(matmul(x, w, { form: "nn" }), { p: y as Y });
}

test("Megatron's MLP in placements: outputs and all gradients equal the serial product's, in two exchanges", async () => {
  const [tokens, width, hidden] = [4, 5, 6];
  const host = { x: integers(tokens * width), w1: integers(width * hidden), w2: integers(hidden * width) };
  const dy = integers(tokens * width);
  const ledger = new Ledger();
  const w1s = blocksOf(host.w1, { placement: "shard 1", width: hidden });
  const w2s = blocksOf(host.w2, { placement: "shard 0", width });
  const results = await run(async ({ backend, rank, over }) => {
    const parameter = (data: Float32Array, shape: number[]) => {
      const { storage } = constant(backend, { shape, data, purpose: "weights" });
      return new Parameter(storage, { shape, name: "w", decay: false });
    };
    using tape = new Tape(backend, { recording: true });
    using w1 = place(parameter(w1s[rank], [width, hidden / size]), { p: "shard 1" });
    using w2 = place(parameter(w2s[rank], [hidden / size, width]), { p: "shard 0" });
    const input = tape.view(tape.input(host.x, { shape: [tokens, width] }), { requiresGrad: true });
    const x = place(input, { p: "invariant" });
    const h = product(replicate(x, { over, purpose: "mlp" }), w1);
    const y: Placed<{ p: "invariant" }> = await allReduce(product(h, w2), { over, to: "invariant", purpose: "mlp" });
    const values = await y.read();
    await tape.backward(y, tape.input(dy, { shape: [tokens, width] }));
    const read = async (tensor: Tensor) => (await tensor.read()) as Float32Array;
    const result = {
      y: values,
      dx: await read(tape.gradient(x)!),
      dw1: await read(w1.gradient),
      dw2: await read(w2.gradient),
    };
    equal(placementsOf(gradientOf(w1)), { p: "shard 1" });
    await over.group.barrier({ purpose });
    return result;
  }, ledger);

  const multiply = (a: Float32Array, b: Float32Array, n: { rows: number; inner: number; cols: number }) =>
    Float32Array.from({ length: n.rows * n.cols }, (_, at) => {
      let sum = 0;
      for (let k = 0; k < n.inner; k++) sum += a[Math.floor(at / n.cols) * n.inner + k] * b[k * n.cols + (at % n.cols)];
      return sum;
    });
  const transposed = (a: Float32Array, width: number) =>
    a.map((_, at) => a[(at % (a.length / width)) * width + Math.floor(at / (a.length / width))]);
  const h = multiply(host.x, host.w1, { rows: tokens, inner: width, cols: hidden });
  const dh = multiply(dy, transposed(host.w2, width), { rows: tokens, inner: width, cols: hidden });
  const dw1 = multiply(transposed(host.x, width), dh, { rows: width, inner: tokens, cols: hidden });
  const dw2 = multiply(transposed(h, hidden), dy, { rows: hidden, inner: tokens, cols: width });
  const expected = {
    y: multiply(h, host.w2, { rows: tokens, inner: hidden, cols: width }),
    dx: multiply(dh, transposed(host.w1, hidden), { rows: tokens, inner: hidden, cols: width }),
  };
  for (const [rank, { y, dx, ...gradients }] of results.entries()) {
    equal({ y, dx }, expected);
    equal(gradients.dw1, blocksOf(dw1, { placement: "shard 1", width: hidden })[rank]);
    equal(gradients.dw2, blocksOf(dw2, { placement: "shard 0", width })[rank]);
  }
  const words = totals(ledger.entries, (entry) => entry.purpose);
  is(words.get("mlp forward")?.words, words.get("mlp backward")?.words);
  ok(words.get("mlp forward")!.words >= 2 * (size - 1) * tokens * width, "an all-reduce moves at least this much");
});

test("a weight used on other samples by each rank: its gradient is partial, and the sum is what the optimizer sees", async () => {
  const [tokens, width, out] = [6, 5, 4];
  const [x, w, dy] = [integers(tokens * width), integers(width * out), integers(tokens * out)];
  const xs = blocksOf(x, { placement: "shard 0", width });
  const dys = blocksOf(dy, { placement: "shard 0", width: out });
  const results = await run(async ({ backend, rank, over }) => {
    const { storage } = constant(backend, { shape: [width, out], data: w, purpose: "weights" });
    using atStep = place(new Parameter(storage, { shape: [width, out], name: "w", decay: false }), { p: "replicate" });
    using tape = new Tape(backend, { recording: true });
    const local = tape.input(xs[rank], { shape: [tokens / size, width] });
    const seed = tape.input(dys[rank], { shape: [tokens / size, out] });
    await tape.backward(matmul(local, atStep, { form: "nn" }), seed);
    const once = gradientOf(atStep);
    equal(placementsOf(once), { p: "partial" });
    const summed: Placed<{ p: "invariant" }> = await sumGradient(once, { over, purpose: "gradient sum" });
    equal(placementsOf(summed), { p: "invariant" });
    const values = (await atStep.gradient.read()) as Float32Array;

    // The same through the tape: a weight at rest, replicated for its use.
    atStep.gradientFilled = false;
    const atRest = place(atStep as Parameter, { p: "invariant" });
    const used = replicate(atRest, { over, purpose: "gradient sum", tape });
    await tape.backward(matmul(local, used, { form: "nn" }), seed);
    equal(await atRest.gradient.read(), values);
    await over.group.barrier({ purpose });
    return values;
  });
  const expected = Float32Array.from({ length: width * out }, (_, at) => {
    let sum = 0;
    for (let t = 0; t < tokens; t++) sum += x[t * width + Math.floor(at / out)] * dy[t * out + (at % out)];
    return sum;
  });
  for (const values of results) equal(values, expected);
});

test("a tensor used twice gets both gradients, each summed once, though both are one tensor's memory", async () => {
  const [x, dy] = [integers(rows * cols), integers(rows * cols)];
  const dys = blocksOf(dy, { placement: "partial", width: cols });
  const results = await run(async ({ backend, rank, over }) => {
    using tape = new Tape(backend, { recording: true });
    const input = tape.view(tape.input(x, { shape: [rows, cols] }), { requiresGrad: true });
    const rest = place(input, { p: "invariant" });
    const sum = add(replicate(rest, { over, purpose }), replicate(rest, { over, purpose }));
    await tape.backward(sum, tape.input(dys[rank], { shape: [rows, cols] }));
    const dx = (await tape.gradient(rest)!.read()) as Float32Array;
    await over.group.barrier({ purpose });
    return dx;
  });
  for (const dx of results)
    equal(
      dx,
      dy.map((value) => 2 * value),
    );
});

test("an extent that the ranks do not divide is refused by name", async () => {
  let message = "";
  await run(async ({ backend, over }) => {
    using tape = new Tape(backend, { recording: false });
    const x = place(tape.input(integers(8), { shape: [4, 2] }), { p: "invariant" });
    split(x, { over, dim: 0, purpose });
  }).catch((error: unknown) => {
    ok(error instanceof RangeError);
    message = error.message;
  });
  is(message, "split over p: dim 0 of [4,2] does not divide over 3 ranks; use a multiple of 3");
});

test("with checks on, a sum of what is no partial sum is refused before anything is sent", async () => {
  const ledger = new Ledger();
  let message = "";
  await run(async ({ backend, over }) => {
    using tape = new Tape(backend, { recording: false });
    const x = place(tape.input(integers(8), { shape: [4, 2] }), { p: "replicate" });
    await allReduce(x as Tensor as Placed<{ p: "partial" }>, { over, to: "invariant", purpose });
  }, ledger).catch((error: unknown) => {
    ok(error instanceof TypeError);
    message = error.message;
  });
  is(message, "allReduce's x is replicate on axis p, needed partial; no collective gets from one to the other");
  is(ledger.entries.length, 0);
});

test.run();

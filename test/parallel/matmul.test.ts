// Products of distributed matrices on random meshes, of random sizes that seldom divide: values and gradients against f64, and every
// rank's words against the closed form.

import fc from "fast-check";
import { test } from "uvu";
import { equal, is, ok, unreachable } from "uvu/assert";
import { nothing } from "../../src/comm/algorithms.ts";
import { Ledger, totals } from "../../src/comm/ledger.ts";
import { type Rank, runRanks } from "../../src/comm/loopback.ts";
import { lowerBound, score } from "../../src/parallel/bound.ts";
import { collect, distribute } from "../../src/parallel/distribute.ts";
import { product } from "../../src/parallel/matmul.ts";
import {
  type Form,
  gridMesh,
  lineMesh,
  operands,
  type ProductMesh,
  type ProductSize,
} from "../../src/parallel/operands.ts";
import { asPlaced, setPlacementChecks } from "../../src/parallel/placement.ts";
import {
  gradientReceived,
  productFootprint,
  productReceived,
  replicationWords,
} from "../../src/parallel/product-volume.ts";
import { Tape } from "../../src/tensor/tape.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { assertWithin } from "../gpu/compare.ts";
import { backendUnderTest, closeBackend } from "../gpu/harness.ts";
import * as oracle from "../gpu/oracle/products.ts";
import { mesh as meshOf, type NamedMesh } from "./meshes.ts";
import { values } from "./ranks.ts";

test.before.each(() => setPlacementChecks(true));
test.after.each(() => setPlacementChecks(false));
test.after(closeBackend);

const forms: readonly Form[] = ["AB", "ABT", "ATB"];
const meshes: NamedMesh[] = [
  ...[1, 2, 3, 4, 5, 6].map((ranks) => meshOf("1d", [ranks])),
  ...[1, 2, 3].map((q) => meshOf("2d", [q, q])),
  ...[2, 3, 5].map((d) => meshOf("2.5d", [2, 2, d])),
  ...[meshOf("2.5d", [1, 1, 3]), meshOf("2.5d", [3, 3, 2]), meshOf("2.5d", [5, 5, 1])],
];

type Matrix = [number, number];
const shapes = (form: Form, { m, n, k }: ProductSize): { a: Matrix; b: Matrix; c: Matrix } => ({
  a: form === "ATB" ? [k, m] : [m, k],
  b: form === "ABT" ? [n, k] : [k, n],
  c: [m, n],
});

const on = ({ q, d, layout }: NamedMesh, options: Rank & { ledger: Ledger }): ProductMesh =>
  layout === "1d" ? lineMesh(options) : gridMesh({ q, d, ...options });

/** C and the operands' gradients for a gradient `dc` of C, collected on the last rank; words received by purpose on each. */
async function run(
  shape: NamedMesh,
  call: { form: Form; size: ProductSize; a: Float32Array; b: Float32Array; dc: Float32Array },
) {
  const { form, size, a, b, dc } = call;
  const extents = shapes(form, size);
  const backend = await backendUnderTest();
  const to = shape.size - 1;
  const results = await runRanks({ size: shape.size, backend, timeoutMs: 20_000 }, async (rank) => {
    const ledger = new Ledger();
    const mesh = on(shape, { ...rank, ledger });
    const of = operands(mesh, form);
    using tape = new Tape(rank.backend, { recording: true });
    const x = distribute(mesh, { tape, as: of.a, shape: extents.a, values: a, requiresGrad: true });
    const y = distribute(mesh, {
      ...{ tape, as: of.b, shape: extents.b, requiresGrad: true },
      values: (row, col) => b[row * extents.b[1] + col],
    });
    const c = await product(x, y, { mesh, form });
    await tape.backward(c, distribute(mesh, { tape, as: of.c, shape: extents.c, values: dc }));
    const gradient = (of: Tensor) => tape.gradient(of) ?? unreachable("no gradient");
    const whole = {
      c: await collect(c, { mesh, as: of.c, shape: extents.c, to }),
      a: await collect(asPlaced(gradient(x) as Tensor, { placements: of.a, what: "da" }), {
        mesh,
        as: of.a,
        shape: extents.a,
        to,
      }),
      b: await collect(asPlaced(gradient(y) as Tensor, { placements: of.b, what: "db" }), {
        mesh,
        as: of.b,
        shape: extents.b,
        to,
      }),
    };
    return { whole, words: totals(ledger.entries, ({ purpose }) => purpose) };
  });
  is(backend.memory.total, 0, "nothing is left on the device");
  return { whole: results[to].whole, words: results.map(({ words }) => words) };
}

const cases = fc.record({
  shape: fc.constantFrom(...meshes),
  form: fc.constantFrom(...forms),
  size: fc.record({
    m: fc.integer({ min: 1, max: 23 }),
    n: fc.integer({ min: 1, max: 23 }),
    k: fc.integer({ min: 1, max: 23 }),
  }),
  seed: fc.nat(1000),
});

test("every form on every mesh: values, both gradients and each rank's words and messages, at sizes that need not divide", async () => {
  await fc.assert(
    fc.asyncProperty(cases, async ({ shape, form, size, seed }) => {
      const { m, n, k } = size;
      const [a, b, dc] = [m * k, k * n, m * n].map((length, at) => values(length, 3 * seed + at));
      const { whole, words } = await run(shape, { form, size, a, b, dc });
      const product = (x: Float32Array, y: Float32Array, as: Form, [rows, cols, inner]: number[]) =>
        oracle.product(x, y, {
          ...{ batch: 1, m: rows, n: cols, k: inner },
          ...{ transposeA: as === "ATB", transposeB: as === "ABT" },
        });
      // Written out once more, without the library's own table.
      const expected = {
        AB: () => ({ a: product(dc, b, "ABT", [m, k, n]), b: product(a, dc, "ATB", [k, n, m]) }),
        ABT: () => ({ a: product(dc, b, "AB", [m, k, n]), b: product(dc, a, "ATB", [n, k, m]) }),
        ATB: () => ({ a: product(b, dc, "ABT", [k, m, n]), b: product(a, dc, "AB", [k, n, m]) }),
      }[form]();
      assertWithin(whole.c!, product(a, b, form, [m, n, k]), "C");
      assertWithin(whole.a!, expected.a, "dA");
      assertWithin(whole.b!, expected.b, "dB");
      for (const [rank, received] of words.entries()) {
        const of = { mesh: shape, rank, form, size };
        const counted = (purpose: string) => {
          const { words, messages } = received.get(purpose) ?? nothing;
          return { words, messages };
        };
        equal(counted("product forward"), productReceived(of), `forward, rank ${rank}`);
        equal(counted("product backward"), gradientReceived(of), `backward, rank ${rank}`);
      }
    }),
    { numRuns: 60 },
  );
});

test("no layout receives less than the lower bound, copies of B charged; a line that gathers the smallest matrix meets it", () => {
  fc.assert(
    fc.property(cases, fc.integer({ min: 1, max: 200 }), ({ shape, form, size }, times) => {
      const larger = { m: size.m * times, n: size.n, k: size.k * Math.ceil(times / 7) };
      const of = { mesh: shape, form, size: larger };
      const words = Array.from({ length: shape.size }, (_, rank) => productReceived({ ...of, rank }).words);
      // Whole numbers on one side, square and cube roots of whole numbers on the other.
      const bound = lowerBound(larger, shape.size) * (1 - 1e-12);
      ok(Math.max(...words) + replicationWords(of) >= bound);
    }),
    { numRuns: 3000 },
  );
  const [mesh, size] = [meshOf("1d", [4]), { m: 40, n: 4000, k: 20 }];
  is(score({ words: productReceived({ mesh, rank: 0, form: "AB", size }).words, size, ranks: 4 }), 1);
});

test("a product's peak memory on each rank is at most what sizes are refused by, and more than 0.6 of it", async () => {
  const backend = await backendUnderTest();
  const size = { m: 60, n: 90, k: 30 };
  for (const shape of meshes.filter((mesh) => mesh.size > 1))
    for (const form of forms) {
      const { words, largestWords } = productFootprint({ mesh: shape, form, size });
      const extents = shapes(form, size);
      const peaks = await runRanks({ size: shape.size, backend }, async (rank) => {
        const mesh = on(shape, { ...rank, ledger: new Ledger() });
        const of = operands(mesh, form);
        using tape = new Tape(rank.backend, { recording: false });
        const a = distribute(mesh, { tape, as: of.a, shape: extents.a, values: () => 1 });
        const b = distribute(mesh, { tape, as: of.b, shape: extents.b, values: () => 1 });
        await product(a, b, { mesh, form });
        return rank.backend.memory.peak.total / 4;
      });
      const peak = Math.max(...peaks);
      // How many blocks of two steps meet depends on the messages' order. The least: one of C where two or three are allowed for.
      ok(peak <= words && peak > 0.6 * words, `${shape.name} ${form}: peak ${peak}, words ${words}`);
      ok(largestWords <= peak);
    }
});

test("a product's result is an operand of the next: (A B) D and (A B)T E on a line and a grid", async () => {
  const [m, k, n, r] = [7, 5, 9, 4];
  const [a, b, d, e] = [m * k, k * n, n * r, m * r].map((length, at) =>
    // Small whole numbers: every sum is exact.
    values(length, at + 1).map((value) => Math.round(4 * value)),
  );
  const times = (x: Float32Array, y: Float32Array, [rows, cols, inner]: number[]) =>
    Float32Array.from({ length: rows * cols }, (_, at) => {
      let sum = 0;
      for (let l = 0; l < inner; l++) sum += x[Math.floor(at / cols) * inner + l] * y[l * cols + (at % cols)];
      return sum;
    });
  const ab = times(a, b, [m, n, k]);
  const transposed = Float32Array.from({ length: m * n }, (_, at) => ab[(at % m) * n + Math.floor(at / m)]);
  const backend = await backendUnderTest();
  const [lineResults, gridResults] = [
    await runRanks({ size: 3, backend }, async (rank) => {
      const mesh = lineMesh(rank);
      using tape = new Tape(rank.backend, { recording: false });
      const of = operands(mesh, "AB");
      const x = await product(
        distribute(mesh, { tape, as: of.a, shape: [m, k], values: a }),
        distribute(mesh, { tape, as: of.b, shape: [k, n], values: b }),
        { mesh, form: "AB" },
      );
      // Columns of A B meet columns of the transposed D: ABT.
      const dT = Float32Array.from({ length: n * r }, (_, at) => d[(at % n) * r + Math.floor(at / n)]);
      const y = distribute(mesh, { tape, as: operands(mesh, "ABT").b, shape: [r, n], values: dT });
      const z = await product(x, y, { mesh, form: "ABT" });
      return collect(z, { mesh, as: operands(mesh, "ABT").c, shape: [m, r], to: 0 });
    }),
    await runRanks({ size: 8, backend }, async (rank) => {
      const mesh = gridMesh({ q: 2, d: 2, ...rank });
      using tape = new Tape(rank.backend, { recording: false });
      const of = operands(mesh, "AB");
      const x = await product(
        distribute(mesh, { tape, as: of.a, shape: [m, k], values: a }),
        distribute(mesh, { tape, as: of.b, shape: [k, n], values: b }),
        { mesh, form: "AB" },
      );
      const y = distribute(mesh, { tape, as: operands(mesh, "ATB").b, shape: [m, r], values: e });
      const z = await product(x, y, { mesh, form: "ATB" });
      return collect(z, { mesh, as: operands(mesh, "ATB").c, shape: [n, r], to: 0 });
    }),
  ];
  equal(lineResults[0], times(ab, d, [m, r, n]));
  equal(gridResults[0], times(transposed, e, [n, r, m]));
});

test("inner extents that differ, and matrices that are none, are refused", async () => {
  const backend = await backendUnderTest();
  const refused = async (program: (mesh: ReturnType<typeof lineMesh>, tape: Tape) => unknown) => {
    try {
      await runRanks({ size: 2, backend }, async (rank) => {
        using tape = new Tape(rank.backend, { recording: false });
        await program(lineMesh(rank), tape);
      });
    } catch (error) {
      ok(error instanceof RangeError, `${error}`);
      return error.message;
    }
    return "accepted";
  };
  const values = () => 1;
  is(
    await refused((mesh, tape) => {
      const of = operands(mesh, "AB");
      const a = distribute(mesh, { tape, as: of.a, shape: [5, 6], values });
      const b = distribute(mesh, { tape, as: of.b, shape: [7, 4], values });
      return product(a, b, { mesh, form: "AB" });
    }),
    "AB of [6,6] and [8,4], padding included: got inner extents 6 and 8, need the same",
  );
  is(
    await refused((mesh, tape) => distribute(mesh, { tape, as: { p: "shard 0" }, shape: [0, 6], values })),
    "matrix [0,6]: extents must be whole numbers from 1",
  );
  is(
    await refused((mesh, tape) =>
      distribute(mesh, { tape, as: { p: "shard 0" }, shape: [2, 2], values: new Float32Array(5), name: "A" }),
    ),
    "A [2,2] needs 4 values, got 5",
  );
});

test.run();

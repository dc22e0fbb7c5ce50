// The placement rules, tried on numbers: a simulated mesh axis of three ranks decides which rules are right, gradients included.
// Whole numbers small enough for f64 to be exact, so that right means equal.

import { test } from "uvu";
import { equal, is, not, throws } from "uvu/assert";
import type { Backend } from "../../src/backend/backend.ts";
import {
  biases,
  duals,
  type Placement,
  place,
  placementsOf,
  products,
  requireNoPartial,
  requirePlacements,
  setPlacementChecks,
} from "../../src/parallel/placement.ts";
import { Storage, Tensor } from "../../src/tensor/tensor.ts";

type Matrix = number[][];
const ranks = [0, 1, 2];
const all = Object.keys(duals) as Placement[];

let seed = 1;
const random = () => {
  seed = (seed * 1103515245 + 12345) % 2 ** 31;
  return (seed % 17) - 8;
};
const matrix = (rows: number, cols: number): Matrix =>
  Array.from({ length: rows }, () => Array.from({ length: cols }, random));
const transposed = (a: Matrix): Matrix => a[0].map((_, col) => a.map((row) => row[col]));
const zip = (a: Matrix, b: Matrix, f: (x: number, y: number) => number): Matrix =>
  a.map((row, r) => row.map((value, c) => f(value, b[r][c])));
const add = (a: Matrix, b: Matrix) => zip(a, b, (x, y) => x + y);
const sameShape = (a: Matrix, b: Matrix) => a.length === b.length && a[0].length === b[0].length;
const multiply = (a: Matrix, b: Matrix): Matrix | undefined =>
  a[0].length === b.length
    ? a.map((row) => b[0].map((_, col) => row.reduce((sum, value, k) => sum + value * b[k][col], 0)))
    : undefined;

/** What each rank holds of a whole. */
function blocks(whole: Matrix, placement: Placement): Matrix[] {
  const third = (length: number, rank: number) => [(rank * length) / 3, ((rank + 1) * length) / 3];
  if (placement === "shard 0") return ranks.map((rank) => whole.slice(...third(whole.length, rank)));
  if (placement === "shard 1")
    return ranks.map((rank) => whole.map((row) => row.slice(...third(whole[0].length, rank))));
  if (placement !== "partial") return ranks.map(() => whole);
  const [first, second] = [matrix(whole.length, whole[0].length), matrix(whole.length, whole[0].length)];
  return [first, second, zip(whole, add(first, second), (x, y) => x - y)];
}

/** Whether these are blocks of the whole, placed so. */
function represents(parts: (Matrix | undefined)[], { whole, placement }: { whole: Matrix; placement: Placement }) {
  const present = parts.filter((part) => part !== undefined);
  if (present.length < ranks.length) return false;
  const same = (a: Matrix, b: Matrix) => JSON.stringify(a) === JSON.stringify(b);
  if (placement === "partial")
    return present.every((part) => sameShape(part, whole)) && same(present.reduce(add), whole);
  const expected = blocks(whole, placement);
  return present.every((part, rank) => same(part, expected[rank]));
}

interface Op {
  a: Matrix;
  b: Matrix;
  /** undefined when shapes do not fit */
  forward: (a: Matrix, b: Matrix) => Matrix | undefined;
  da: (dy: Matrix, b: Matrix) => Matrix | undefined;
  db: (dy: Matrix, a: Matrix) => Matrix | undefined;
}

/** Every "a . b" and the placement of y for which y and both gradients are right when each rank computes on its blocks alone. */
function rightRules(op: Op, sign: string): Record<string, Placement> {
  const rules: Record<string, Placement> = {};
  const y = op.forward(op.a, op.b) as Matrix;
  const dy = matrix(y.length, y[0].length);
  const [da, db] = [op.da(dy, op.b) as Matrix, op.db(dy, op.a) as Matrix];
  for (const pa of all)
    for (const pb of all) {
      const [as, bs] = [blocks(op.a, pa), blocks(op.b, pb)];
      for (const py of all) {
        if (
          !represents(
            ranks.map((r) => op.forward(as[r], bs[r])),
            { whole: y, placement: py },
          )
        )
          continue;
        const dys = blocks(dy, duals[py]);
        if (
          !represents(
            ranks.map((r) => op.da(dys[r], bs[r])),
            { whole: da, placement: duals[pa] },
          )
        )
          continue;
        if (
          !represents(
            ranks.map((r) => op.db(dys[r], as[r])),
            { whole: db, placement: duals[pb] },
          )
        )
          continue;
        not(`${pa} ${sign} ${pb}` in rules, `${pa} ${sign} ${pb} could be more than one placement`);
        rules[`${pa} ${sign} ${pb}`] = py;
      }
    }
  return rules;
}

test("the table of products is exactly the pairs whose product and gradients are right without communication", () => {
  const op: Op = {
    a: matrix(3, 6),
    b: matrix(6, 9),
    forward: multiply,
    da: (dy, w) => multiply(dy, transposed(w)),
    db: (dy, x) => multiply(transposed(x), dy),
  };
  equal(rightRules(op, "*"), products);
});

test("the table of biases is exactly the pairs whose sum and gradients are right without communication", () => {
  // A vector is a column here, so that its dim 0 is the rows' dim 1.
  const op: Op = {
    a: matrix(3, 6),
    b: matrix(6, 1),
    forward: (x, b) => (x[0].length === b.length ? x.map((row) => row.map((value, c) => value + b[c][0])) : undefined),
    da: (dy) => dy,
    db: (dy) => transposed(dy).map((column) => [column.reduce((sum, value) => sum + value)]),
  };
  equal(rightRules(op, "+"), biases);
});

test("a sum is right exactly when both terms are placed alike", () => {
  const op: Op = {
    a: matrix(3, 6),
    b: matrix(3, 6),
    forward: (x, y) => (sameShape(x, y) ? add(x, y) : undefined),
    da: (dy) => dy,
    db: (dy) => dy,
  };
  equal(rightRules(op, "+"), Object.fromEntries(all.map((p) => [`${p} + ${p}`, p])));
});

test("the gradient of the gradient is placed as the tensor", () => {
  for (const placement of all) is(duals[duals[placement]], placement);
});

// ---- the checks at run time -----------------------------------------------------------------------------------------------

/** A tensor that computes nothing: placements never touch its memory. */
const tensor = (name: string) =>
  new Tensor(new Storage({} as Backend, { id: 0, dtype: "f32", length: 6, purpose: "scratch" }), {
    shape: [2, 3],
    name,
  });

const checked = (name: string, run: () => void) =>
  test(name, () => {
    setPlacementChecks(true);
    try {
      run();
    } finally {
      setPlacementChecks(false);
    }
  });

const refusal = (run: () => void): string => {
  try {
    run();
  } catch (error) {
    if (error instanceof TypeError) return error.message;
    throw error;
  }
  return "nothing was refused";
};

test("with checks off nothing is recorded and nothing refused", () => {
  const x = tensor("x");
  is(place(x, { p: "partial" }), x);
  is(placementsOf(x), undefined);
  requirePlacements(x, { needs: { p: "invariant" }, what: "gelu's x" });
  requireNoPartial(x, "gelu's x");
});

checked("placements are what place said last", () => {
  const x = tensor("x");
  place(x, { p: "partial" });
  equal(placementsOf(place(x, { i: "shard 0", j: "shard 1" })), { i: "shard 0", j: "shard 1" });
  setPlacementChecks(false);
  setPlacementChecks(true);
  is(placementsOf(x), undefined);
});

checked("what fits is accepted", () => {
  const x = place(tensor("x"), { i: "shard 0", j: "invariant" });
  requirePlacements(x, { needs: { j: "invariant" }, what: "norm's x" });
  requirePlacements(x, { needs: { i: ["partial", "shard 0"] }, what: "norm's x" });
  requireNoPartial(x, "norm's x");
});

checked("a refusal names the op, the axis, what was got and needed, and the collective between them", () => {
  const x = place(tensor("x"), { i: "shard 0", j: "partial" });
  const needing = (needs: Parameters<typeof requirePlacements>[1]["needs"]) =>
    refusal(() => requirePlacements(x, { needs, what: "linear's x" }));
  is(
    needing({ j: "invariant" }),
    "linear's x is a partial sum on axis j, needed invariant; allReduce it over j (to invariant)",
  );
  is(
    needing({ j: ["replicate", "shard 1"] }),
    "linear's x is a partial sum on axis j, needed replicate or shard 1; allReduce it over j (to replicate) or reduceScatter it over j (to shard 1)",
  );
  is(
    needing({ i: "shard 1", j: "partial" }),
    "linear's x is shard 0 on axis i, needed shard 1; allToAll it over i (to shard 1)",
  );
  is(
    needing({ i: "partial" }),
    "linear's x is shard 0 on axis i, needed partial; no collective gets from one to the other",
  );
  is(needing({ k: "invariant" }), "linear's x has no axis k; its mesh has i, j");
  is(
    refusal(() => requireNoPartial(x, "gelu's x")).split(";")[0],
    "gelu's x is a partial sum on axis j, needed replicate or invariant or shard 0 or shard 1",
  );
});

checked("a tensor that was never placed is refused where a placement is needed", () => {
  is(
    refusal(() => requirePlacements(tensor("h"), { needs: { p: "invariant" }, what: "gelu's x" })),
    "gelu's x h has no placements; place(tensor, placements) says which, after setPlacementChecks(true)",
  );
});

checked("a placement that does not exist is refused", () => {
  const wrong: Record<string, string> = { i: "split" };
  throws(
    () => place(tensor("x"), wrong as Record<string, Placement>),
    'axis i: got placement "split", needed one of replicate, invariant, partial, shard 0, shard 1',
  );
});

test.run();

// Products of two matrices that are distributed over a mesh: one function for the three forms, differentiable, each form's backward
// being the other two. On a grid SUMMA (products.ts) and the sum over planes; on a line the products of sequence parallelism.
//
// Legend: A, B, C with extents M, N, K as operands.ts has them, padding included; P ranks in a line, q x q x d on a grid.

import { handle } from "../comm/collectives.ts";
import { tapeOf } from "../tensor/tape.ts";
import { scratch, type Tensor } from "../tensor/tensor.ts";
import { allGathered, allReduced, reduceScattered } from "./exchange.ts";
import {
  type Form,
  type GridMesh,
  type LineMesh,
  type Operand,
  operands,
  type ProductMesh,
  wholeShape,
} from "./operands.ts";
import type { Columns, Rows } from "./parallel-linear.ts";
import { asPlaced, type Placed, type Placements, place } from "./placement.ts";
import { type Activation, activation, multiply, productAB, productABT, productATB, weight } from "./products.ts";
import { blocks, joined } from "./redistribute.ts";

/** Each operand's gradient is a product of another form. */
export const gradientForms = {
  AB: { a: { form: "ABT", of: ["c", "b"] }, b: { form: "ATB", of: ["a", "c"] } },
  ABT: { a: { form: "AB", of: ["c", "b"] }, b: { form: "ATB", of: ["c", "a"] } },
  ATB: { a: { form: "ABT", of: ["b", "c"] }, b: { form: "AB", of: ["a", "c"] } },
} as const satisfies Record<Form, Record<"a" | "b", { form: Form; of: readonly ["a" | "b" | "c", "a" | "b" | "c"] }>>;

/** This rank's block of C, whole: no partial sum is left on any axis. Every rank of the mesh calls it, with operands placed as
 *  `operands(mesh, form)` says, at least one of them on a tape.
 *  @param options.purpose what the ledger calls the messages; "product" if absent
 *  @throws RangeError when inner extents differ
 *  van de Geijn & Watts 1997; arXiv:2105.14500 section 3; on a line arXiv:2205.05198 section 4.2 */
export async function product<M extends ProductMesh, F extends Form>(
  a: Placed<Operand<M, F, "a">>,
  b: Placed<Operand<M, F, "b">>,
  options: { mesh: M; form: F; purpose?: string },
): Promise<Placed<Operand<M, F, "c">>>;
export async function product(
  a: Tensor,
  b: Tensor,
  options: { mesh: ProductMesh; form: Form; purpose?: string },
): Promise<Tensor> {
  const { mesh, form, purpose = "product" } = options;
  requireInner({ a, b }, options);
  const tape = tapeOf(a, b);
  const c = place(
    tape.outputOf(form, {
      values: await blockOfProduct({ a, b }, { mesh, form, purpose: `${purpose} forward` }),
      inputs: [a, b],
    }),
    operands(mesh, form).c,
  );
  return tape.record({
    op: form,
    output: c,
    saved: [a, b],
    async vjp(dc, gradients) {
      const values = { a, b, c: dc };
      for (const operand of ["a", "b"] as const) {
        if (!gradients.wants(values[operand])) continue;
        const { form: other, of } = gradientForms[form][operand];
        const factors = { a: values[of[0]], b: values[of[1]] };
        using dx = await blockOfProduct(factors, { mesh, form: other, purpose: `${purpose} backward` });
        gradients.pass(values[operand], dx);
      }
    },
  });
}

interface Call {
  mesh: ProductMesh;
  form: Form;
  purpose: string;
}

/** A tensor of nobody's tape. */
function blockOfProduct(factors: { a: Tensor; b: Tensor }, { mesh, form, purpose }: Call): Promise<Tensor> {
  const taken = <P extends Placements>(which: "a" | "b", placements: P): Placed<P> =>
    asPlaced(factors[which], { placements, what: `${form}'s ${which}` });
  if (mesh.kind === "line") {
    const of = operands(mesh, form);
    const b = taken("b", of.b);
    if (form === "ABT") return lineABT(mesh, { a: taken("a", operands(mesh, form).a), b, purpose });
    return lineOfRows(mesh, { a: taken("a", operands(mesh, form).a), b, form, purpose });
  }
  const a = taken("a", operands(mesh, form).a);
  if (form === "ATB") return gridATB(mesh, { a, b: taken("b", operands(mesh, form).b), purpose });
  return gridByWeight(mesh, { a, b: taken("b", operands(mesh, form).b), form, purpose });
}

// ---- on a grid --------------------------------------------------------------------------------------------------------------

type WeightAtRest = Operand<GridMesh, "AB", "b">;

/** C [M/(dq), N/q] = A [M/(dq), K/q] times B [K/q, N/q], or its transpose [N/q, K/q]. */
async function gridByWeight(
  { grid }: GridMesh,
  factors: { a: Placed<Activation>; b: Placed<WeightAtRest>; form: "AB" | "ABT"; purpose: string },
): Promise<Placed<Activation>> {
  const { a, b, form, purpose } = factors;
  // Each plane multiplies it with rows of its own; the sum of its gradient over planes is gridATB's.
  using w = place(handle(b), weight);
  const tensor = place(scratch(a, [a.shape[0], form === "AB" ? b.shape[1] : b.shape[0]]), activation);
  const to = { tensor, accumulate: false };
  if (form === "AB") await productAB(grid, { a, b: w, to, purpose });
  else await productABT(grid, { a, b: w, to, purpose });
  return tensor;
}

/** C [M/q, N/q] = the transpose of A [K/(dq), M/q] times B [K/(dq), N/q]: of this plane's rows, then summed over planes. */
async function gridATB(
  { grid, depth }: GridMesh,
  { a, b, purpose }: { a: Placed<Activation>; b: Placed<Activation>; purpose: string },
): Promise<Placed<WeightAtRest>> {
  using own = place(scratch(a, [a.shape[1], b.shape[1]]), { i: "shard 0", j: "shard 1", k: "partial" });
  await productATB(grid, { a, b, to: { tensor: own, accumulate: false }, purpose });
  return allReduced(own, { over: depth, purpose });
}

// ---- on a line --------------------------------------------------------------------------------------------------------------

/** C [M, N/P] = A times B [K, N/P], A gathered from rows [M/P, K]; or its transpose times B, A from rows [K/P, M]. */
async function lineOfRows(
  { line }: LineMesh,
  { a, b, form, purpose }: { a: Placed<Rows>; b: Placed<Columns>; form: "AB" | "ATB"; purpose: string },
): Promise<Placed<Columns>> {
  using whole = joined(await allGathered(a, { over: line, purpose }), 0);
  const tensor = scratch(a, [whole.shape[form === "AB" ? 0 : 1], b.shape[1]]);
  multiply({ a: whole, b, form: form === "AB" ? "nn" : "tn", to: { tensor, accumulate: false } });
  return place(tensor, { p: "shard 1" });
}

/** C [M/P, N] = A times the transpose of B, summed over ranks, each of which has K/P columns of both: A [M, K/P], B [N, K/P]. */
async function lineABT(
  { line }: LineMesh,
  { a, b, purpose }: { a: Placed<Columns>; b: Placed<Columns>; purpose: string },
): Promise<Placed<Rows>> {
  using terms = scratch(a, [a.shape[0], b.shape[0]]);
  multiply({ a, b, form: "nt", to: { tensor: terms, accumulate: false } });
  const parts = blocks(terms, { dim: 0, over: line, what: "ABT" }).map((part) => place(part, { p: "partial" }));
  return reduceScattered(parts, { over: line, purpose });
}

// ---- sizes ------------------------------------------------------------------------------------------------------------------

function requireInner({ a, b }: { a: Tensor; b: Tensor }, { mesh, form }: { mesh: ProductMesh; form: Form }): void {
  const of = operands(mesh, form);
  const [shapeA, shapeB] = [
    wholeShape(mesh, { shape: a.shape, placements: of.a }),
    wholeShape(mesh, { shape: b.shape, placements: of.b }),
  ];
  const [innerA, innerB] = [shapeA[form === "ATB" ? 0 : 1], shapeB[form === "ABT" ? 1 : 0]];
  if (innerA !== innerB)
    throw new RangeError(
      `${form} of [${shapeA}] and [${shapeB}], padding included: got inner extents ${innerA} and ${innerB}, need the same`,
    );
}

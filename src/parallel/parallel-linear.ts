// Column-parallel and row-parallel products along one mesh axis (Megatron-LM, arXiv 1909.08053), and their sequence-parallel forms
// (arXiv 2205.05198): a column product, what is done to its columns, a row product, and one collective at either end.
// Who holds what of a model is megatron.ts.
//
// Legend: T rows (batch * tokens), K, N whole extents of a weight, P ranks, p this rank.

import { matmul } from "../tensor/ops/products.ts";
import { type Tape, tapeOf } from "../tensor/tape.ts";
import { type Parameter, scratch, type Tensor } from "../tensor/tensor.ts";
import { type Placed, type Product, place, requirePlacements } from "./placement.ts";
import { type Destination, multiply } from "./products.ts";
import { allReduce, blocks, joined, type MeshAxis, reduceScatter, replicate } from "./redistribute.ts";

/** The residual stream [T, K] of 1D: whole on every rank, which all use it alike. */
export type Whole = { p: "invariant" };
/** The residual stream of 1D with sequence parallelism: [T/P, K]. */
export type Rows = { p: "shard 0" };
/** Between a column product and a row product: [T, N/P]. */
export type Columns = { p: "shard 1" };

type Replicated = { p: "replicate" };
type Weight<P extends { p: "shard 0" | "shard 1" }> = Parameter & Placed<P>;

/** What every product here is told. */
export interface Along {
  over: MeshAxis<"p">;
  /** the ledger's word; "forward" or "backward" is added */
  purpose: string;
}

/** y = x w with w [K, N/P], or, transposed, y = x wT with w [N/P, K]; a bias [N/P] is cut as y's columns are. */
export type ColumnFactor =
  | { transposed: false; w: Weight<Columns>; bias?: Weight<Rows>; name: string }
  | { transposed: true; w: Weight<Rows>; bias?: undefined; name: string };

const formOf = ({ transposed }: ColumnFactor): "nn" | "nt" => (transposed ? "nt" : "nn");

// ---- column-parallel ------------------------------------------------------------------------------------------------

// forward   y  = x w        nothing
// dx        dy wT           all-reduce
// dw        xT dy           nothing
/** y[T, N/P] from x [T, K] whole on every rank: Megatron's f, then the product. */
export function columnParallel(x: Placed<Whole>, { over, purpose, ...factor }: Along & ColumnFactor): Placed<Columns> {
  using own = replicate(x, { over, purpose });
  return columnProduct(own, factor);
}

function columnProduct(x: Placed<Replicated>, factor: ColumnFactor): Placed<Product<Replicated, Columns>> {
  requirePlacements(x, { needs: { p: "replicate" }, what: "a column product's x" });
  const { w, bias, name } = factor;
  return place(matmul(x, w, { form: formOf(factor), bias, name }), { p: "shard 1" });
}

// forward   y  = x w        all-gather x
// dx        dy wT           reduce-scatter
// dw        xT dy           all-gather x
/** y[T, N/P] from this rank's rows x [T/P, K]. Only those are kept for the backward, which gathers them again: one op, because a product
 *  on a gathered tensor would keep all T. */
export async function columnParallelOfRows(
  x: Placed<Rows>,
  { over, purpose, ...factor }: Along & ColumnFactor,
): Promise<Placed<Product<Replicated, Columns>>> {
  requirePlacements(x, { needs: { p: "shard 0" }, what: "a column product's rows" });
  const { w, bias, name, transposed } = factor;
  const { group } = over;
  const tape = tapeOf(x);
  const rows = x.shape[0] * group.size;
  const gathered = async (direction: "forward" | "backward") =>
    joined(await group.allGather(x, { purpose: `${purpose} ${direction}` }), 0);
  using whole = await gathered("forward");
  const y = tape.output(name, { shape: [rows, w.shape[transposed ? 0 : 1]], inputs: [x, w, bias] });
  multiply({ a: whole, b: w, form: formOf(factor), bias, to: { tensor: y, accumulate: false } });
  tape.record({
    op: name,
    output: y,
    saved: [x, w],
    async vjp(dy, gradients) {
      const dw = gradients.destination(w);
      if (dw) {
        using again = await gathered("backward");
        multiply({ ...(transposed ? { a: dy, b: again } : { a: again, b: dy }), form: "tn", to: dw });
      }
      if (bias)
        gradients.accumulate(bias, (db, accumulate) =>
          tape.backend.run("columnSum", { x: dy.buffer, y: db, rows, cols: y.shape[1], accumulate }),
        );
      if (!gradients.wants(x)) return;
      const partial = scratch(x, [rows, x.shape[1]]);
      const to = { tensor: partial, accumulate: false };
      multiply({ a: dy, b: w, form: transposed ? "nn" : "nt", to });
      const parts = blocks(partial, { dim: 0, over, what: "a column product's gradient" });
      partial.dispose();
      using dx = await group.reduceScatter(parts, { purpose: `${purpose} backward` });
      gradients.pass(x, dx);
    },
  });
  return place(y, { p: "shard 1" });
}

// ---- row-parallel ---------------------------------------------------------------------------------------------------

/** A row product's weight [K/P, N], and a bias [N] that is whole on every rank. */
export interface RowFactor {
  w: Weight<Rows>;
  bias?: Parameter;
  name: string;
}

// forward   y  = x w        all-reduce
// dx, dw    dy wT, xT dy    nothing
/** y[T, N] on every rank from columns x [T, K/P]: the product, then Megatron's g. */
export async function rowParallel(
  x: Placed<Columns>,
  { over, purpose, ...factor }: Along & RowFactor,
): Promise<Tensor> {
  using partial = rowProduct(x, { ...factor, over });
  const y: Placed<Whole> = await allReduce(partial, { over, to: "invariant", purpose });
  return withBias(y, factor.bias);
}

// forward   y  = x w        reduce-scatter
// dx, dw    dy wT, xT dy    all-gather dy, once for both
/** This rank's rows y [T/P, N] from columns x [T, K/P].
 *  @throws RangeError when P does not divide T */
export async function rowParallelToRows(
  x: Placed<Columns>,
  { over, purpose, ...factor }: Along & RowFactor,
): Promise<Tensor> {
  using partial = rowProduct(x, { ...factor, over });
  const y: Placed<Rows> = await reduceScatter(partial, { over, dim: 0, purpose });
  return withBias(y, factor.bias);
}

/** This rank's term of the sum. The bias is a term too, which the first rank's product adds at no cost. */
function rowProduct(
  x: Placed<Columns>,
  { w, bias, name, over }: RowFactor & Pick<Along, "over">,
): Placed<Product<Columns, Rows>> {
  requirePlacements(x, { needs: { p: "shard 1" }, what: "a row product's x" });
  using term = bias && termOfSum(bias, { tape: tapeOf(x), over });
  return place(matmul(x, w, { form: "nn", bias: term, name }), { p: "partial" });
}

// db        column sums of dy: of the sum's gradient, which each rank has, for the rows it has
const withBias = (y: Tensor, bias: Parameter | undefined): Tensor =>
  bias
    ? withTerm(y, bias, (dy, { tensor, accumulate }) => {
        const [rows, cols] = dy.shape;
        dy.backend.run("columnSum", { x: dy.buffer, y: tensor.buffer, rows, cols, accumulate });
      })
    : y;

// ---- terms that every rank has and one adds -------------------------------------------------------------------------

/** A parameter that is whole on every rank, as a term of partial sums: on the first rank itself, on the others nothing. Its gradient does
 *  not come this way, but by `withTerm` from the sum's. */
export function termOfSum(
  parameter: Parameter,
  { tape, over }: { tape: Tape } & Pick<Along, "over">,
): Placed<{ p: "partial" }> | undefined {
  if (over.group.index !== 0) return undefined;
  return place(tape.view(parameter, { requiresGrad: false }), { p: "partial" });
}

/** The sum y, of which `parameter` was a term: `vjp` makes its gradient of y's. Takes over y's handle. */
export function withTerm(y: Tensor, parameter: Parameter, vjp: (dy: Tensor, to: Destination) => void): Tensor {
  const tape = tapeOf(y);
  const sum = tape.view(y);
  y.dispose();
  return tape.record({
    op: y.name,
    output: sum,
    saved: [],
    vjp(dy, gradients) {
      gradients.pass(y, dy);
      const to = gradients.destination(parameter);
      if (to) vjp(dy, to);
    },
  });
}

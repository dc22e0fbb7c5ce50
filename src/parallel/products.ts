// Products of matrices cut into q x q blocks, rank (i, j) of a plane holding block (i, j) of each: SUMMA (van de Geijn & Watts 1997),
// with the transposed forms its gradients need. Blocks only; neither tape nor model.
//
// Legend: A [M, K], B [K, N], C [M, N]; a rank holds [M/q, K/q] and so on. i row, j column, t step.

import { Ahead } from "../comm/process-group.ts";
import { scratch, type Tensor } from "../tensor/tensor.ts";
import type { Mesh } from "./mesh.ts";
import { type Dual, type Placed, requirePlacements } from "./placement.ts";

/** Block (i, j) on each plane k, which has rows of its own: activations, logits. */
export const activation = { i: "shard 0", j: "shard 1", k: "shard 0" } as const;
export type Activation = typeof activation;

/** Block (i, j), the same on every plane, where products use it: its gradient is a sum over planes. */
export const weight = { i: "shard 0", j: "shard 1", k: "replicate" } as const;
export type WeightInUse = typeof weight;

/** Block j of what is added to every row, or multiplied with it: biases and gains. Its gradient is a sum over all rows. */
export const vector = { i: "replicate", j: "shard 0", k: "replicate" } as const;
export type VectorInUse = typeof vector;

/** Where a product's block goes, and whether it adds to what is there. Nobody else may hold the tensor. */
export interface Destination<T extends Tensor = Tensor> {
  tensor: T;
  accumulate: boolean;
}

/** A plane of a mesh, and what the ledger calls the messages. */
export type Plane = Pick<Mesh, "q" | "i" | "j" | "row" | "column">;

interface BlockProduct {
  a: Tensor;
  b: Tensor;
  form: "nn" | "nt" | "tn";
  bias?: Tensor;
  to: Destination;
}

/** to (+)= op(a) op(b) + bias on this rank alone. */
export function multiply({ a, b, form, bias, to }: BlockProduct): void {
  const [m, k] = form === "tn" ? [a.shape[1], a.shape[0]] : a.shape;
  const n = form === "nt" ? b.shape[0] : b.shape[1];
  to.tensor.backend.run("matmul", {
    a: a.buffer,
    b: b.buffer,
    y: to.tensor.buffer,
    bias: bias?.buffer,
    batch: 1,
    m,
    n,
    k,
    transposeA: form === "tn",
    transposeB: form === "nt",
    accumulate: to.accumulate,
  });
}

/** Work for steps 0 .. q-1 with each step's blocks asked for one step ahead, so that they travel during the product before. */
async function pipelined(
  q: number,
  options: {
    fetch: (t: number, ahead: Ahead) => Promise<Tensor>[];
    work: (t: number, blocks: Tensor[]) => void | Promise<void>;
  },
): Promise<void> {
  const ahead = new Ahead();
  const ask = (t: number) => {
    const blocks = Promise.all(options.fetch(t, ahead));
    // Should an earlier step fail, nobody will wait for this one.
    blocks.catch(() => undefined);
    return blocks;
  };
  let coming = ask(0);
  for (let t = 0; t < q; t++) {
    const blocks = await coming;
    ahead.leave();
    if (t + 1 < q) coming = ask(t + 1);
    await options.work(t, blocks);
    for (const block of blocks) block.dispose();
  }
}

/** c(i, j) = sum over t of a(i, t) b(t, j) (+ bias(j)): broadcasts a along the row and b down the column. */
export async function productAB(
  plane: Plane,
  options: {
    a: Placed<Activation>;
    b: Placed<WeightInUse>;
    bias?: Placed<VectorInUse>;
    to: Destination<Placed<Activation>>;
    purpose: string;
  },
): Promise<void> {
  const { a, b, bias, to, purpose } = options;
  requirePlacements(a, { needs: activation, what: "AB's a" });
  requirePlacements(b, { needs: weight, what: "AB's b" });
  const { q, row, column } = plane;
  await pipelined(q, {
    fetch: (t, ahead) => [
      row.broadcast(a, { root: t, shape: a.shape, purpose, ahead }),
      column.broadcast(b, { root: t, shape: b.shape, purpose, ahead }),
    ],
    work: (t, [at, bt]) =>
      multiply({
        a: at,
        b: bt,
        form: "nn",
        bias: t === 0 ? bias : undefined,
        to: { tensor: to.tensor, accumulate: to.accumulate || t > 0 },
      }),
  });
}

/** c(i, t) = sum over j of a(i, j) b(t, j)T, with A [M, K], B [N, K]: broadcasts b down the column, reduces along the row to column t. */
export async function productABT(
  plane: Plane,
  options: { a: Placed<Activation>; b: Placed<WeightInUse>; to: Destination<Placed<Activation>>; purpose: string },
): Promise<void> {
  const { a, b, to, purpose } = options;
  requirePlacements(a, { needs: activation, what: "ABT's a" });
  requirePlacements(b, { needs: weight, what: "ABT's b" });
  const { q, j, row, column } = plane;
  const shape = [a.shape[0], b.shape[0]];
  const partial = partials(row, { root: j, to, purpose, shape });
  await pipelined(q, {
    fetch: (t, ahead) => [column.broadcast(b, { root: t, shape: b.shape, purpose, ahead })],
    work: (t, [bt]) => partial.add(t, (destination) => multiply({ a, b: bt, form: "nt", to: destination })),
  });
  await partial.done();
}

/** c(t, j) = sum over i of a(i, t)T b(i, j), with A [K, M], B [K, N]: broadcasts a along the row, reduces down the column to row t.
 *  Of this plane's rows alone: the whole's C is the sum over planes. */
export async function productATB(
  plane: Plane,
  options: {
    a: Placed<Activation>;
    b: Placed<Activation>;
    to: Destination<Placed<Dual<WeightInUse>>>;
    purpose: string;
  },
): Promise<void> {
  const { a, b, to, purpose } = options;
  requirePlacements(a, { needs: activation, what: "ATB's a" });
  requirePlacements(b, { needs: activation, what: "ATB's b" });
  const { q, i, row, column } = plane;
  const shape = [a.shape[1], b.shape[1]];
  const partial = partials(column, { root: i, to, purpose, shape });
  await pipelined(q, {
    fetch: (t, ahead) => [row.broadcast(a, { root: t, shape: a.shape, purpose, ahead })],
    work: (t, [at]) => partial.add(t, (destination) => multiply({ a: at, b, form: "tn", to: destination })),
  });
  await partial.done();
}

/** Partial blocks, one a step, each summed on the rank at that place of the group. A step's sum travels during the next product: at
 *  most two are under way. `root`: this rank's own place, whose sum goes straight `to` where it is wanted. */
function partials(
  group: Mesh["row"],
  options: { root: number; to: Destination; purpose: string; shape: readonly number[] },
) {
  const { root, to, purpose, shape } = options;
  let under: Promise<void> = Promise.resolve();
  let ahead = new Ahead();
  return {
    async add(t: number, compute: (destination: Destination) => void): Promise<void> {
      const mine = t === root;
      const tensor = mine ? to.tensor : scratch(to.tensor, shape);
      compute({ tensor, accumulate: mine && to.accumulate });
      const [before, asked] = [under, ahead];
      ahead = new Ahead();
      under = group.reduce(tensor, { root: t, purpose, ahead });
      under.catch(() => undefined);
      await before;
      asked.leave();
    },
    async done(): Promise<void> {
      await under;
      ahead.leave();
    },
  };
}

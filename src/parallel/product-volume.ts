// What a rank receives for one product of distributed matrices, in words and messages, in closed form: from sizes alone. Beside volume.ts, which has the
// ops of a transformer; tests hold the ledger to both.
//
// Legend: M, N, K extents with the padding of operands.ts; P ranks in a line, q x q x d on a grid. Word = one element.

import { type Received, received, roundings, sumOf } from "../comm/algorithms.ts";
import { padTo } from "./block.ts";
import { gradientForms } from "./matmul.ts";
import type { Form, ProductSize } from "./operands.ts";
import { placeOf } from "./place.ts";
import { gathered, isGrid, type MeshExtents, summaSteps } from "./volume.ts";

/** m, n and k with their padding. */
export function paddedSize({ m, n, k }: ProductSize, mesh: MeshExtents): ProductSize {
  const unit = isGrid(mesh) ? mesh.q * mesh.d : mesh.size;
  return { m: padTo(m, unit), n: padTo(n, unit), k: padTo(k, unit) };
}

/** What one rank receives for C = op(A) op(B): in words
 *
 *          line              grid
 *    AB    (P-1)/P M K       (q-1) (M K/(d q²) + K N/q²)
 *    ABT   (P-1)/P M N       (q-1) (M N/(d q²) + K N/q²)
 *    ATB   (P-1)/P M K       (q-1) (M K/(d q²) + M N/q²), and the sum over planes: 2 (d-1)/d M N/q² by ring
 *
 *  in P - 1 messages on a line and 2 (q-1) on a grid, those of the sum not counted. */
export function productReceived(options: { mesh: MeshExtents; rank: number; form: Form; size: ProductSize }): Received {
  const { mesh, rank, form } = options;
  const { m, n, k } = paddedSize(options.size, mesh);
  const ranks = mesh.size;
  if (!isGrid(mesh)) return gathered(m * (form === "ABT" ? n : k), { size: ranks });
  const { q, d } = mesh;
  const [a, b, c] = [m * k, k * n, m * n].map((words) => words / q ** 2);
  switch (form) {
    case "AB":
      return summaSteps(q, { alongRow: a / d, downColumn: b });
    case "ABT":
      return summaSteps(q, { alongRow: c / d, downColumn: b });
    case "ATB":
      return sumOf(
        summaSteps(q, { alongRow: a / d, downColumn: c }),
        received("allReduce", { size: d, index: placeOf(rank, q).k, words: c }),
      );
  }
}

/** Roundings in a row, at most, of what an element of C is a sum of, where messages round: a factor's when it is sent, a sum's with every
 *  further message that it goes into. */
export function productRoundings({ mesh, form, size }: { mesh: MeshExtents; form: Form; size: ProductSize }): number {
  const { m, n, k } = paddedSize(size, mesh);
  const ranks = mesh.size;
  if (!isGrid(mesh))
    return form === "ABT"
      ? roundings("reduceScatter", { size: ranks, words: m * n })
      : roundings("allGather", { size: ranks, words: m * k });
  const { q, d } = mesh;
  const factor = roundings("broadcast", { size: q, words: (k * n) / q ** 2 });
  if (form === "AB") return 2 * factor;
  const words = (m * n) / q ** 2;
  if (form === "ABT") return factor + roundings("reduce", { size: q, words: words / d });
  return factor + roundings("reduce", { size: q, words }) + roundings("allReduce", { size: d, words });
}

/** What one rank receives for the gradients of both operands: the other two forms, with C's gradient as a factor. */
export function gradientReceived(options: {
  mesh: MeshExtents;
  rank: number;
  form: Form;
  size: ProductSize;
}): Received {
  const { m, n, k } = options.size;
  const extents = { a: [m, k], b: [k, n], c: [m, n] };
  if (options.form === "ABT") extents.b.reverse();
  if (options.form === "ATB") extents.a.reverse();
  const products = (["a", "b"] as const).map((operand) => {
    const { form, of } = gradientForms[options.form][operand];
    const [first, second] = [extents[of[0]], extents[of[1]]];
    const [rows, inner] = form === "ATB" ? [first[1], first[0]] : first;
    const cols = form === "ABT" ? second[0] : second[1];
    return productReceived({ ...options, form, size: { m: rows, n: cols, k: inner } });
  });
  return sumOf(...products);
}

/** Words that a rank would receive to get, from a single copy spread over planes, the copy of B that the product takes as given:
 *  (d-1)/d K N/q² for AB and ABT on a grid. Part of the price when an algorithm is compared with the lower bound. */
export function replicationWords({ mesh, form, size }: { mesh: MeshExtents; form: Form; size: ProductSize }): number {
  if (!isGrid(mesh) || form === "ATB") return 0;
  const { n, k } = paddedSize(size, mesh);
  return (((mesh.d - 1) / mesh.d) * k * n) / mesh.q ** 2;
}

/** Words that a rank holds at most at once, and those of the largest tensor among them. On a grid beside its own blocks those of the
 *  two steps under way, and another rank's term of a sum; on a line what it gathers, and the parts that is made of, or a sum's terms and the parts they are cut into. */
export function productFootprint(options: { mesh: MeshExtents; form: Form; size: ProductSize }): {
  words: number;
  largestWords: number;
} {
  const { mesh, form } = options;
  const { m, n, k } = paddedSize(options.size, mesh);
  if (isGrid(mesh)) {
    const { q, d } = mesh;
    const [a, b, c] = [m * k, k * n, m * n].map((words) => words / q ** 2);
    const blocks = form === "ATB" ? { a: a / d, b: b / d, c } : { a: a / d, b, c: c / d };
    const moving = { AB: blocks.a + blocks.b, ABT: blocks.b + blocks.c, ATB: blocks.a + blocks.c }[form];
    const term = q > 1 && form !== "AB" ? blocks.c : 0;
    const depthSum = form === "ATB" && d > 1 ? 2 * blocks.c : 0;
    const own = blocks.a + blocks.b + blocks.c;
    return {
      words: own + Math.max(Math.min(2, q - 1) * moving + term, depthSum),
      largestWords: Math.max(blocks.a, blocks.b, blocks.c),
    };
  }
  const ranks = mesh.size;
  const [a, b, c] = [m * k, k * n, m * n];
  const factors = (a + b) / ranks;
  if (form === "ABT") return { words: factors + 2 * c, largestWords: c };
  const received = ((ranks - 1) * a) / ranks;
  return { words: factors + a + Math.max(c / ranks, received), largestWords: Math.max(a, b / ranks, c / ranks) };
}

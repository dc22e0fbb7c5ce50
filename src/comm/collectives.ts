// The messages of each collective, and the sums in an order that depends on ranks alone: every rank gets the same bits, in every run
// and on every link. A tensor that was sent is never written again; sums go to new memory, or to tensors not yet sent.
// Where tensors are packed to be sent, who goes on with what others have too takes it as it travelled.

import { invariant } from "../backend/errors.ts";
import { type Shape, scratch, Tensor } from "../tensor/tensor.ts";
import { part, powerBelow, treeChildren } from "./algorithms.ts";
import type { Exchange } from "./exchange.ts";

/** How the parts of several ranks become one. */
export type Combine = "sum" | "max";

/** Another handle on x. */
export const handle = (x: Tensor): Tensor => new Tensor(x.storage.retain(), { shape: x.shape, name: x.name });

/** y = a combined with b, in new memory. */
function combined(a: Tensor, b: Tensor, combine: Combine): Tensor {
  const y = scratch(a, a.shape);
  if (combine === "sum") a.backend.run("add", { a: a.buffer, b: b.buffer, y: y.buffer, n: a.size });
  else {
    a.backend.run("scale", { x: a.buffer, y: y.buffer, n: a.size, alpha: 1 });
    a.backend.run("maximum", { x: b.buffer, y: y.buffer, n: a.size });
  }
  return y;
}

/** y combined with x, in place. */
function combineInto(y: Tensor, x: Tensor, combine: Combine): void {
  invariant(!y.storage.shared, "a sum goes to memory that somebody else reads");
  if (combine === "sum") y.backend.run("axpy", { x: x.buffer, y: y.buffer, n: y.size, alpha: 1 });
  else y.backend.run("maximum", { x: x.buffer, y: y.buffer, n: y.size });
}

/** Elements [from, to) of x in memory of their own; undefined when there are none. */
export function slice(x: Tensor, { from, to }: { from: number; to: number }): Tensor | undefined {
  if (to === from) return undefined;
  const y = scratch(x, [to - from]);
  copyRange(x, { to: y, length: to - from, xOffset: from, yOffset: 0 });
  return y;
}

export function copyRange(x: Tensor, options: { to: Tensor; length: number; xOffset: number; yOffset: number }): void {
  const { to, length, xOffset, yOffset } = options;
  x.backend.run("copy", {
    x: x.buffer,
    y: to.buffer,
    shape: [1, 1, 1, length],
    xStrides: [0, 0, 0, 1],
    yStrides: [0, 0, 0, 1],
    xOffset,
    yOffset,
  });
}

// ---- broadcast: from the root to everyone ---------------------------------------------------------------------------

/** x on the root. Returns a handle on every rank. */
export async function broadcast(
  at: Exchange,
  options: { root: number; algorithm: "direct" | "tree" | "ring"; x: Tensor | undefined; shape: Shape },
): Promise<Tensor> {
  const { size, index } = at;
  const { root, algorithm, x, shape } = options;
  const relative = (index - root + size) % size;
  const place = (other: number) => (other + root) % size;
  if (algorithm === "direct") {
    if (!x) return at.take(root, { part: 0, shape });
    const packed = at.pack(x);
    for (let other = 1; other < size; other++) at.send(place(other), { part: 0, tensor: packed });
    return at.unpack(packed, shape);
  }
  const parent = algorithm === "ring" ? relative - 1 : relative & (relative - 1);
  const tensor = x ? at.pack(x) : await at.receive(place(parent), { part: 0, shape });
  // The farthest child has the most below it.
  const children = algorithm === "ring" ? [relative + 1].filter((other) => other < size) : treeChildren(relative, size);
  for (const child of children.reverse()) at.send(place(child), { part: 0, tensor });
  return at.unpack(tensor, shape);
}

// ---- reduce: everyone's x combined on the root ----------------------------------------------------------------------

/** Root: x becomes the combination of all, in place. Others: x is given away (their handle disposed). Direct: root's, then by place
 *  after the root; tree and ring: each adds what comes from below to its own. */
export async function reduce(
  at: Exchange,
  options: { root: number; algorithm: "direct" | "tree" | "ring"; x: Tensor; combine: Combine },
): Promise<void> {
  const { size, index } = at;
  const { root, algorithm, x, combine } = options;
  const relative = (index - root + size) % size;
  const place = (other: number) => (other + root) % size;
  const children =
    algorithm === "direct"
      ? relative === 0
        ? Array.from({ length: size - 1 }, (_, i) => i + 1)
        : []
      : algorithm === "ring"
        ? [relative + 1].filter((other) => other < size)
        : treeChildren(relative, size);
  for (const child of children) {
    using part = await at.take(place(child), { part: 0, shape: x.shape });
    combineInto(x, part, combine);
  }
  if (relative === 0) return;
  const parent = algorithm === "direct" ? 0 : algorithm === "ring" ? relative - 1 : relative & (relative - 1);
  at.give(place(parent), { part: 0, tensor: x });
  x.dispose();
}

// ---- allGather: everyone's part, to everyone ------------------------------------------------------------------------

/** The parts in the order of the group, a handle each; own part included. A part may be absent: it has no shape. */
export async function allGather(
  at: Exchange,
  options: {
    algorithm: "direct" | "ring";
    x: Tensor | undefined;
    shapes: readonly (Shape | undefined)[];
    firstPart?: number;
  },
): Promise<(Tensor | undefined)[]> {
  const { size, index } = at;
  const { algorithm, x, shapes, firstPart = 0 } = options;
  const parts: (Tensor | undefined)[] = new Array(size).fill(undefined);
  const own = x && at.pack(x);
  parts[index] = own;
  if (algorithm === "direct") {
    for (let step = 1; step < size; step++) if (own) at.send((index + step) % size, { part: firstPart, tensor: own });
    for (let step = 1; step < size; step++) {
      const from = (index + step) % size;
      const shape = shapes[from];
      if (shape) parts[from] = await at.receive(from, { part: firstPart, shape });
    }
  } else
    for (let step = 0; step < size - 1; step++) {
      const mine = (index - step + size) % size;
      const next = (mine - 1 + size) % size;
      const shape = shapes[next];
      if (shapes[mine]) at.send((index + 1) % size, { part: firstPart + step, tensor: parts[mine] });
      if (shape) parts[next] = await at.receive((index - 1 + size) % size, { part: firstPart + step, shape });
    }
  return parts.map((part, place) => part && at.unpack(part, shapes[place] as Shape));
}

// ---- reduceScatter: everyone's parts combined, each rank gets its own ------------------------------------------------

/** parts[r] goes to rank r; they are given away. Direct: in the order of ranks from 0. Ring: part r starts at rank r + 1. */
export async function reduceScatter(
  at: Exchange,
  options: { algorithm: "direct" | "ring"; parts: (Tensor | undefined)[]; combine: Combine },
): Promise<Tensor | undefined> {
  const { size, index } = at;
  const { algorithm, parts, combine } = options;
  if (algorithm === "direct") {
    for (let step = 1; step < size; step++) {
      const to = (index + step) % size;
      const sent = parts[to];
      if (sent) at.give(to, { part: 0, tensor: sent });
      sent?.dispose();
    }
    const own = parts[index];
    if (!own) return undefined;
    let sum: Tensor | undefined;
    for (let from = 0; from < size; from++) {
      const next = from === index ? own : await at.take(from, { part: 0, shape: own.shape });
      // Two first: what was received must not be written.
      const before: Tensor | undefined = sum;
      if (!before) sum = next;
      else if (from === 1) {
        sum = combined(before, next, combine);
        before.dispose();
        next.dispose();
      } else {
        combineInto(before, next, combine);
        next.dispose();
      }
    }
    return sum;
  }
  for (let step = 0; step < size - 1; step++) {
    const outgoing = (index - 1 - step + 2 * size) % size;
    const incoming = (outgoing - 1 + size) % size;
    const sent = parts[outgoing];
    if (sent) at.give((index + 1) % size, { part: step, tensor: sent });
    sent?.dispose();
    const own = parts[incoming];
    if (!own) continue;
    using passed = await at.take((index - 1 + size) % size, { part: step, shape: own.shape });
    combineInto(own, passed, combine);
  }
  return parts[index];
}

// ---- allReduce: everyone's x combined, on everyone ------------------------------------------------------------------

/** In new memory; x stays as it is. */
export async function allReduce(
  at: Exchange,
  options: { algorithm: "direct" | "tree" | "doubling" | "ring"; x: Tensor; combine: Combine },
): Promise<Tensor> {
  const { algorithm, x, combine } = options;
  const { size, index } = at;
  const { shape } = x;
  if (algorithm === "ring") return ringAllReduce(at, { x, combine });
  if (algorithm === "doubling") return doublingAllReduce(at, { x, combine });
  if (algorithm === "tree") {
    const copy = scratch(x, x.shape);
    copyRange(x, { to: copy, length: x.size, xOffset: 0, yOffset: 0 });
    await reduce(at, { root: 0, algorithm, x: copy, combine });
    // A tree is used twice: the way down has parts of its own.
    const down: Exchange = {
      size,
      index,
      pack: (tensor) => at.pack(tensor),
      unpack: (tensor) => at.unpack(tensor, shape),
      send: (to, message) => at.send(to, { ...message, part: 1 }),
      receive: (from) => at.receive(from, { part: 1, shape }),
      give: (to, message) => at.give(to, { ...message, part: 1 }),
      take: (from) => at.take(from, { part: 1, shape }),
    };
    const result = await broadcast(down, { root: 0, algorithm, x: index === 0 ? copy : undefined, shape });
    if (index === 0) copy.dispose();
    return result;
  }
  const parts = await allGather(at, { algorithm: "direct", x, shapes: new Array(size).fill(shape) });
  const sum = combined(parts[0] as Tensor, parts[1] as Tensor, combine);
  for (let other = 2; other < size; other++) combineInto(sum, parts[other] as Tensor, combine);
  for (const received of parts) received?.dispose();
  return sum;
}

/** Pairs at distance 1, 2, 4, ... exchange sums; ranks beyond the largest power of two hand theirs in first. */
async function doublingAllReduce(at: Exchange, { x, combine }: { x: Tensor; combine: Combine }): Promise<Tensor> {
  const { size, index } = at;
  const { shape } = x;
  const core = powerBelow(size);
  if (index >= core) {
    at.give(index - core, { part: 0, tensor: x });
    return at.take(index - core, { part: 0, shape });
  }
  let sum = handle(x);
  const add = (other: Tensor, first: boolean) => {
    const before = sum;
    // The lower rank's stands first: the same sum on both sides, a NaN's payload included.
    sum = first ? combined(other, before, combine) : combined(before, other, combine);
    before.dispose();
  };
  if (index + core < size) {
    using extra = await at.take(index + core, { part: 0, shape });
    add(extra, false);
  }
  let round = 1;
  for (let distance = 1; distance < core; distance *= 2, round++) {
    const peer = index ^ distance;
    const packed = at.pack(sum);
    at.send(peer, { part: round, tensor: packed });
    sum.dispose();
    sum = at.unpack(packed, shape);
    using other = await at.take(peer, { part: round, shape });
    add(other, peer < index);
  }
  if (core === size) return sum;
  const packed = at.pack(sum);
  sum.dispose();
  if (index + core < size) at.send(index + core, { part: 0, tensor: packed });
  return at.unpack(packed, shape);
}

/** reduceScatter, then allGather, of nearly equal parts. Patarasuk & Yuan 2009. */
async function ringAllReduce(at: Exchange, { x, combine }: { x: Tensor; combine: Combine }): Promise<Tensor> {
  const { size } = at;
  const range = (place: number) => part(x.size, { index: place, count: size });
  const parts = Array.from({ length: size }, (_, place) => slice(x, range(place)));
  const own = await reduceScatter(at, { algorithm: "ring", parts, combine });
  const shapes = parts.map((_, place) => {
    const { from, to } = range(place);
    return to > from ? [to - from] : undefined;
  });
  const all = await allGather(at, { algorithm: "ring", x: own, shapes, firstPart: size });
  own?.dispose();
  const y = scratch(x, x.shape);
  for (const [place, piece] of all.entries()) {
    if (!piece) continue;
    copyRange(piece, { to: y, length: piece.size, xOffset: 0, yOffset: range(place).from });
    piece.dispose();
  }
  return y;
}

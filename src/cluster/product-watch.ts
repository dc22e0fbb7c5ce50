// What one rank does in a product of distributed matrices, noted as it does it: each message that it sends, by the block that it carries,
// and each multiplication. A link and a backend around the rank's own. Names and sizes, never times: those are tracer.ts's.

import type { Backend } from "../backend/backend.ts";
import type { KernelArgs, KernelName } from "../backend/kernels.ts";
import { powerBelow } from "../comm/algorithms.ts";
import type { Call, Link, LinkTraffic } from "../comm/link.ts";
import type { Range } from "../parallel/block.ts";
import { blockOf, type Form, operands, type ProductMesh, type ProductSize } from "../parallel/operands.ts";
import { sizeOf, type Tensor } from "../tensor/tensor.ts";

/** A group of ranks, by the axis of the mesh that it lies along. */
export type Along = "line" | "row" | "column" | "depth";

/** A block, or a term of one, on its way. */
export interface ProductMessage {
  from: number;
  to: number;
  op: string;
  along: Along;
  /** the call's number in its group: SUMMA's t */
  step: number;
  /** of messages that follow each other in one call, which: 0 where every one goes straight to its rank */
  round: number;
  operand: "a" | "b" | "c";
  /** the rank whose block it is; of a sum, the one that will have it, and the sender where all will */
  owner: number;
  words: number;
}

/** Rows and columns of a matrix, padding included. */
export interface BlockRange {
  rows: Range;
  cols: Range;
}

/** Of one rank and one product. */
export interface WatchedRank {
  /** sent by it, in their order */
  messages: ProductMessage[];
  /** multiplied by it, in their order */
  products: { m: number; n: number; k: number }[];
  /** what it holds of each matrix */
  blocks: Record<"a" | "b" | "c", BlockRange>;
}

export class ProductWatch {
  readonly link: WatchedLink;
  readonly backend: Backend;
  #watched: Omit<WatchedRank, "blocks"> | undefined;
  /** this rank's groups by name, and the number of the product's first call in each */
  readonly #groups = new Map<string, { along: Along; first: number | undefined }>();

  constructor({ link, backend }: { link: Link; backend: Backend }) {
    this.link = new WatchedLink(link, {
      entered: (call) => this.#entered(call),
      sent: (to, message) => this.#sent(to, message),
    });
    this.backend = watchedBackend(backend, (kernel, args) => this.#ran(kernel, args));
  }

  /** From here on until `end`. */
  begin(mesh: ProductMesh): void {
    this.#groups.clear();
    const along = (name: string, axis: Along) => this.#groups.set(name, { along: axis, first: undefined });
    if (mesh.kind === "line") along(mesh.line.group.name, "line");
    else for (const axis of ["row", "column", "depth"] as const) along(mesh.grid[axis].name, axis);
    this.#watched = { messages: [], products: [] };
  }

  end(product: { mesh: ProductMesh; form: Form; size: ProductSize }): WatchedRank | undefined {
    const watched = this.#watched;
    this.#watched = undefined;
    return watched && { ...watched, blocks: blocksOf(product) };
  }

  /** Every rank of a group enters its calls, whether or not it sends anything; the world's barrier is no part of the product. */
  #entered({ group, which, op }: Call): void {
    const known = this.#groups.get(group);
    if (known && op !== "barrier" && typeof which === "number") known.first ??= which;
  }

  #sent(to: number, { call, part, tensor }: { call: Call; part: number; tensor?: Tensor }): void {
    const group = this.#groups.get(call.group);
    if (!this.#watched || group?.first === undefined || !tensor || typeof call.which !== "number") return;
    const from = this.link.rank;
    const { op } = call;
    this.#watched.messages.push({
      ...{ from, to, op, along: group.along, step: call.which - group.first, round: roundOf(call, { part, from, to }) },
      operand: op === "broadcast" || op === "allGather" ? (group.along === "column" ? "b" : "a") : "c",
      owner: ownerOf(call, { from, to, part }),
      words: sizeOf(tensor.shape),
    });
  }

  #ran<K extends KernelName>(kernel: K, args: KernelArgs[K]): void {
    if (kernel !== "matmul") return;
    const { m, n, k } = args as KernelArgs["matmul"];
    this.#watched?.products.push({ m, n, k });
  }
}

/** Whose block a message of a call carries: collectives.ts says which goes where. Rings are of lines alone, where a rank's place is its
 *  number, but for a sum's over planes, whose block all its ranks have. */
function ownerOf(call: Call, { from, to, part }: { from: number; to: number; part: number }): number {
  const { op, root, members, algorithm } = call;
  const ring = algorithm?.startsWith("ring");
  if (root !== undefined) return root;
  if (op === "allGather" && ring) return (from - part + members) % members;
  if (op === "reduceScatter") return ring ? (from - 1 - part + 2 * members) % members : to;
  return from;
}

/** Parts number the rounds of a collective, but for recursive doubling's last: the sum on its way to a rank that handed its term in. A
 *  group's ranks are in the order of their numbers, and terms are handed in to lower ones. */
const roundOf = (call: Call, { part, from, to }: { part: number; from: number; to: number }): number =>
  call.algorithm?.startsWith("doubling") && part === 0 && from < to ? 1 + Math.log2(powerBelow(call.members)) : part;

function blocksOf({ mesh, form, size }: { mesh: ProductMesh; form: Form; size: ProductSize }): WatchedRank["blocks"] {
  const { m, n, k } = size;
  const of = operands(mesh, form);
  const block = (which: "a" | "b" | "c", shape: [number, number]) =>
    blockOf(mesh, { rank: mesh.rank, placements: of[which], shape });
  return {
    a: block("a", form === "ATB" ? [k, m] : [m, k]),
    b: block("b", form === "ABT" ? [n, k] : [k, n]),
    c: block("c", [m, n]),
  };
}

/** Told before the link is. */
interface Told {
  entered: Link["enter"];
  sent: Link["send"];
}

class WatchedLink implements Link {
  readonly rank: number;
  readonly size: number;
  readonly #link: Link;
  readonly #told: Told;

  constructor(link: Link, told: Told) {
    this.rank = link.rank;
    this.size = link.size;
    this.#link = link;
    this.#told = told;
  }

  get traffic(): LinkTraffic | undefined {
    return this.#link.traffic;
  }

  set onArrival(told: Link["onArrival"]) {
    this.#link.onArrival = told;
  }

  enter(call: Call): void {
    this.#told.entered(call);
    this.#link.enter(call);
  }

  leave(calls: readonly Call[]): void {
    this.#link.leave?.(calls);
  }

  send(...[to, message]: Parameters<Link["send"]>): void {
    this.#told.sent(to, message);
    this.#link.send(to, message);
  }

  receive(...[from, expected]: Parameters<Link["receive"]>): Promise<Tensor | undefined> {
    return this.#link.receive(from, expected);
  }

  fail(cause: unknown): void {
    this.#link.fail(cause);
  }
}

/** The backend itself, whose `run` tells of kernels first. */
function watchedBackend(
  backend: Backend,
  told: <K extends KernelName>(kernel: K, args: KernelArgs[K]) => void,
): Backend {
  const run: Backend["run"] = (kernel, args) => {
    told(kernel, args);
    backend.run(kernel, args);
  };
  return new Proxy(backend, {
    get(target, name) {
      if (name === "run") return run;
      // Its private fields are the backend's, not the proxy's.
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

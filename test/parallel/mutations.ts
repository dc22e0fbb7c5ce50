// Faults put into a layout's collectives from outside: a call that is left out, made twice, or made in another group than it was meant
// for. Process groups are changed at the prototype, so a layout needs no seam, and any collective that one comes to call is found.

import { copyRange, handle } from "../../src/comm/collectives.ts";
import { ProcessGroup } from "../../src/comm/process-group.ts";
import { scratch, type Tensor } from "../../src/tensor/tensor.ts";

/** A place in the layouts' sources that calls a collective on groups along one axis for one purpose. */
export interface Site {
  /** the group's name up to its place: "row", "depth", "world" */
  axis: string;
  op: "broadcast" | "reduce" | "allReduce" | "allGather" | "reduceScatter" | "allToAll" | "send";
  combine: "sum" | "max";
  purpose: string;
  /** the innermost two lines of src/parallel/ under way; one where a call came after a wait */
  source: string;
}

/** What becomes of a call. "removed": the rank goes on with what it had. "doubled": everything is sent, and summed, twice.
 *  A function: the group that gets the call instead. */
export type Mutation = "removed" | "doubled" | ((group: ProcessGroup) => ProcessGroup);

export const nameOf = ({ axis, op, combine, purpose, source }: Site): string =>
  `${axis} ${op}${combine === "max" ? " (max)" : ""} for ${purpose} at ${source}`;

type Call = Omit<Site, "source">;

/** One call of one line may come at once or after a wait, which hides who called. */
const sameSource = (a: string, b: string): boolean => `${a} <`.startsWith(`${b} <`) || `${b} <`.startsWith(`${a} <`);

const sameSite = (a: Site, b: Site): boolean =>
  a.axis === b.axis &&
  a.op === b.op &&
  a.combine === b.combine &&
  a.purpose === b.purpose &&
  sameSource(a.source, b.source);

/** Each site once. */
export function distinct(sites: Iterable<Site>): Site[] {
  const kept: Site[] = [];
  // The fuller source first.
  for (const site of [...sites].sort((a, b) => b.source.length - a.source.length))
    if (!kept.some((other) => sameSite(site, other))) kept.push(site);
  return kept;
}

const axisOf = ({ name }: ProcessGroup): string => name.replace(/\(.*/, "");

/** Two lines, because a product's broadcasts are one line for all its callers and a reduce is one line for two products. */
function sourceOf(): string {
  const before = Error.stackTraceLimit;
  Error.stackTraceLimit = 12;
  const lines = [...(new Error().stack ?? "").matchAll(/src\/parallel\/([\w-]+\.ts:\d+)/g)].map(([, line]) => line);
  Error.stackTraceLimit = before;
  return lines.slice(0, 2).join(" < ");
}

/** Puts a fault into every call of a site until it is disposed. Without a mutation calls pass; `see` is told of them.
 *  Calls in groups of one send nothing and are no sites. */
export function intercept(options: { site?: Site; mutation?: Mutation; see?: (site: Site) => void }): Disposable {
  const { site, mutation, see } = options;
  const { broadcast, reduce, allReduce, allGather, reduceScatter, allToAll, send } = ProcessGroup.prototype;
  const original = { broadcast, reduce, allReduce, allGather, reduceScatter, allToAll, send };

  /** undefined when the call passes. */
  const mutationOf = (group: ProcessGroup, call: Omit<Call, "axis">): Mutation | undefined => {
    if (group.size === 1) return undefined;
    const axis = axisOf(group);
    see?.({ axis, ...call, source: sourceOf() });
    if (!site || site.axis !== axis || site.op !== call.op) return undefined;
    if (site.purpose !== call.purpose || site.combine !== call.combine) return undefined;
    return sameSource(site.source, sourceOf()) ? mutation : undefined;
  };

  ProcessGroup.prototype.broadcast = async function (this: ProcessGroup, x, call) {
    const change = mutationOf(this, { op: "broadcast", purpose: call.purpose, combine: "sum" });
    // Who has nothing of its own goes on with nothing.
    if (change === "removed") return (x && handle(x)) as Tensor;
    if (change === undefined || change === "doubled") {
      const first = change && broadcast.call(this, x, call);
      const second = broadcast.call(this, x, call);
      (await first)?.dispose();
      return second;
    }
    const group = change(this);
    return broadcast.call(group, x, { ...call, root: call.root % group.size });
  };
  ProcessGroup.prototype.reduce = async function (this: ProcessGroup, x, call) {
    const change = mutationOf(this, { op: "reduce", purpose: call.purpose, combine: call.combine ?? "sum" });
    if (change === undefined) return reduce.call(this, x, call);
    const root = call.root === this.index;
    if (change === "removed") return root ? undefined : x.dispose();
    if (change === "doubled") {
      const copy = copied(x);
      const both = [reduce.call(this, copy, call), reduce.call(this, x, call)];
      await Promise.all(both);
      if (root) x.backend.run("axpy", { x: copy.buffer, y: x.buffer, n: x.size, alpha: 1 });
      copy.dispose();
      return;
    }
    const group = change(this);
    // A rank that must keep its block in this group may have to give one away in the other, and the other way round.
    const own = copied(x);
    await reduce.call(group, own, { ...call, root: call.root % group.size });
    if (root && own.storage.alive) copyRange(own, { to: x, length: x.size, xOffset: 0, yOffset: 0 });
    if (!root) x.dispose();
    own.dispose();
  };
  ProcessGroup.prototype.allReduce = async function (this: ProcessGroup, x, call) {
    const { purpose, combine = "sum" } = call;
    const change = mutationOf(this, { op: "allReduce", purpose, combine });
    if (change === undefined) return allReduce.call(this, x, call);
    if (change === "removed") return handle(x);
    if (change !== "doubled") return allReduce.call(change(this), x, call);
    const [first, second] = await Promise.all([allReduce.call(this, x, call), allReduce.call(this, x, call)]);
    if (combine === "sum") return sumOf(first, second);
    first.dispose();
    return second;
  };
  ProcessGroup.prototype.allGather = async function (this: ProcessGroup, x, call) {
    const change = mutationOf(this, { op: "allGather", purpose: call.purpose, combine: "sum" });
    if (change === undefined) return allGather.call(this, x, call);
    if (change === "removed") return this.ranks.map(() => handle(x));
    if (change !== "doubled") return allGather.call(change(this), x, call);
    const [first, second] = await Promise.all([allGather.call(this, x, call), allGather.call(this, x, call)]);
    for (const part of first) part.dispose();
    return second;
  };
  ProcessGroup.prototype.reduceScatter = async function (this: ProcessGroup, parts, call) {
    const { purpose, combine = "sum" } = call;
    const change = mutationOf(this, { op: "reduceScatter", purpose, combine });
    if (change === undefined) return reduceScatter.call(this, parts, call);
    if (change === "removed") {
      for (const [index, part] of parts.entries()) if (index !== this.index) part.dispose();
      return parts[this.index];
    }
    if (change !== "doubled") return reduceScatter.call(change(this), parts, call);
    const copies = parts.map(copied);
    const both = [reduceScatter.call(this, copies, call), reduceScatter.call(this, parts, call)];
    const [first, second] = await Promise.all(both);
    return sumOf(first, second);
  };
  ProcessGroup.prototype.allToAll = async function (this: ProcessGroup, parts, call) {
    const change = mutationOf(this, { op: "allToAll", purpose: call.purpose, combine: "sum" });
    if (change === undefined) return allToAll.call(this, parts, call);
    if (change === "removed") return [...parts];
    if (change !== "doubled") return allToAll.call(change(this), parts, call);
    const [first, second] = await Promise.all([
      allToAll.call(this, parts.map(copied), call),
      allToAll.call(this, parts, call),
    ]);
    for (const part of first) part.dispose();
    return second;
  };
  ProcessGroup.prototype.send = function (this: ProcessGroup, x, call) {
    const change = mutationOf(this, { op: "send", purpose: call.purpose, combine: "sum" });
    if (change !== "removed") send.call(this, x, call);
    if (change === "doubled") send.call(this, x, call);
  };
  return { [Symbol.dispose]: () => void Object.assign(ProcessGroup.prototype, original) };
}

function copied(x: Tensor): Tensor {
  const copy = scratch(x, x.shape);
  copyRange(x, { to: copy, length: x.size, xOffset: 0, yOffset: 0 });
  return copy;
}

/** In new memory; both are disposed. */
function sumOf(a: Tensor, b: Tensor): Tensor {
  const sum = scratch(a, a.shape);
  a.backend.run("add", { a: a.buffer, b: b.buffer, y: sum.buffer, n: a.size });
  a.dispose();
  b.dispose();
  return sum;
}

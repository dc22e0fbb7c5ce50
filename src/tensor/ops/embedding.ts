// Rows of a table by id. The host knows the ids, so it also says which rows of dy belong to which row of the
// table: the scatter-add is then a sum in a fixed order, the same in every run.

import type { Backend } from "../../backend/backend.ts";
import type { DeviceBuffer } from "../../backend/buffer.ts";
import { UserError } from "../../backend/errors.ts";
import type { Tape } from "../tape.ts";
import { constant, type Tensor } from "../tensor.ts";

/** Token ids, on the device when a kernel first asks, and the plan of the scatter-add over them: made once for a batch, used by every
 *  op that needs it. */
export class Ids {
  readonly count: number;
  readonly #host: Int32Array;
  readonly #backend: Backend;
  readonly #name: string;
  readonly #slices = new Map<number, Ids>();
  #ids: Tensor | undefined;
  #scatter: { unique: Tensor; starts: Tensor; order: Tensor; segments: number } | undefined;

  /** @throws UserError when an id is outside [0, limit) */
  constructor(backend: Backend, spec: { ids: Int32Array; limit: number; name?: string }) {
    let bad = backend.valueless ? spec.ids.length : 0;
    while (bad < spec.ids.length && spec.ids[bad] >= 0 && spec.ids[bad] < spec.limit) bad++;
    if (bad < spec.ids.length)
      throw new UserError(
        `${spec.name ?? "token id"} ${spec.ids[bad]} at position ${bad} is out of range: ids go from 0 to ${spec.limit - 1}; use the tokenizer the model was made with`,
      );
    this.#backend = backend;
    this.#host = backend.valueless ? spec.ids : spec.ids.slice();
    this.#name = spec.name ?? "ids";
    this.count = spec.ids.length;
  }

  get ids(): Tensor {
    this.#ids ??= constant(this.#backend, {
      shape: [this.count],
      data: this.#host,
      purpose: "activations",
      name: this.#name,
    });
    return this.#ids;
  }

  /** Block `index` of equal blocks of `count` ids: a rank's own. Lives as long as the whole. */
  block(index: number, count: number): Ids {
    if (count === this.count) return this;
    const known = this.#slices.get(index);
    if (known) return known;
    const ids = this.#host.subarray(index * count, (index + 1) * count);
    const slice = new Ids(this.#backend, { ids, limit: Number.POSITIVE_INFINITY, name: this.#name });
    this.#slices.set(index, slice);
    return slice;
  }

  /** Segment s of `order` lists where unique[s] stands. Built when a backward first asks. */
  get scatter() {
    if (!this.#scatter) {
      const { order, unique, starts } = this.#backend.valueless ? sizesOnly(this.#host) : groupById(this.#host);
      const upload = (data: Int32Array, name: string) =>
        constant(this.#backend, { shape: [data.length], data, purpose: "activations", name });
      this.#scatter = {
        unique: upload(unique, "unique ids"),
        starts: upload(starts, "segment starts"),
        order: upload(order, "positions by id"),
        segments: unique.length,
      };
    }
    return this.#scatter;
  }

  [Symbol.dispose](): void {
    for (const slice of this.#slices.values()) slice[Symbol.dispose]();
    for (const tensor of [this.#ids, this.#scatter?.unique, this.#scatter?.starts, this.#scatter?.order])
      tensor?.dispose();
  }
}

/** Of each id, in groupById: how often it is there, then where its next position goes. Zeros between two calls; as long as the largest
 *  id so far. */
let places = new Int32Array(0);

/** As groupById, but nothing in it: counted once for ids that many ranks share. */
function sizesOnly(ids: Int32Array): ReturnType<typeof groupById> {
  let known = counted.get(ids.buffer);
  if (!known) {
    known = new Map();
    counted.set(ids.buffer, known);
  }
  const key = `${ids.byteOffset} ${ids.length}`;
  let sizes = known.get(key);
  if (!sizes) {
    const { unique } = groupById(ids);
    sizes = { order: ids, unique: ids.subarray(0, unique.length), starts: new Int32Array(unique.length + 1) };
    known.set(key, sizes);
  }
  return sizes;
}
const counted = new WeakMap<ArrayBufferLike, Map<string, ReturnType<typeof groupById>>>();

/** The ids there are, in the order of their first positions; the positions of each, ascending, one id's behind the other's; where those of
 *  each begin, and the end of the last. */
function groupById(ids: Int32Array): { order: Int32Array; unique: Int32Array; starts: Int32Array } {
  const { length } = ids;
  let largest = 0;
  for (let at = 0; at < length; at++) if (ids[at] > largest) largest = ids[at];
  if (largest >= places.length) places = new Int32Array(largest + 1);
  const order = new Int32Array(length);
  const unique = new Int32Array(length);
  const starts = new Int32Array(length + 1);
  let segments = 0;
  for (let at = 0; at < length; at++) if (places[ids[at]]++ === 0) unique[segments++] = ids[at];
  for (let segment = 0; segment < segments; segment++) {
    const id = unique[segment];
    starts[segment + 1] = starts[segment] + places[id];
    places[id] = starts[segment];
  }
  for (let at = 0; at < length; at++) order[places[ids[at]]++] = at;
  for (let segment = 0; segment < segments; segment++) places[unique[segment]] = 0;
  return { order, unique: unique.subarray(0, segments), starts: starts.subarray(0, segments + 1) };
}

/** y[count, cols] = table[ids - rowOffset], plus the rows of `add` if given; ids outside this block of the table give zero. */
export function embedding(
  tape: Tape,
  options: { ids: Ids; table: Tensor; rowOffset?: number; add?: { ids: Ids; table: Tensor } },
): Tensor {
  const { backend } = tape;
  const parts = [{ ids: options.ids, table: options.table, rowOffset: options.rowOffset ?? 0 }];
  if (options.add) parts.push({ ids: options.add.ids, table: options.add.table, rowOffset: 0 });
  const { count } = options.ids;
  const y = tape.output("embedding", {
    shape: [count, options.table.shape[1]],
    inputs: parts.map((part) => part.table),
  });
  parts.forEach(({ ids, table, rowOffset }, index) => {
    lookUp(y, { ids, table, rowOffset, accumulate: index > 0 });
  });
  return tape.record({
    op: "embedding",
    output: y,
    saved: [],
    vjp(dy, gradients) {
      for (const { ids, table, rowOffset } of parts)
        gradients.accumulate(table, (dtable, accumulate) => {
          if (!accumulate) backend.run("fill", { y: dtable, n: table.size, value: 0 });
          scatterAdd(dy, { ids, rowOffset, dtable, rows: table.shape[0] });
        });
    },
  });
}

/** y[count, cols] (+)= table[ids - rowOffset]; zero where that is outside the table. */
export function lookUp(y: Tensor, options: { ids: Ids; table: Tensor; rowOffset: number; accumulate: boolean }): void {
  const { ids, table, rowOffset, accumulate } = options;
  const [rows, cols] = table.shape;
  y.backend.run("embedding", {
    ids: ids.ids.buffer,
    table: table.buffer,
    y: y.buffer,
    count: ids.count,
    cols,
    rows,
    rowOffset,
    accumulate,
  });
}

/** dtable[ids - rowOffset] += dy[count, cols], row by row in a fixed order. */
export function scatterAdd(
  dy: Tensor,
  options: { ids: Ids; rowOffset: number; dtable: DeviceBuffer; rows: number },
): void {
  const { ids, rowOffset, dtable, rows } = options;
  const { unique, starts, order, segments } = ids.scatter;
  dy.backend.run("embeddingGrad", {
    unique: unique.buffer,
    starts: starts.buffer,
    order: order.buffer,
    dy: dy.buffer,
    dtable,
    segments,
    count: ids.count,
    cols: dy.shape[1],
    rows,
    rowOffset,
  });
}

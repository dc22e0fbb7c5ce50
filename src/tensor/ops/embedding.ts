// Rows of a table by id. The host knows the ids, so it also says which rows of dy belong to which row of the
// table: the scatter-add is then a sum in a fixed order, the same in every run.

import type { Backend } from "../../backend/backend.ts";
import { UserError } from "../../backend/errors.ts";
import type { Tape } from "../tape.ts";
import { constant, type Tensor } from "../tensor.ts";

/** Token ids on the device, and the plan of the scatter-add over them: made once for a batch, used by every op that needs it. */
export class Ids {
  readonly count: number;
  readonly ids: Tensor;
  readonly #host: Int32Array;
  readonly #backend: Backend;
  #scatter: { unique: Tensor; starts: Tensor; order: Tensor; segments: number } | undefined;

  /** @throws UserError when an id is outside [0, limit) */
  constructor(backend: Backend, spec: { ids: Int32Array; limit: number; name?: string }) {
    const bad = spec.ids.findIndex((id) => id < 0 || id >= spec.limit);
    if (bad >= 0)
      throw new UserError(
        `${spec.name ?? "token id"} ${spec.ids[bad]} at position ${bad} is out of range: ids go from 0 to ${spec.limit - 1}; use the tokenizer the model was made with`,
      );
    this.#backend = backend;
    this.#host = spec.ids.slice();
    this.count = spec.ids.length;
    this.ids = constant(backend, {
      shape: [this.count],
      data: spec.ids,
      purpose: "activations",
      name: spec.name ?? "ids",
    });
  }

  /** Positions sorted by id, stably: segment s of `order` lists where unique[s] stands. Built when a backward first asks. */
  get scatter() {
    if (!this.#scatter) {
      const order = Int32Array.from(this.#host.keys()).sort((a, b) => this.#host[a] - this.#host[b] || a - b);
      const unique: number[] = [];
      const starts: number[] = [];
      order.forEach((position, at) => {
        if (at > 0 && this.#host[position] === unique[unique.length - 1]) return;
        unique.push(this.#host[position]);
        starts.push(at);
      });
      starts.push(order.length);
      const upload = (data: Int32Array, name: string) =>
        constant(this.#backend, { shape: [data.length], data, purpose: "activations", name });
      this.#scatter = {
        unique: upload(Int32Array.from(unique), "unique ids"),
        starts: upload(Int32Array.from(starts), "segment starts"),
        order: upload(order, "positions by id"),
        segments: unique.length,
      };
    }
    return this.#scatter;
  }

  [Symbol.dispose](): void {
    this.ids.dispose();
    for (const tensor of [this.#scatter?.unique, this.#scatter?.starts, this.#scatter?.order]) tensor?.dispose();
  }
}

/** y[count, cols] = table[ids - rowOffset], plus the rows of `add` if given; ids outside this block of the table give zero. */
export function embedding(
  tape: Tape,
  options: { ids: Ids; table: Tensor; rowOffset?: number; add?: { ids: Ids; table: Tensor } },
): Tensor {
  const { backend } = tape;
  const parts = [{ ids: options.ids, table: options.table, rowOffset: options.rowOffset ?? 0 }];
  if (options.add) parts.push({ ...options.add, rowOffset: 0 });
  const { count } = options.ids;
  const cols = options.table.shape[1];
  const y = tape.output("embedding", { shape: [count, cols], inputs: parts.map((part) => part.table) });
  parts.forEach(({ ids, table, rowOffset }, index) => {
    const args = { count, cols, rows: table.shape[0], rowOffset, accumulate: index > 0 };
    backend.run("embedding", { ...args, ids: ids.ids.buffer, table: table.buffer, y: y.buffer });
  });
  return tape.record({
    op: "embedding",
    output: y,
    saved: [],
    vjp(dy, gradients) {
      for (const { ids, table, rowOffset } of parts)
        gradients.accumulate(table, (dtable, accumulate) => {
          const { unique, starts, order, segments } = ids.scatter;
          const rows = table.shape[0];
          if (!accumulate) backend.run("fill", { y: dtable, n: rows * cols, value: 0 });
          backend.run("embeddingGrad", {
            unique: unique.buffer,
            starts: starts.buffer,
            order: order.buffer,
            dy: dy.buffer,
            dtable,
            segments,
            count,
            cols,
            rows,
            rowOffset,
          });
        });
    },
  });
}

// A run as one of its ranks sees it through NATS: which connection is which rank, and what they say to each other without who leads between them,
// since that may be another by then.

import { Allowance, type RoomLimits } from "./limits.ts";
import { bounds, type FromRoom, printable, type ToRoom } from "./protocol.ts";

type Said<K extends ToRoom["kind"]> = Extract<ToRoom, { kind: K }>;

export interface Outgoing {
  /** id of the connection */
  to: string;
  message: FromRoom;
}

export class RunOnNats {
  readonly generation: number;
  readonly #rank: number;
  /** by rank */
  readonly #ids: readonly string[];
  readonly #allowances: readonly Allowance[];
  readonly #nowMs: () => number;

  constructor(options: {
    generation: number;
    rank: number;
    ids: readonly string[];
    limits: RoomLimits;
    nowMs: () => number;
  }) {
    const { generation, rank, ids, limits, nowMs } = options;
    this.generation = generation;
    this.#rank = rank;
    this.#ids = ids;
    this.#nowMs = nowMs;
    this.#allowances = ids.map(() => new Allowance(limits, nowMs()));
  }

  /** id of a rank's connection when the run began */
  idOf(rank: number): string | undefined {
    return this.#ids.at(rank);
  }

  signal({ generation, to, data }: Said<"signal">): Outgoing[] {
    const id = generation === this.generation ? this.#ids.at(to) : undefined;
    return id === undefined ? [] : [{ to: id, message: { kind: "signal", generation, from: this.#rank, data } }];
  }

  over({ reason }: Said<"over">): Outgoing[] {
    const { generation } = this;
    const message = {
      kind: "over" as const,
      generation,
      reason: printable(`rank ${this.#rank}: ${reason}`, bounds.reason),
    };
    return this.#ids.filter((_, rank) => rank !== this.#rank).map((to) => ({ to, message }));
  }

  /** Whether a message is one that a rank of this run may send to another: in its own name, no late one, and not too many. */
  takes(from: string, message: FromRoom): boolean {
    if ((message.kind !== "signal" && message.kind !== "over") || message.generation !== this.generation) return false;
    const rank = this.#ids.indexOf(from);
    if (rank < 0 || rank === this.#rank || (message.kind === "signal" && message.from !== rank)) return false;
    const { length } = message.kind === "signal" ? message.data : message.reason;
    return this.#allowances[rank].excess(length, this.#nowMs()) === undefined;
  }
}

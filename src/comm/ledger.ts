// What crossed the links: every message, by who sent it to whom, what for, in which operation and step. Counts, never times.

import { bytesOf, type DType } from "../backend/buffer.ts";

/** Messages that share a sender, a receiver, a purpose, an operation and a step. */
export interface LedgerEntry {
  from: number;
  to: number;
  /** what the layout sent it for, e.g. "linear forward", "gradient sum" */
  purpose: string;
  /** the collective, e.g. "broadcast" */
  op: string;
  step: number;
  messages: number;
  words: number;
  bytes: number;
}

export class Ledger {
  /** which step the messages from now on belong to; 0 before the first */
  step = 0;
  #entries: LedgerEntry[] = [];
  /** by step, purpose, operation, sender and receiver: a message's cost is made of such look-ups */
  #index = new Map<number, Map<string, Map<string, Map<number, LedgerEntry>>>>();

  /** words: elements, of a type. */
  record(message: { from: number; to: number; purpose: string; op: string; words: number; dtype: DType }): void {
    const { from, to, purpose, op, words, dtype } = message;
    const pairs = inner(inner(inner(this.#index, this.step), purpose), op);
    const pair = from * maxRanks + to;
    let entry = pairs.get(pair);
    if (!entry) {
      entry = { from, to, purpose, op, step: this.step, messages: 0, words: 0, bytes: 0 };
      pairs.set(pair, entry);
      this.#entries.push(entry);
    }
    entry.messages++;
    entry.words += words;
    entry.bytes += bytesOf({ dtype, length: words });
  }

  get entries(): readonly LedgerEntry[] {
    return this.#entries;
  }

  clear(): void {
    this.#entries = [];
    this.#index = new Map();
  }
}

/** More than there will ever be. */
const maxRanks = 2 ** 24;

/** The map under a key, an empty one where there was none. */
export function inner<K, L, V>(map: Map<K, Map<L, V>>, key: K): Map<L, V> {
  let found = map.get(key);
  if (!found) {
    found = new Map();
    map.set(key, found);
  }
  return found;
}

/** Sums of entries under the same name, e.g. of words by purpose: `total(entries, (entry) => entry.purpose)`. */
export function totals(
  entries: readonly LedgerEntry[],
  name: (entry: LedgerEntry) => string,
): Map<string, { messages: number; words: number; bytes: number }> {
  const sums = new Map<string, { messages: number; words: number; bytes: number }>();
  for (const entry of entries) {
    const sum = sums.get(name(entry)) ?? { messages: 0, words: 0, bytes: 0 };
    sum.messages += entry.messages;
    sum.words += entry.words;
    sum.bytes += entry.bytes;
    sums.set(name(entry), sum);
  }
  return sums;
}

/** bytes[from][to]: what a heat map shows. */
export function trafficMatrix(entries: readonly LedgerEntry[], size: number): number[][] {
  const matrix = Array.from({ length: size }, () => new Array<number>(size).fill(0));
  for (const { from, to, bytes } of entries) matrix[from][to] += bytes;
  return matrix;
}

/** Bytes each rank received. */
export function bytesReceived(entries: readonly LedgerEntry[], size: number): number[] {
  const received = new Array<number>(size).fill(0);
  for (const { to, bytes } of entries) received[to] += bytes;
  return received;
}

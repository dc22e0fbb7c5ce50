// What ranks wrote down, put together: each send with its receive, each op with those that wait for it.

import { UserError } from "../backend/errors.ts";
import { receiveOp, type StepProgram, sendOp } from "./program.ts";
import { type TellProgress, tellEvery } from "./progress.ts";
import type { RankRecord, Works } from "./recorder.ts";

/** @throws Error when a rank receives what nobody sends, or sends what nobody receives */
export function assemble(
  records: readonly RankRecord[],
  works: Works,
  progress: TellProgress = () => undefined,
): StepProgram {
  const ranks = records.length;
  const first = new Int32Array(ranks + 1);
  for (const [rank, { kinds }] of records.entries()) first[rank + 1] = first[rank] + kinds.length;
  requireCountable(records);
  const ops = first[ranks];
  const [kinds, what, waits] = [new Uint8Array(ops), new Int32Array(ops), new Uint16Array(ops)];
  const dependentsFrom = new Int32Array(ops + 1);
  for (const [rank, record] of records.entries()) {
    const base = first[rank];
    kinds.set(record.kinds, base);
    what.set(record.what, base);
    const { needs, needsFrom } = record;
    for (let op = 0; op < record.kinds.length; op++) waits[base + op] = needsFrom[op + 1] - needsFrom[op];
    for (let i = 0; i < needs.length; i++) dependentsFrom[base + needs[i] + 1]++;
  }
  for (let op = 0; op < ops; op++) dependentsFrom[op + 1] += dependentsFrom[op];
  const dependents = new Int32Array(dependentsFrom[ops]);
  const filled = dependentsFrom.slice(0, ops);
  for (const [rank, { needs, needsFrom, kinds: own }] of records.entries())
    for (let op = 0; op < own.length; op++)
      for (let i = needsFrom[op]; i < needsFrom[op + 1]; i++)
        dependents[filled[first[rank] + needs[i]]++] = first[rank] + op;
  const { messages, received } = matched(records, progress);
  let send = 0;
  let receive = 0;
  const receiveOps = new Int32Array(messages.from.length);
  for (let op = 0; op < ops; op++) {
    if (kinds[op] === sendOp) what[op] = send++;
    else if (kinds[op] === receiveOp) {
      what[op] = received[receive++];
      receiveOps[what[op]] = op;
    }
  }
  return {
    ...{ ranks, first, kinds, what, waits, dependentsFrom, dependents, works: works.all },
    messages: { ...messages, receive: receiveOps },
  };
}

/** @throws UserError for more ops, or more that they wait for, than an array has places */
function requireCountable(records: readonly RankRecord[]): void {
  const ops = records.reduce((sum, { kinds }) => sum + kinds.length, 0);
  const needs = records.reduce((sum, record) => sum + record.needs.length, 0);
  if (Math.max(ops, needs) >= 2 ** 31)
    throw new UserError(
      `a step of ${ops} ops, at most ${2 ** 31 - 1} can be simulated; use fewer ranks, layers or micro-batches`,
    );
}

/** Messages in the order of senders' ranks and sends, and for each receive, in the order of receivers' ranks and receives, which one it is. */
function matched(records: readonly RankRecord[], progress: TellProgress) {
  const numbers = new Map<string, number>();
  const groups = records.map(({ groups: names }) =>
    names.map((name) => {
      const known = numbers.get(name) ?? numbers.size;
      numbers.set(name, known);
      return known;
    }),
  );
  const count = records.reduce((sum, { sends }) => sum + sends.peer.length, 0);
  const expected = records.reduce((sum, { receives }) => sum + receives.peer.length, 0);
  if (count !== expected) throw new Error(`ranks send ${count} messages and receive ${expected}`);
  const [from, to, bytes] = [new Int32Array(count), new Int32Array(count), new Float64Array(count)];
  const table = new MessageIndex(count);
  const key: Key = new Int32Array(parts);
  const tell = (done: number) => void (done % tellEvery === 0 && progress({ doing: "matching", done, all: 2 * count }));
  let message = 0;
  for (const [rank, { sends }] of records.entries())
    for (let i = 0; i < sends.peer.length; i++, message++) {
      from[message] = rank;
      to[message] = sends.peer[i];
      bytes[message] = sends.bytes[i];
      tell(message);
      key[0] = rank;
      key[1] = sends.peer[i];
      key[2] = groups[rank][sends.group[i]];
      key[3] = sends.which[i];
      key[4] = sends.part[i];
      table.add(message, key);
    }
  const received = new Int32Array(count);
  let at = 0;
  for (const [rank, { receives, groups: names }] of records.entries())
    for (let i = 0; i < receives.peer.length; i++, at++) {
      const sender = receives.peer[i];
      const group = receives.group[i];
      tell(count + at);
      key[0] = sender;
      key[1] = rank;
      key[2] = groups[rank][group];
      key[3] = receives.which[i];
      key[4] = receives.part[i];
      received[at] = table.find(key);
      if (received[at] < 0)
        throw new Error(
          `rank ${rank} waits for rank ${sender} in call ${receives.which[i]} of ${names[group]} for ever`,
        );
    }
  return { messages: { from, to, bytes }, received };
}

/** A message's sender, receiver, group, call and part, written into one place: arrays of their own cost more than finding it. */
type Key = Int32Array;
const parts = 5;

/** Messages by their names: open addressing, since there are millions. */
class MessageIndex {
  readonly #slots: Int32Array;
  readonly #keys: Int32Array;

  constructor(count: number) {
    this.#slots = new Int32Array(2 ** Math.ceil(Math.log2(2 * count + 2))).fill(-1);
    this.#keys = new Int32Array(parts * count);
  }

  add(message: number, key: Key): void {
    for (let i = 0; i < parts; i++) this.#keys[parts * message + i] = key[i];
    const { length } = this.#slots;
    let slot = hash(key) & (length - 1);
    while (this.#slots[slot] >= 0) slot = (slot + 1) & (length - 1);
    this.#slots[slot] = message;
  }

  /** -1 when there is none. One message is found once: two of one name are two messages. */
  find(key: Key): number {
    const { length } = this.#slots;
    for (let slot = hash(key) & (length - 1); this.#slots[slot] !== -1; slot = (slot + 1) & (length - 1)) {
      const message = this.#slots[slot];
      if (message >= 0 && this.#same(message, key)) {
        this.#slots[slot] = taken;
        return message;
      }
    }
    return -1;
  }

  #same(message: number, key: Key): boolean {
    for (let i = 0; i < parts; i++) if (this.#keys[parts * message + i] !== key[i]) return false;
    return true;
  }
}

/** of a slot whose message was found */
const taken = -2;

function hash(key: Key): number {
  let value = 0;
  for (let i = 0; i < parts; i++) value = Math.imul(value ^ key[i], 0x9e3779b1) ^ (value >>> 15);
  return value ^ (value >>> 13);
}

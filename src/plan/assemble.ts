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

/** Messages in the order of senders' ranks and sends, and for each receive, in the order of receivers' ranks and receives, which one it is.
 *  Two ranks mostly receive from each other in the order in which they sent: a receive is looked for among what its sender sent it and
 *  is not yet received, the oldest first. (One table of all messages' names costs a cache miss or more for each of millions.) */
function matched(records: readonly RankRecord[], progress: TellProgress) {
  const ranks = records.length;
  const groups = numbered(records);
  const firstSend = new Int32Array(ranks + 1);
  for (const [rank, { sends }] of records.entries()) firstSend[rank + 1] = firstSend[rank] + sends.peer.length;
  const count = firstSend[ranks];
  const expected = records.reduce((sum, { receives }) => sum + receives.peer.length, 0);
  if (count !== expected) throw new Error(`ranks send ${count} messages and receive ${expected}`);
  const [from, to, bytes] = [new Int32Array(count), new Int32Array(count), new Float64Array(count)];
  for (const [rank, { sends }] of records.entries()) {
    from.fill(rank, firstSend[rank], firstSend[rank + 1]);
    to.set(sends.peer, firstSend[rank]);
    bytes.set(sends.bytes, firstSend[rank]);
  }
  const arriving = byReceiver(to, ranks);
  const received = new Int32Array(count);
  /** of the messages of each sender to one receiver, those not yet received: from here, up to there */
  const [next, end] = [new Int32Array(ranks), new Int32Array(ranks)];
  let at = 0;
  for (const [rank, { receives, groups: names }] of records.entries()) {
    const { first, messages } = arriving;
    next.fill(0);
    end.fill(0);
    for (let i = first[rank]; i < first[rank + 1]; i++) {
      const sender = from[messages[i]];
      if (end[sender] === 0) next[sender] = i;
      end[sender] = i + 1;
    }
    for (let i = 0; i < receives.peer.length; i++, at++) {
      if (at % tellEvery === 0) progress({ doing: "matching", done: at, all: count });
      const sender = receives.peer[i];
      const group = groups[rank][receives.group[i]];
      const { sends } = records[sender];
      const isIt = (message: number): boolean => {
        if (message === taken) return false;
        const send = message - firstSend[sender];
        return (
          sends.which[send] === receives.which[i] &&
          sends.part[send] === receives.part[i] &&
          groups[sender][sends.group[send]] === group
        );
      };
      let place = next[sender];
      while (place < end[sender] && !isIt(messages[place])) place++;
      if (place === end[sender])
        throw new Error(
          `rank ${rank} waits for rank ${sender} in call ${receives.which[i]} of ${names[receives.group[i]]} for ever`,
        );
      received[at] = messages[place];
      messages[place] = taken;
      while (next[sender] < end[sender] && messages[next[sender]] === taken) next[sender]++;
    }
  }
  return { messages: { from, to, bytes }, received };
}

/** in the place of a message that was received: two of one name are two messages */
const taken = -1;

/** Each rank's groups by their number among all ranks' groups. */
function numbered(records: readonly RankRecord[]): Int32Array[] {
  const numbers = new Map<string, number>();
  return records.map(({ groups }) =>
    Int32Array.from(groups, (name) => {
      const known = numbers.get(name) ?? numbers.size;
      numbers.set(name, known);
      return known;
    }),
  );
}

/** Messages by receiver, in their order: those to rank r are messages[first[r]] to messages[first[r + 1] - 1]. */
function byReceiver(to: Int32Array, ranks: number): { first: Int32Array; messages: Int32Array } {
  const first = new Int32Array(ranks + 1);
  for (const rank of to) first[rank + 1]++;
  for (let rank = 0; rank < ranks; rank++) first[rank + 1] += first[rank];
  const filled = first.slice(0, ranks);
  const messages = new Int32Array(to.length);
  for (let message = 0; message < to.length; message++) messages[filled[to[message]]++] = message;
  return { first, messages };
}

// A product as a film: what was sent and multiplied, put in the order of its steps. A rank asks for a step's blocks while it still multiplies
// those of the step before; here each step is shown by itself.

import type { ProductMessage, WatchedRank } from "shardgrad/parallel";

export interface Frame {
  kind: "rest" | "move" | "multiply";
  /** SUMMA's t, from 0 */
  t: number;
  messages: readonly ProductMessage[];
  /** of moves that follow each other in the same collective: which, from 0, and how many */
  round: number;
  rounds: number;
}

const still = (kind: "rest" | "multiply", t: number): Frame => ({ kind, t, messages: [], round: 0, rounds: 1 });

/** What has to come before the product that it is for. */
const brings = ({ op }: ProductMessage): boolean => op === "broadcast" || op === "allGather";
/** The sum over planes comes after all steps. */
const ends = ({ op }: ProductMessage): boolean => op === "allReduce";

export function framesOf(watched: readonly WatchedRank[]): Frame[] {
  const messages = watched.flatMap((rank) => rank.messages);
  const frames = [still("rest", 0)];
  for (let t = 0; t < watched[0].products.length; t++) {
    const own = messages.filter((message) => message.step === t && !ends(message));
    frames.push(...moves(own.filter(brings), t), still("multiply", t));
    frames.push(
      ...moves(
        own.filter((message) => !brings(message)),
        t,
      ),
    );
  }
  return [...frames, ...moves(messages.filter(ends), watched[0].products.length - 1)];
}

/** One frame for each round: what a rank passes on had to reach it first. */
function moves(messages: readonly ProductMessage[], t: number): Frame[] {
  const roundOf = rounds(messages);
  const count = Math.max(-1, ...roundOf) + 1;
  return Array.from({ length: count }, (_, round) => ({
    ...{ kind: "move", t, round, rounds: count },
    messages: messages.filter((_, at) => roundOf[at] === round),
  }));
}

function rounds(messages: readonly ProductMessage[]): number[] {
  const keyOf = ({ operand, owner }: ProductMessage, rank: number) => `${operand} ${owner} ${rank}`;
  const arriving = new Map<string, number[]>();
  for (const [at, message] of messages.entries()) {
    const key = keyOf(message, message.to);
    arriving.set(key, [...(arriving.get(key) ?? []), at]);
  }
  const known: number[] = [];
  const roundOf = (at: number): number => {
    const message = messages[at];
    const before = ends(message) ? [] : (arriving.get(keyOf(message, message.from)) ?? []);
    return (known[at] ??= ends(message) ? message.round : Math.max(-1, ...before.map(roundOf)) + 1);
  };
  // Recursion as deep as a ring is long; a sum's rounds are counted as the collective counts them, without gaps.
  const all = messages.map((_, at) => roundOf(at));
  const used = [...new Set(all)].sort((a, b) => a - b);
  return all.map((round) => used.indexOf(round));
}

/** What a rank has beside its own blocks of A and B. */
export interface Holding {
  /** ranks whose block of A or B it has for the product at hand */
  a: number[];
  b: number[];
  /** the rank whose block of C it has computed a term of, "all" of them on a line; undefined where it adds to its own */
  term: number | "all" | undefined;
  /** of the terms of its own block of C, the share that is in it */
  share: number;
  /** nothing is missing, the sum over planes included */
  whole: boolean;
}

/** Of each rank, at the end of a frame. */
export function holdingsAt(watched: readonly WatchedRank[], frames: readonly Frame[], index: number): Holding[] {
  const film = frames.slice(1, index + 1);
  const messages = watched.flatMap((rank) => rank.messages);
  const sums = messages.filter((message) => message.operand === "c" && !ends(message));
  const total = new Array<number>(watched.length).fill(0);
  /** terms that a rank has of others' for a block: a sum brings all that are in it */
  const come = new Map<string, number>();
  const comeTo = (rank: number, owner: number) => come.get(`${rank} ${owner}`) ?? 0;
  for (const { owner } of sums) total[owner]++;
  const ranks = watched.map((): Holding => ({ a: [], b: [], term: undefined, share: 0, whole: false }));
  let multiplied = 0;
  const travelling = (operand: "a" | "b") => messages.some((message) => message.operand === operand);
  const stays = { a: !travelling("a"), b: !travelling("b") };
  for (const [at, frame] of film.entries()) {
    const { kind, t } = frame;
    // Blocks of the step before are let go of when the next one's come.
    if (kind === "move" && film[at - 1]?.kind === "multiply" && frame.messages.some(brings))
      for (const rank of ranks) [rank.a, rank.b] = [[], []];
    for (const message of frame.messages) {
      const { operand, owner, to } = message;
      if (operand === "c") {
        if (!ends(message)) come.set(`${to} ${owner}`, comeTo(to, owner) + 1 + comeTo(message.from, owner));
        continue;
      }
      ranks[to][operand].push(owner);
      // Who has it at rest multiplies with it too.
      if (!ranks[owner][operand].includes(owner)) ranks[owner][operand].push(owner);
    }
    if (kind === "multiply") {
      multiplied = t + 1;
      for (const [rank, holding] of ranks.entries()) {
        if (stays.a) holding.a = [rank];
        if (stays.b) holding.b = [rank];
        holding.term = termOf(rank, { t, sums });
      }
    }
    if (kind === "move" && !frame.messages.some(brings) && frame.round === frame.rounds - 1)
      for (const rank of ranks) [rank.a, rank.b, rank.term] = [[], [], undefined];
  }
  const products = watched[0].products.length;
  const done = index === frames.length - 1;
  for (const [rank, holding] of ranks.entries()) {
    const own = sums.find(({ owner }) => owner === rank);
    if (!own) holding.share = multiplied / products;
    else holding.share = ((multiplied > own.step ? 1 : 0) + comeTo(rank, rank)) / (1 + total[rank]);
    holding.whole = holding.share === 1 && (done || !messages.some(ends));
  }
  return ranks;
}

/** Whose block a rank's product of that step is a term of. */
function termOf(rank: number, { t, sums }: { t: number; sums: readonly ProductMessage[] }): number | "all" | undefined {
  const sent = sums.filter(({ from, step }) => from === rank && step === t);
  if (sent.length === 0) return undefined;
  return sent[0].along === "line" ? "all" : sent[0].owner;
}

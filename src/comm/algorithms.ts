// Which algorithm a collective uses, and what each rank receives by it, in words and messages: closed forms, computed from group size, place in the
// group and element counts alone. collectives.ts sends the messages; nothing here is shared with it but the choice.
// Thakur, Rabenseifner & Gropp, "Optimization of Collective Communication Operations in MPICH" (2005).

/** "direct": one message from each rank to each that needs it. "tree": binomial. "doubling": recursive doubling. "ring": neighbours only. */
export type Algorithm = "direct" | "tree" | "doubling" | "ring";
export type Op = "broadcast" | "reduce" | "allReduce" | "allGather" | "reduceScatter" | "allToAll";

/** What each collective can be asked for. */
export const algorithms = {
  broadcast: ["direct", "tree", "ring"],
  reduce: ["direct", "tree", "ring"],
  allReduce: ["direct", "tree", "doubling", "ring"],
  allGather: ["direct", "ring"],
  reduceScatter: ["direct", "ring"],
  allToAll: ["direct"],
} as const satisfies Record<Op, readonly Algorithm[]>;

export type AlgorithmOf<O extends Op> = (typeof algorithms)[O][number];

/** Up to this many words a message's latency outweighs its bytes on every link there is. */
const latencyBoundWords = 4096;

/** Up to this many ranks a root sends to each itself: a tree would save one round at most. */
const fewRanks = 4;

/** The algorithm for a group of that size and a tensor of that many words, the same on every rank. */
export function chooseAlgorithm<O extends Op>(op: O, call: { size: number; words: number }): AlgorithmOf<O> {
  return choice(op, call) as AlgorithmOf<O>;
}

function choice(op: Op, { size, words }: { size: number; words: number }): Algorithm {
  if (op === "broadcast" || op === "reduce") return size <= fewRanks ? "direct" : "tree";
  if (op === "allReduce") return size <= 2 || words <= latencyBoundWords ? "doubling" : "ring";
  if (op === "allToAll") return "direct";
  return size <= fewRanks ? "direct" : "ring";
}

/** Elements [from, to) of part `index` when n elements are cut into `count` parts that differ by at most one. */
export function part(n: number, { index, count }: { index: number; count: number }): { from: number; to: number } {
  return { from: Math.floor((n * index) / count), to: Math.floor((n * (index + 1)) / count) };
}

const partWords = (n: number, index: number, count: number): number => {
  const { from, to } = part(n, { index, count });
  return to - from;
};

/** Ranks below place `relative` of a binomial tree: those it receives from in a reduce. */
export function treeChildren(relative: number, size: number): number[] {
  const children: number[] = [];
  for (let bit = 1; bit < size && (relative & bit) === 0; bit <<= 1)
    if (relative + bit < size) children.push(relative + bit);
  return children;
}

/** Largest power of two that is at most n. */
export const powerBelow = (n: number): number => 2 ** Math.floor(Math.log2(n));

/** What crossed the links to one rank. */
export interface Received {
  words: number;
  messages: number;
}

export const nothing: Received = { words: 0, messages: 0 };

/** All of it together. */
export const sumOf = (...each: readonly Received[]): Received => ({
  words: each.reduce((sum, { words }) => sum + words, 0),
  messages: each.reduce((sum, { messages }) => sum + messages, 0),
});

/** The same `count` times. */
export const times = (count: number, { words, messages }: Received): Received => ({
  words: count * words,
  messages: count * messages,
});

/** What the rank at `index` of a group of `size` receives in one collective of `words` elements.
 *  words: of the whole tensor for broadcast, reduce and allReduce; for the others of each rank's part, in order (in allToAll the part
 *  that every other rank sends it).
 *  root: index of the root of broadcast and reduce. */
export function received(
  op: Op,
  call: { size: number; index: number; words: number | readonly number[]; root?: number; algorithm?: Algorithm },
): Received {
  const { size, index } = call;
  if (size === 1) return nothing;
  const parts = typeof call.words === "number" ? undefined : call.words;
  const n = parts ? parts.reduce((a, b) => a + b, 0) : (call.words as number);
  const algorithm = call.algorithm ?? chooseAlgorithm(op, { size, words: n });
  const relative = (index - (call.root ?? 0) + size) % size;
  const own = parts?.[index] ?? 0;
  /** that many messages of the whole tensor */
  const whole = (messages: number): Received => times(messages, { words: n, messages: 1 });
  switch (op) {
    case "broadcast":
      return whole(relative === 0 ? 0 : 1);
    case "reduce":
      if (algorithm === "direct") return whole(relative === 0 ? size - 1 : 0);
      if (algorithm === "ring") return whole(relative === size - 1 ? 0 : 1);
      return whole(treeChildren(relative, size).length);
    case "allReduce":
      if (algorithm === "ring") return ringAllReduce({ size, index, n });
      return whole(allReduceMessages(algorithm, { size, index }));
    case "allGather":
      // Everything but its own part, whichever way it comes.
      return { words: n - own, messages: size - 1 };
    case "reduceScatter":
      // Ring: every part but the one it starts with passes by once.
      if (algorithm === "ring") return { words: n - (parts?.[(index + size - 1) % size] ?? 0), messages: size - 1 };
      return times(size - 1, { words: own, messages: 1 });
    case "allToAll":
      return times(size - 1, { words: own, messages: 1 });
  }
}

/** Roundings in a row, at most, of what goes into a result where messages round: a term of a sum once each time that it, or the sum that it
 *  is in, is sent or kept as it was sent. */
export function roundings(op: Op, call: { size: number; words: number; algorithm?: Algorithm }): number {
  const { size, words } = call;
  if (size === 1) return 0;
  const algorithm = call.algorithm ?? chooseAlgorithm(op, { size, words });
  const reduced = algorithm === "ring" ? size - 1 : algorithm === "tree" ? Math.ceil(Math.log2(size)) : 1;
  if (op === "reduce" || op === "reduceScatter") return reduced;
  if (op !== "allReduce" || algorithm === "direct") return 1;
  const core = powerBelow(size);
  // In between by doubling, there and back where some are beyond the power of two; else the way back.
  return algorithm === "doubling" ? Math.log2(core) + (core < size ? 2 : 0) : reduced + 1;
}

/** Of the whole tensor each. */
function allReduceMessages(
  algorithm: Exclude<Algorithm, "ring">,
  { size, index }: { size: number; index: number },
): number {
  switch (algorithm) {
    case "direct":
      return size - 1;
    case "tree":
      return treeChildren(index, size).length + (index === 0 ? 0 : 1);
    case "doubling": {
      // Ranks beyond the power of two hand theirs in and get the sum back.
      const core = powerBelow(size);
      const extra = size - core;
      return index < core ? Math.log2(core) + (index < extra ? 1 : 0) : 1;
    }
  }
}

/** All parts but the one before in the first half, all but its own in the second. Parts of no words are not sent. */
function ringAllReduce({ size, index, n }: { size: number; index: number; n: number }): Received {
  const allBut = (place: number): Received => {
    const left = partWords(n, place, size);
    return { words: n - left, messages: Math.min(n, size) - Math.min(left, 1) };
  };
  return sumOf(allBut((index + size - 1) % size), allBut(index));
}

// The ledger: what is counted, at whom, under which name and step; and its sums. Numbers worked out by hand, not by the closed forms.

import { test } from "uvu";
import { equal, is } from "uvu/assert";
import { received } from "../../src/comm/algorithms.ts";
import { bytesReceived, Ledger, totals, trafficMatrix } from "../../src/comm/ledger.ts";
import { runRanks } from "../../src/comm/loopback.ts";
import { ProcessGroup } from "../../src/comm/process-group.ts";
import { constant } from "../../src/tensor/tensor.ts";
import { backendUnderTest, closeBackend } from "../gpu/harness.ts";

test.after(closeBackend);

/** Three ranks, each with a ledger or all without one; entries of all, in the order of ranks. */
async function counted(
  program: (
    group: ProcessGroup,
    context: { ledger: Ledger | undefined; x: () => ReturnType<typeof constant> },
  ) => Promise<void>,
  { withLedger = true } = {},
) {
  const backend = await backendUnderTest();
  const ledgers = [0, 1, 2].map(() => new Ledger());
  await runRanks({ size: 3, backend }, async ({ link, backend: own }) => {
    const ledger = withLedger ? ledgers[link.rank] : undefined;
    const group = new ProcessGroup({ name: "world", ranks: [2, 0, 1], link, ledger });
    await program(group, { ledger, x: () => constant(own, { shape: [2, 5], purpose: "activations" }) });
  });
  is(backend.memory.total, 0);
  return ledgers;
}

/** A sum, by a chain of ranks 1 > 0 > 2, then back to everyone; then a step later a barrier and a message. */
async function twoSteps(group: ProcessGroup, { ledger, x }: Parameters<Parameters<typeof counted>[0]>[1]) {
  using sum = x();
  await group.reduce(sum, { root: 0, purpose: "statistics", algorithm: "ring" });
  using mine = group.index === 0 ? x() : undefined;
  using all = await group.broadcast(mine, { root: 0, shape: [2, 5], purpose: "weights", algorithm: "direct" });
  if (ledger) ledger.step = 1;
  for (let again = 0; again < 2; again++) {
    if (group.index === 1) group.send(all, { to: 2, tag: `${again}`, purpose: "weights" });
    if (group.index === 2)
      (await group.receive({ from: 1, tag: `${again}`, shape: [2, 5], purpose: "weights" })).dispose();
  }
  await group.barrier({ purpose: "end" });
}

test("every message is counted once, at its receiver, by world ranks, operation, purpose and step", async () => {
  const ledgers = await counted(twoSteps);
  const ten = { messages: 1, words: 10, bytes: 40 };
  const none = (messages: number) => ({ messages, words: 0, bytes: 0 });
  const end = { op: "barrier", purpose: "end", step: 1 };
  equal(ledgers[0].entries, [
    { from: 1, to: 0, op: "reduce", purpose: "statistics", step: 0, ...ten },
    { from: 2, to: 0, op: "broadcast", purpose: "weights", step: 0, ...ten },
    { from: 2, to: 0, ...end, ...none(1) },
    { from: 1, to: 0, ...end, ...none(1) },
  ]);
  equal(ledgers[1].entries, [
    { from: 2, to: 1, op: "broadcast", purpose: "weights", step: 0, ...ten },
    { from: 0, to: 1, op: "send", purpose: "weights", step: 1, messages: 2, words: 20, bytes: 80 },
    { from: 0, to: 1, ...end, ...none(1) },
    { from: 2, to: 1, ...end, ...none(1) },
  ]);
  equal(ledgers[2].entries, [
    { from: 0, to: 2, op: "reduce", purpose: "statistics", step: 0, ...ten },
    { from: 1, to: 2, ...end, ...none(1) },
    { from: 0, to: 2, ...end, ...none(1) },
  ]);
});

test("sums: by any name, from each to each, and received by each", async () => {
  const ledgers = await counted(twoSteps);
  const entries = ledgers.flatMap((ledger) => ledger.entries);
  equal(
    [...totals(entries, ({ purpose, step }) => `${purpose} ${step}`)],
    [
      ["statistics 0", { messages: 2, words: 20, bytes: 80 }],
      ["weights 0", { messages: 2, words: 20, bytes: 80 }],
      ["end 1", { messages: 6, words: 0, bytes: 0 }],
      ["weights 1", { messages: 2, words: 20, bytes: 80 }],
    ],
  );
  equal(trafficMatrix(entries, 3), [
    [0, 80, 40],
    [40, 0, 0],
    [40, 40, 0],
  ]);
  equal(bytesReceived(entries, 3), [80, 120, 40]);
});

test("a ledger that is cleared counts from nothing, in the step it was in", async () => {
  const [ledger] = await counted(twoSteps);
  ledger.clear();
  equal(ledger.entries, []);
  ledger.record({ from: 1, to: 0, op: "send", purpose: "p", words: 3, dtype: "f32" });
  equal(ledger.entries, [{ from: 1, to: 0, op: "send", purpose: "p", step: 1, messages: 1, words: 3, bytes: 12 }]);
});

test("the same message in another step is another entry", async () => {
  const [ledger] = await counted(async (group, { ledger, x }) => {
    for (const step of [0, 1, 1]) {
      if (ledger) ledger.step = step;
      using mine = x();
      (await group.allReduce(mine, { purpose: "p", algorithm: "direct" })).dispose();
    }
  });
  equal(
    ledger.entries.map(({ from, step, messages, words }) => [from, step, messages, words]),
    [
      [1, 0, 1, 10],
      [2, 0, 1, 10],
      [1, 1, 2, 20],
      [2, 1, 2, 20],
    ],
  );
});

test("without a ledger nothing is counted, and a group of one never counts", async () => {
  for (const ledger of await counted(twoSteps, { withLedger: false })) equal(ledger.entries, []);
  const backend = await backendUnderTest();
  const ledger = new Ledger();
  await runRanks({ size: 1, backend }, async ({ link, backend: own }) => {
    const group = new ProcessGroup({ name: "world", ranks: [0], link, ledger });
    using x = constant(own, { shape: [3], purpose: "activations" });
    using y = await group.allReduce(x, { purpose: "p" });
    for (using part of await group.allGather(y, { purpose: "p" })) is(part.size, 3);
    await group.reduce(x, { root: 0, purpose: "p" });
    await group.barrier({ purpose: "p" });
  });
  equal(ledger.entries, []);
});

test("the closed forms, worked by hand: 10 words on 3 ranks, 7 words on 5", () => {
  type Options = Omit<Parameters<typeof received>[1], "size" | "index"> & { op: Parameters<typeof received>[0] };
  const onRanks = (size: number, options: Options, what: "words" | "messages") =>
    Array.from({ length: size }, (_, index) => received(options.op, { ...options, size, index })[what]);
  const words = (size: number, options: Options) => onRanks(size, options, "words");
  const messages = (size: number, options: Options) => onRanks(size, options, "messages");
  equal(words(3, { op: "broadcast", words: 10, root: 1 }), [10, 0, 10]);
  equal(words(3, { op: "reduce", words: 10, root: 1, algorithm: "direct" }), [0, 20, 0]);
  equal(words(3, { op: "reduce", words: 10, root: 1, algorithm: "ring" }), [0, 10, 10]);
  // Ranks 1, 3 and 4 hand their sums to 0, 2 and 0; 2 hands its on to 0.
  equal(words(5, { op: "reduce", words: 7, root: 0, algorithm: "tree" }), [21, 0, 7, 0, 0]);
  equal(words(5, { op: "allReduce", words: 7, algorithm: "tree" }), [21, 7, 14, 7, 7]);
  // A pair more at distance 1 and at 2; rank 4's comes and goes.
  equal(words(5, { op: "allReduce", words: 7, algorithm: "doubling" }), [21, 14, 14, 14, 7]);
  equal(words(3, { op: "allReduce", words: 10, algorithm: "direct" }), [20, 20, 20]);
  // Parts of 3, 3 and 4 words: all but the one before in the first half, all but its own in the second.
  equal(words(3, { op: "allReduce", words: 10, algorithm: "ring" }), [6 + 7, 7 + 7, 7 + 6]);
  equal(words(3, { op: "allGather", words: [1, 2, 4] }), [6, 5, 3]);
  equal(words(3, { op: "reduceScatter", words: [1, 2, 4], algorithm: "direct" }), [2, 4, 8]);
  equal(words(3, { op: "reduceScatter", words: [1, 2, 4], algorithm: "ring" }), [3, 6, 5]);
  equal(words(3, { op: "allToAll", words: [1, 2, 4] }), [2, 4, 8]);
  equal(messages(5, { op: "reduce", words: 7, root: 0, algorithm: "tree" }), [3, 0, 1, 0, 0]);
  equal(messages(5, { op: "allReduce", words: 7, algorithm: "tree" }), [3, 1, 2, 1, 1]);
  equal(messages(5, { op: "allReduce", words: 7, algorithm: "doubling" }), [3, 2, 2, 2, 1]);
  equal(messages(3, { op: "allReduce", words: 10, algorithm: "ring" }), [4, 4, 4]);
  // Two words in three parts: none, one, one. Rank 0 misses part 2, then its own, which is none.
  equal(messages(3, { op: "allReduce", words: 2, algorithm: "ring" }), [1 + 2, 2 + 1, 1 + 1]);
  equal(messages(3, { op: "allGather", words: [1, 2, 4] }), [2, 2, 2]);
});

test.run();

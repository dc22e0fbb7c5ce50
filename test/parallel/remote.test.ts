// Links over channels against the loopback: every collective by every algorithm in groups of 1 to 9 ranks has the same bits and the same
// ledger, and leaves nothing, neither in memory nor on the event loop; a training step's frames cost less than one byte in a hundred.

import { test } from "uvu";
import { equal, is, ok } from "uvu/assert";
import type { Backend } from "../../src/backend/backend.ts";
import type { DType } from "../../src/backend/buffer.ts";
import { type Algorithm, algorithms, type Op } from "../../src/comm/algorithms.ts";
import { Ledger, type LedgerEntry } from "../../src/comm/ledger.ts";
import type { Link } from "../../src/comm/link.ts";
import { runRanks } from "../../src/comm/loopback.ts";
import { ProcessGroup } from "../../src/comm/process-group.ts";
import { parseModelConfig } from "../../src/nn/config.ts";
import { createLayout, meshShape } from "../../src/parallel/shape.ts";
import { constant, type Shape, type Tensor } from "../../src/tensor/tensor.ts";
import { makeCorpus } from "../../src/train/corpus.ts";
import { charTokenizer } from "../../src/train/tokenizer.ts";
import { train } from "../../src/train/trainer.ts";
import { backendUnderTest, closeBackend } from "../gpu/harness.ts";
import { parameters } from "../training/toy.ts";
import { dawdler, permutedRanks, unhandledRejections, values } from "./ranks.ts";
import { handlesLeft, openHandles, runRemote } from "./remote-ranks.ts";

const sizes = [1, 2, 3, 4, 5, 6, 7, 8, 9];
const range = (n: number) => Array.from({ length: n }, (_, index) => index);
const purpose = "test";

const rejections = unhandledRejections();
test.after(closeBackend);

type Run = (rank: { link: Link; backend: Backend }) => Promise<unknown>;

interface Member {
  group: ProcessGroup;
  index: number;
  size: number;
  dtype: DType;
  dawdle: () => Promise<void>;
  tensor(shape: Shape, seed: number): Tensor;
}

/** What a program returns is disposed and, read, this rank's result. */
type Program = (member: Member, options: { words: number; algorithm: Algorithm | undefined }) => Promise<Tensor[]>;

/** Elements of each type: whole numbers in i32, which is never summed. */
function hostValues(dtype: DType, { length, seed }: { length: number; seed: number }): Float32Array | Int32Array {
  const floats = values(length, seed);
  return dtype === "i32" ? Int32Array.from(floats, (x) => Math.trunc(x * 2 ** 31)) : floats;
}

/** Which of two messages came first is nobody's promise. */
const sorted = (entries: readonly LedgerEntry[]) =>
  [...entries].sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));

const bytesOfArray = (x: ArrayBufferView) => [...new Uint8Array(x.buffer, x.byteOffset, x.byteLength)];

/** Every rank's results, a byte each, and its ledger, over one link and over the other. */
async function onBoth(options: {
  size: number;
  dtypes: readonly DType[];
  algorithm: Algorithm | undefined;
  program: Program;
}): Promise<{ loopback: unknown[]; remote: unknown[] }> {
  const { size, dtypes, algorithm, program } = options;
  const backend = await backendUnderTest();
  const ranks = permutedRanks(size);
  const world = Math.max(...ranks) + 1;
  const on =
    (seed: number | undefined): Run =>
    async ({ link, backend: own }) => {
      if (!ranks.includes(link.rank)) return undefined;
      const ledger = new Ledger();
      const group = new ProcessGroup({ name: "part", ranks, link, ledger });
      const results: number[][] = [];
      for (const dtype of dtypes)
        for (const words of [1, 2, 33]) {
          const got = await program(
            {
              ...{ group, index: group.index, size, dtype },
              dawdle: dawdler(seed && seed + link.rank),
              tensor: (shape, of) => {
                const length = shape.reduce((a, b) => a * b, 1);
                const data = hostValues(dtype, { length, seed: of });
                return constant(own, { shape, data, dtype, purpose: "activations" });
              },
            },
            { words, algorithm },
          );
          for (const tensor of got) {
            results.push(bytesOfArray(await tensor.read()));
            tensor.dispose();
          }
        }
      return { results, entries: sorted(ledger.entries) };
    };
  const loopback = await runRanks({ size: world, backend }, on(undefined));
  const before = openHandles();
  const remote = await runRemote({ size: world, backend }, async (rank) => {
    const result = await on(size + 1)(rank);
    is(rank.backend.memory.total, 0, `rank ${rank.link.rank} holds nothing`);
    return result;
  });
  equal(await handlesLeft(before), [], "nothing is left on the event loop");
  is(backend.memory.total, 0, "nothing is left on the device");
  return { loopback, remote };
}

/** i32 has no kernels that add, f16 none for the maximum. */
async function typesFor(sums: boolean): Promise<DType[]> {
  const { features } = (await backendUnderTest()).adapter;
  return ["f32", ...(sums ? [] : ["i32" as const]), ...(features.includes("shader-f16") ? ["f16" as const] : [])];
}

const programs: Record<Op, Program> = {
  broadcast: async ({ group, index, size, tensor, dawdle }, { words, algorithm }) => {
    const root = words % size;
    using x = index === root ? tensor([words], size) : undefined;
    await dawdle();
    return [await group.broadcast(x, { root, shape: [words], purpose, algorithm })];
  },
  reduce: async ({ group, index, size, tensor, dawdle }, { words, algorithm }) => {
    const root = (words + 1) % size;
    const x = tensor([words], index);
    await dawdle();
    await group.reduce(x, { root, purpose, algorithm });
    if (index === root) return [x];
    x.dispose();
    return [];
  },
  allReduce: async ({ group, index, dtype, tensor, dawdle }, { words, algorithm }) => {
    using x = tensor([words], index);
    const sums = [group.allReduce(x, { purpose, algorithm })];
    if (dtype === "f32") sums.push(group.allReduce(x, { purpose, algorithm, combine: "max" }));
    await dawdle();
    return Promise.all(sums);
  },
  allGather: async ({ group, index, size, tensor, dawdle }, { words, algorithm }) => {
    const shapes = range(size).map((place) => [1 + place, words]);
    using x = tensor(shapes[index], index);
    await dawdle();
    return group.allGather(x, { purpose, algorithm, shapes });
  },
  reduceScatter: async ({ group, index, size, tensor, dawdle }, { words, algorithm }) => {
    const parts = range(size).map((place) => tensor([1 + (place % 3), words], 10 * index + place));
    await dawdle();
    return [await group.reduceScatter(parts, { purpose, algorithm })];
  },
  allToAll: async ({ group, index, size, tensor, dawdle }, { words, algorithm }) => {
    const parts = range(size).map((place) => tensor([1 + (place % 3), words], 10 * index + place));
    await dawdle();
    return group.allToAll(parts, { purpose, algorithm });
  },
};

for (const op of Object.keys(algorithms) as Op[])
  test(`${op} by every algorithm over channels: the loopback's bits and ledger, and nothing left`, async () => {
    const dtypes = await typesFor(["reduce", "allReduce", "reduceScatter"].includes(op));
    for (const algorithm of [...algorithms[op], undefined])
      for (const size of sizes) {
        const { loopback, remote } = await onBoth({ size, dtypes, algorithm, program: programs[op] });
        equal(remote, loopback, `${op} by ${algorithm ?? "its own choice"} on ${size} ranks`);
        const entries = (remote as ({ entries: LedgerEntry[] } | undefined)[]).flatMap((each) => each?.entries ?? []);
        ok(size === 1 || entries.length > 0, "messages were counted");
      }
  });

test("barriers, tags and calls asked for ahead: over channels as on the loopback", async () => {
  const backend = await backendUnderTest();
  const program: Run = async ({ link, backend: own }) => {
    const { rank, size } = link;
    const group = new ProcessGroup({ name: "world", ranks: range(size), link });
    const dawdle = dawdler(rank + 1);
    const tensor = (seed: number) => constant(own, { shape: [5], data: values(5, seed), purpose: "activations" });
    using x = tensor(rank);
    for (const tag of ["a", "ö 魚", ""]) group.send(x, { to: (rank + 1) % size, tag, purpose });
    const ahead = range(size).map((root) => group.broadcast(x, { root, shape: [5], purpose }));
    await dawdle();
    await group.barrier({ purpose });
    const got: number[][] = [];
    for (const tag of ["", "ö 魚", "a"]) {
      using y = await group.receive({ from: (rank + size - 1) % size, tag, shape: [5], purpose });
      got.push(bytesOfArray(await y.read()));
    }
    for (using y of await Promise.all(ahead)) got.push(bytesOfArray(await y.read()));
    return got;
  };
  equal(await runRemote({ size: 5, backend }, program), await runRanks({ size: 5, backend }, program));
  is(backend.memory.total, 0);
});

test("a tensor that is sent to several ranks, again in another length, and freed at once arrives whole everywhere", async () => {
  const backend = await backendUnderTest();
  const got = await runRemote({ size: 4, backend }, async ({ link, backend: own }) => {
    const group = new ProcessGroup({ name: "world", ranks: range(4), link });
    if (link.rank > 0) {
      const parts: number[][] = [];
      for (const [tag, n] of [
        ["whole", 100],
        ["again", 100],
      ] as const) {
        using x = await group.receive({ from: 0, tag, shape: [n], purpose });
        parts.push([...(await x.read())]);
      }
      return parts;
    }
    const x = constant(own, { shape: [100], data: values(100, 1), purpose: "activations" });
    for (const tag of ["whole", "again"]) {
      for (const to of [1, 2, 3]) group.send(x, { to, tag, purpose });
      await undefined;
    }
    x.dispose();
    // Memory that was freed is given to the next that asks.
    using other = constant(own, { shape: [100], data: values(100, 2), purpose: "activations" });
    return [other.size];
  });
  const sent = [...values(100, 1)];
  equal(got, [[100], ...range(3).map(() => [sent, sent])]);
  is(backend.memory.total, 0);
});

test("nanoGPT's recipe on 2.5d 2x2x2: the loopback's losses; element bytes are the ledger's, all else below 1% of them", async () => {
  const backend = await backendUnderTest();
  const text = range(600)
    .map((i) => `${i % 7} sheep and ${(i * 3) % 5} goats; `)
    .join("");
  const tokenizer = charTokenizer(text);
  const context = 64;
  const corpus = makeCorpus({ tokens: tokenizer.encode(text), context });
  const config = parseModelConfig({
    ...{ model_type: "gpt2", vocab_size: tokenizer.vocabSize, n_positions: context },
    ...{ n_embd: 128, n_layer: 4, n_head: 4 },
  });
  const shape = meshShape({ layout: "2.5d", dims: [2, 2, 2] });
  const program = async ({ link, backend: own }: { link: Link; backend: Backend }) => {
    const ledger = new Ledger();
    const layout = createLayout(shape, { backend: own, link, ledger });
    const run = { ...parameters, batch: 12, context, steps: 1 };
    const losses: number[] = [];
    for await (const event of train({
      ...{ backend: own, config, tokenizer, corpus, layout, ledger },
      parameters: run,
    }))
      if (event.event === "step") losses.push(event.loss);
    return { losses, entries: sorted(ledger.entries), link };
  };
  const loopback = await runRanks({ size: 8, backend }, program);
  const remote = await runRemote({ size: 8, backend }, program);
  equal(
    remote.map(({ losses, entries }) => ({ losses, entries })),
    loopback.map(({ losses, entries }) => ({ losses, entries })),
  );
  const entries = remote.flatMap((each) => each.entries);
  for (const [rank, { link }] of remote.entries()) {
    const { elementBytes, overheadBytes } = (link as Parameters<Parameters<typeof runRemote>[1]>[0]["link"]).traffic;
    const sent = entries.filter(({ from }) => from === rank).reduce((sum, { bytes }) => sum + bytes, 0);
    is(elementBytes, sent, `rank ${rank}`);
    ok(overheadBytes > 0 && overheadBytes < 0.01 * sent, `rank ${rank}: ${overheadBytes} bytes beside ${sent}`);
  }
});

test("no promise of all these runs failed unseen", async () => {
  await new Promise((resolve) => setTimeout(resolve, 5));
  equal(rejections, []);
});

test.run();

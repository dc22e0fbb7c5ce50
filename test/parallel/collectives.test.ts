// Every collective by every algorithm in groups of 1 to 9 ranks, against sums in f64: values, the same bits everywhere and every time,
// inputs left alone, words as the closed forms say, and no memory left.

import { test } from "uvu";
import { equal, is, ok } from "uvu/assert";
import { type Algorithm, algorithms, chooseAlgorithm, type Op, received } from "../../src/comm/algorithms.ts";
import type { Combine } from "../../src/comm/collectives.ts";
import { runRanks } from "../../src/comm/loopback.ts";
import { ProcessGroup } from "../../src/comm/process-group.ts";
import { constant, type Tensor } from "../../src/tensor/tensor.ts";
import { gamma } from "../gpu/bounds.ts";
import { backendUnderTest, closeBackend } from "../gpu/harness.ts";
import { dawdler, type Member, permutedRanks, runGroup, unhandledRejections, values } from "./ranks.ts";

const sizes = [1, 2, 3, 4, 5, 6, 7, 8, 9];
/** One, two, fewer than ranks, odd, many. */
const counts = (size: number) => [...new Set([1, 2, Math.max(1, size - 1), 33, 1000])];
const range = (n: number) => Array.from({ length: n }, (_, index) => index);
const purpose = "test";

const rejections = unhandledRejections();
test.after(closeBackend);

const bits = (x: Float32Array) => new Uint32Array(x.buffer, x.byteOffset, x.length);
const read = async (x: Tensor) => (await x.read()) as Float32Array;

/** Every element of `got` within gamma of the sum, or exactly the maximum, of the inputs' elements. */
function checkCombined(got: Float32Array, { inputs, combine }: { inputs: Float32Array[]; combine: Combine }): void {
  is(got.length, inputs[0].length);
  for (let at = 0; at < got.length; at++) {
    const column = inputs.map((input) => input[at]);
    const exact = combine === "sum" ? column.reduce((a, b) => a + b, 0) : Math.max(...column);
    const bound = combine === "sum" ? gamma(inputs.length - 1) * column.reduce((a, b) => a + Math.abs(b), 0) : 0;
    ok(Math.abs(got[at] - exact) <= bound, `element ${at}: got ${got[at]}, exactly ${exact}, allowed ${bound}`);
  }
}

/** What one case gives on each rank of its group: the words and messages a rank received are those of the closed form. */
interface Case {
  op: Op;
  algorithm: Algorithm | undefined;
  size: number;
  words: number | number[];
  root?: number;
  program: (member: Member, algorithm: Algorithm | undefined) => Promise<Float32Array>;
}

/** The results of three runs, equal bit by bit: ranks in their order, again, and dawdling. */
async function runCase({ op, algorithm, size, words, root, program }: Case): Promise<Float32Array[]> {
  const backend = await backendUnderTest();
  const ranks = permutedRanks(size);
  const run = (seed?: number) => runGroup({ backend, ranks, seed }, (member) => program(member, algorithm));
  const [first, again, slow] = [await run(), await run(), await run(size + 1)];
  for (const [index, result] of first.results.entries()) {
    equal(bits(again.results[index]), bits(result), "repeated");
    equal(bits(slow.results[index]), bits(result), "in another order of ranks");
  }
  for (const { entries } of [first, slow])
    for (const index of range(size)) {
      const mine = entries.filter(({ to }) => to === ranks[index]);
      const sum = (of: "words" | "messages") => mine.reduce((total, entry) => total + entry[of], 0);
      const got = { words: sum("words"), messages: sum("messages") };
      equal(got, received(op, { size, index, words, root, algorithm }), `received at ${index} of ${size}`);
      ok(
        mine.every((entry) => ranks.includes(entry.from) && entry.from !== entry.to && entry.op === op),
        "who sent what",
      );
    }
  return first.results;
}

const named = (op: Op, algorithm: Algorithm | undefined) => `${op} by ${algorithm ?? "its own choice"}`;
/** Every algorithm by name, and none: the choice of size and words. */
const asked = (op: Op): (Algorithm | undefined)[] => [...algorithms[op], undefined];

for (const algorithm of asked("broadcast"))
  test(`${named("broadcast", algorithm)}: the root's values on every rank, whichever the root`, async () => {
    for (const size of sizes)
      for (const words of counts(size)) {
        const root = words % size;
        const data = values(words, size);
        const results = await runCase({
          ...{ op: "broadcast", algorithm, size, words, root },
          program: async ({ group, index, tensor, dawdle }) => {
            using x = index === root ? tensor(data) : undefined;
            await dawdle();
            using y = await group.broadcast(x, { root, shape: [words], purpose, algorithm });
            await dawdle();
            if (x) equal(await read(x), data);
            return read(y);
          },
        });
        for (const result of results) equal(result, data);
      }
  });

for (const combine of ["sum", "max"] as const) {
  for (const algorithm of asked("reduce"))
    test(`${named("reduce", algorithm)}: the ${combine} at the root, whichever the root`, async () => {
      for (const size of sizes)
        for (const words of counts(size)) {
          const root = (words + 1) % size;
          const inputs = range(size).map((index) => values(words, 10 * size + index));
          const results = await runCase({
            ...{ op: "reduce", algorithm, size, words, root },
            program: async ({ group, index, tensor, dawdle }) => {
              using x = tensor(inputs[index]);
              await dawdle();
              await group.reduce(x, { root, purpose, combine, algorithm });
              await dawdle();
              return index === root ? read(x) : new Float32Array(0);
            },
          });
          checkCombined(results[root], { inputs, combine });
        }
    });

  for (const algorithm of asked("allReduce"))
    test(`${named("allReduce", algorithm)}: the ${combine} on every rank, the same bits; inputs stay`, async () => {
      for (const size of sizes)
        for (const words of counts(size)) {
          const inputs = range(size).map((index) => values(words, 10 * size + index));
          const results = await runCase({
            ...{ op: "allReduce", algorithm, size, words },
            program: async ({ group, index, tensor, dawdle }) => {
              using x = tensor(inputs[index]);
              await dawdle();
              using y = await group.allReduce(x, { purpose, combine, algorithm });
              await dawdle();
              equal(await read(x), inputs[index]);
              return read(y);
            },
          });
          for (const result of results) equal(bits(result), bits(results[0]));
          checkCombined(results[0], { inputs, combine });
        }
    });

  for (const algorithm of asked("reduceScatter"))
    test(`${named("reduceScatter", algorithm)}: each rank's part of the ${combine}, equal parts or not`, async () => {
      for (const size of sizes)
        for (const lengths of [range(size).map(() => 7), range(size).map((place) => 1 + ((5 * place) % 7))]) {
          // inputs[sender][part]
          const inputs = range(size).map((from) => lengths.map((n, to) => values(n, 100 * from + to)));
          const results = await runCase({
            ...{ op: "reduceScatter", algorithm, size, words: lengths },
            program: async ({ group, index, tensor, dawdle }) => {
              const parts = inputs[index].map((data) => tensor(data));
              await dawdle();
              using y = await group.reduceScatter(parts, { purpose, combine, algorithm });
              await dawdle();
              return read(y);
            },
          });
          for (const [index, result] of results.entries())
            checkCombined(result, { inputs: inputs.map((parts) => parts[index]), combine });
        }
    });
}

for (const algorithm of asked("allGather"))
  test(`${named("allGather", algorithm)}: every rank's values in the group's order, equal parts or not; inputs stay`, async () => {
    for (const size of sizes)
      for (const lengths of [
        ...counts(size).map((n) => range(size).map(() => n)),
        range(size).map((n) => 1 + n ** 2),
      ]) {
        const inputs = lengths.map((n, index) => values(n, 10 * size + index));
        const shapes = lengths.map((n) => [n]);
        const equalParts = lengths.every((n) => n === lengths[0]);
        const results = await runCase({
          ...{ op: "allGather", algorithm, size, words: lengths },
          program: async ({ group, index, tensor, dawdle }) => {
            using x = tensor(inputs[index]);
            await dawdle();
            const options = { purpose, algorithm };
            const parts = await group.allGather(x, equalParts ? options : { ...options, shapes });
            await dawdle();
            equal(await read(x), inputs[index]);
            equal(
              parts.map(({ shape }) => shape),
              shapes,
            );
            const all: number[] = [];
            for (using part of parts) all.push(...(await read(part)));
            return Float32Array.from(all);
          },
        });
        const whole = Float32Array.from(inputs.flatMap((input) => [...input]));
        for (const result of results) equal(result, whole);
      }
  });

for (const algorithm of asked("allToAll"))
  test(`${named("allToAll", algorithm)}: each rank gets its part of everyone's, equal parts or not`, async () => {
    for (const size of sizes)
      for (const lengths of [range(size).map(() => 5), range(size).map((place) => 1 + ((3 * place) % 5))]) {
        const inputs = range(size).map((from) => lengths.map((n, to) => values(n, 100 * from + to)));
        const results = await runCase({
          ...{ op: "allToAll", algorithm, size, words: lengths },
          program: async ({ group, index, tensor, dawdle }) => {
            const parts = inputs[index].map((data) => tensor(data));
            await dawdle();
            const received = await group.allToAll(parts, { purpose, algorithm });
            await dawdle();
            const all: number[] = [];
            for (using part of received) all.push(...(await read(part)));
            return Float32Array.from(all);
          },
        });
        for (const [index, result] of results.entries())
          equal(result, Float32Array.from(inputs.flatMap((parts) => [...parts[index]])));
      }
  });

test("the choice of algorithm has no effect on values, and is one of those there are", () => {
  for (const op of Object.keys(algorithms) as Op[])
    for (const size of sizes)
      for (const words of [1, 4096, 4097, 1e8]) ok(asked(op).includes(chooseAlgorithm(op, { size, words })));
});

test("barrier: no rank leaves before the last has come, in groups of 1 to 9", async () => {
  const backend = await backendUnderTest();
  for (const size of sizes) {
    const come = new Set<number>();
    await runGroup({ backend, ranks: permutedRanks(size), seed: size }, async ({ group, index, dawdle }) => {
      for (const turn of range(3)) {
        await dawdle();
        come.add(size * turn + index);
        await group.barrier({ purpose });
        ok(come.size >= size * (turn + 1), `${come.size} of ${size * (turn + 1)} have come`);
      }
    });
  }
});

test("send and receive: between any two of a group, by tag, whichever comes first", async () => {
  const backend = await backendUnderTest();
  const { results } = await runGroup({ backend, ranks: permutedRanks(3), seed: 2 }, async (member) => {
    const { group, index, tensor, dawdle } = member;
    const [to, from] = [(index + 1) % 3, (index + 2) % 3];
    for (const tag of ["a", "b"]) {
      await dawdle();
      using x = tensor(Float32Array.of(index, tag.charCodeAt(0)));
      group.send(x, { to, tag, purpose });
    }
    using b = await group.receive({ from, tag: "b", shape: [2], purpose });
    using a = await group.receive({ from, tag: "a", shape: [2], purpose });
    return [await read(a), await read(b)].map((got) => [...got]);
  });
  equal(
    results,
    range(3).map((index) => [97, 98].map((tag) => [(index + 2) % 3, tag])),
  );
});

/** Row and column groups of a rows x columns mesh, as rank sees them. */
function meshGroups(link: ConstructorParameters<typeof ProcessGroup>[0]["link"], columns: number) {
  const [i, j] = [Math.floor(link.rank / columns), link.rank % columns];
  const rows = link.size / columns;
  return {
    ...{ i, j },
    row: new ProcessGroup({ name: `row ${i}`, ranks: range(columns).map((k) => i * columns + k), link }),
    column: new ProcessGroup({ name: `column ${j}`, ranks: range(rows).map((k) => k * columns + j), link }),
  };
}

test("rows and columns sum at once, several calls of each in flight, and begin in another order on other ranks", async () => {
  const backend = await backendUnderTest();
  const [size, columns, n] = [6, 3, 50];
  const inputs = range(size).map((rank) => range(3).map((turn) => values(n, 10 * rank + turn)));
  const results = await runRanks({ size, backend }, async ({ link, backend: own }) => {
    const { row, column } = meshGroups(link, columns);
    const dawdle = dawdler(link.rank);
    const xs = inputs[link.rank].map((data) => constant(own, { shape: [n], data, purpose: "activations" }));
    const sums = (group: ProcessGroup) =>
      xs.map((x, turn) => group.allReduce(x, { purpose, algorithm: algorithms.allReduce[turn + 1] }));
    const rowFirst = link.rank % 2 === 0;
    const first = sums(rowFirst ? row : column);
    await dawdle();
    const second = sums(rowFirst ? column : row);
    const read2 = async (pending: Promise<Tensor>[]) => {
      const out: Float32Array[] = [];
      for (using y of await Promise.all(pending)) out.push(await read(y));
      return out;
    };
    const [a, b] = [await read2(first), await read2(second)];
    for (const x of xs) x.dispose();
    is(own.memory.total, 0);
    return rowFirst ? { row: a, column: b } : { row: b, column: a };
  });
  is(backend.memory.total, 0);
  for (const [rank, result] of results.entries())
    for (const turn of range(3)) {
      const i = Math.floor(rank / columns);
      const rowInputs = range(columns).map((j) => inputs[i * columns + j][turn]);
      const columnInputs = range(size / columns).map((k) => inputs[k * columns + (rank % columns)][turn]);
      checkCombined(result.row[turn], { inputs: rowInputs, combine: "sum" });
      checkCombined(result.column[turn], { inputs: columnInputs, combine: "sum" });
    }
});

test("broadcasts asked for a step ahead along rows and columns bring each step its own blocks", async () => {
  const backend = await backendUnderTest();
  const q = 3;
  const got = await runRanks({ size: q * q, backend }, async ({ link, backend: own }) => {
    const { row, column } = meshGroups(link, q);
    const dawdle = dawdler(7 * link.rank);
    using mine = constant(own, { shape: [1], data: Float32Array.of(link.rank), purpose: "weights" });
    const fetch = (t: number) =>
      Promise.all([row, column].map((group) => group.broadcast(mine, { root: t, shape: [1], purpose })));
    const blocks: number[][] = [];
    let coming = fetch(0);
    for (let t = 0; t < q; t++) {
      const [a, b] = await coming;
      if (t + 1 < q) coming = fetch(t + 1);
      await dawdle();
      blocks.push([(await read(a))[0], (await read(b))[0]]);
      a.dispose();
      b.dispose();
    }
    return blocks;
  });
  for (const [rank, blocks] of got.entries())
    equal(
      blocks,
      range(q).map((t) => [q * Math.floor(rank / q) + t, q * t + (rank % q)]),
    );
  is(backend.memory.total, 0);
});

test("no promise of all these runs failed unseen", async () => {
  await new Promise((resolve) => setTimeout(resolve, 5));
  equal(rejections, []);
});

test.run();

// f32 on a wire of f16: half the bytes, each value rounded as often as the algorithm says, and the same bits on all ranks that hold the same,
// whoever sent them, on every link. What is exact stays so.

import { test } from "uvu";
import { equal, is, not, ok, throws } from "uvu/assert";
import { type Algorithm, algorithms, type Op, roundings } from "../../src/comm/algorithms.ts";
import { GroupCall } from "../../src/comm/group-call.ts";
import type { LedgerEntry } from "../../src/comm/ledger.ts";
import { runRanks } from "../../src/comm/loopback.ts";
import { ProcessGroup } from "../../src/comm/process-group.ts";
import { parseModelConfig } from "../../src/nn/config.ts";
import { createLayout } from "../../src/parallel/shape.ts";
import { constant, type Tensor } from "../../src/tensor/tensor.ts";
import { backendUnderTest, closeBackend } from "../gpu/harness.ts";
import { halfBits, halfValue } from "../gpu/oracle/half.ts";
import { mesh } from "./meshes.ts";
import { type Program, type Seen, unequalCopies, watchRank, watchRanks } from "./observed.ts";
import { type Member, permutedRanks, runGroup, values } from "./ranks.ts";
import { runRemote } from "./remote-ranks.ts";

const purpose = "test";
const sizes = [2, 3, 4, 5, 6, 8];
const range = (n: number) => Array.from({ length: n }, (_, index) => index);
const read = async (x: Tensor) => (await x.read()) as Float32Array;
const bits = (x: Float32Array) => new Uint32Array(x.buffer, x.byteOffset, x.length);
const rounded = (x: Float32Array) => x.map((value) => halfValue(halfBits(value)));

async function onGroup<T>(size: number, program: (member: Member) => Promise<T>) {
  const run = await runGroup({ backend: await backendUnderTest(), ranks: permutedRanks(size), wire: "f16" }, program);
  const words = (of: (entry: LedgerEntry) => number) => run.entries.reduce((sum, entry) => sum + of(entry), 0);
  return { ...run, words: words((entry) => entry.words), bytes: words((entry) => entry.bytes) };
}

/** Each within its roundings of the sum in f64: 2^-11 of each term each time, or 2^-25 where that is more, and f32's in between. */
function checkSum(got: Float32Array, { inputs, count }: { inputs: Float32Array[]; count: number }): void {
  for (let at = 0; at < got.length; at++) {
    const column = inputs.map((input) => input[at]);
    const exact = column.reduce((a, b) => a + b, 0);
    const size = column.reduce((a, b) => a + Math.abs(b), 0);
    const relative = (1 + 2 ** -11) ** count * (1 + 2 ** -24) ** inputs.length - 1;
    const bound = relative * size + count * inputs.length * 2 ** -25;
    ok(Math.abs(got[at] - exact) <= bound, `element ${at}: got ${got[at]}, exactly ${exact}, allowed ${bound}`);
  }
}

for (const algorithm of algorithms.broadcast)
  test(`broadcast by ${algorithm}: the rounded values on every rank, the root too; its own stay`, async () => {
    for (const size of sizes)
      for (const n of [1, 33]) {
        const data = values(n, size);
        const { results, words, bytes } = await onGroup(size, async ({ group, index, tensor }) => {
          using x = index === 1 ? tensor(data) : undefined;
          using y = await group.broadcast(x, { root: 1, shape: [n], purpose, algorithm });
          if (x) equal(await read(x), data);
          return read(y);
        });
        for (const result of results) equal(bits(result), bits(rounded(data)));
        equal([words, bytes], [(size - 1) * n, (size - 1) * n * 2]);
      }
  });

for (const algorithm of algorithms.allGather)
  test(`allGather by ${algorithm}: everyone's rounded values on every rank, its own too`, async () => {
    for (const size of sizes) {
      const inputs = range(size).map((index) => values(1 + 3 * index, index));
      const shapes = inputs.map(({ length }) => [length]);
      const { results, words, bytes } = await onGroup(size, async ({ group, index, tensor }) => {
        using x = tensor(inputs[index]);
        const parts = await group.allGather(x, { purpose, algorithm, shapes });
        const got = await Promise.all(parts.map(read));
        for (const part of parts) part.dispose();
        return got;
      });
      for (const result of results) equal(result, inputs.map(rounded));
      is(bytes, 2 * words);
    }
  });

const sums: [Op, readonly Algorithm[]][] = [
  ["allReduce", algorithms.allReduce],
  ["reduce", algorithms.reduce],
  ["reduceScatter", algorithms.reduceScatter],
];
for (const [op, known] of sums)
  for (const algorithm of known)
    test(`${op} by ${algorithm}: within its roundings, the same bits wherever the same is held, half the bytes`, async () => {
      for (const size of sizes)
        for (const n of [1, 7, 100]) {
          const inputs = range(size).map((index) => values(n, 10 * size + index));
          const { results, words, bytes } = await onGroup(size, async ({ group, index, tensor }) => {
            if (op === "reduceScatter") {
              const parts = inputs.map(() => tensor(inputs[index]));
              using y = await group.reduceScatter(parts, { purpose, algorithm });
              return read(y);
            }
            using x = tensor(inputs[index]);
            if (op === "reduce") {
              await group.reduce(x, { root: 0, purpose, algorithm });
              return index === 0 ? read(x) : undefined;
            }
            using y = await group.allReduce(x, { purpose, algorithm });
            equal(await read(x), inputs[index]);
            return read(y);
          });
          const count = roundings(op, { size, words: n, algorithm });
          for (const result of results) if (result) checkSum(result, { inputs, count });
          if (op === "allReduce") for (const result of results) equal(bits(result!), bits(results[0]!));
          ok(words > 0);
          is(bytes, 2 * words);
          // Nothing was rounded, nothing would be off.
          if (n === 100) ok(results[0]!.some((sum, at) => sum !== Math.fround(inputs.reduce((s, x) => s + x[at], 0))));
        }
    });

test("allToAll, exact calls, whole numbers and messages between two: what is sent as f16 is rounded, all else arrives to the bit", async () => {
  const data = values(5, 1);
  const { results, entries } = await onGroup(2, async ({ group, index, tensor, rank }) => {
    const other = 1 - index;
    const got: Float32Array[] = [];
    for (using part of await group.allToAll([tensor(data), tensor(data)], { purpose: "halved" }))
      got.push(await read(part));
    // Its own part was not sent.
    equal(got, index === 0 ? [data, rounded(data)] : [rounded(data), data]);
    using x = tensor(data);
    using sum = await group.allReduce(x, { purpose: "exact", exact: true });
    using same = await group.broadcast(x, { root: 0, shape: [5], purpose: "exact", exact: true });
    for (using part of await group.allGather(x, { purpose: "exact", exact: true })) equal(await read(part), data);
    equal(await read(same), data);
    equal(
      await read(sum),
      data.map((value) => value + value),
    );
    group.send(x, { to: other, tag: "one", purpose: "exact" });
    using one = await group.receive({ from: other, tag: "one", shape: [5], purpose: "exact" });
    equal(await read(one), data);
    using ids = constant(rank.backend, { shape: [3], data: Int32Array.of(7, 70_000, -1), purpose: "activations" });
    using sent = await group.broadcast(ids, { root: 0, shape: [3], purpose: "exact" });
    equal([...(await sent.read())], [7, 70_000, -1]);
    return got;
  });
  is(results.length, 2);
  for (const { purpose, words, bytes } of entries) is(bytes, (purpose === "exact" ? 4 : 2) * words);
});

test("what overflows f16 is infinite on every rank, the sender too, and what is not a number stays so", async () => {
  const data = Float32Array.of(65519, 65520, -1e30, Number.NaN, 2 ** -24, 2 ** -26);
  const { results } = await onGroup(3, async ({ group, index, tensor }) => {
    using x = index === 2 ? tensor(data) : undefined;
    using y = await group.broadcast(x, { root: 2, shape: [6], purpose });
    return read(y);
  });
  const wanted = [65504, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN, 2 ** -24, 0];
  for (const result of results) equal([...result], wanted);
});

test("ranks whose wires differ are told so", async () => {
  const backend = await backendUnderTest();
  const run = runRanks({ size: 2, backend }, async ({ link, backend: own }) => {
    const wire = link.rank === 0 ? "f16" : "f32";
    const group = new ProcessGroup({ name: "world", ranks: [0, 1], link, wire });
    using x = constant(own, { shape: [3], data: values(3, 1), purpose: "activations" });
    using _ = await group.allReduce(x, { purpose });
  });
  const error = await run.then(
    () => undefined,
    (error: Error) => error,
  );
  ok(error);
  ok(/allReduce sum \[3\] by doubling in f16 for test/.test(error.message), error.message);
  ok(/allReduce sum \[3\] by doubling for test/.test(error.message), error.message);
});

test("a wire that is not known is refused", async () => {
  const backend = await backendUnderTest();
  const link = { rank: 0, size: 1 } as Parameters<typeof createLayout>[1]["link"];
  throws(
    () => createLayout(mesh("1d", [1]), { backend, link, wire: "f8" as "f16" }),
    /^got a wire of f8, need f32 or f16$/,
  );
});

// ---- training -----------------------------------------------------------------------------------------------------------

const config = parseModelConfig({
  ...{ model_type: "gpt2", vocab_size: 53, n_positions: 9, n_embd: 24, n_inner: 48, n_layer: 1, n_head: 12 },
});
const program: Program = {
  ...{ config, batch: 12, context: 5, accumulate: 2, steps: 3, dropout: 0.2, clip: 0.5, recompute: false, samples: 5 },
};
const shapes = [
  mesh("1d", [3]),
  mesh("1d", [4]),
  mesh("1d-sp", [3]),
  mesh("2d", [2, 2]),
  mesh("2.5d", [2, 2, 2]),
  mesh("2.5d", [2, 2, 3]),
];

const train = async (shape: (typeof shapes)[number]): Promise<Seen[]> =>
  watchRanks(shape, { device: await backendUnderTest(), program, wire: "f16" });

/** Ranks go on with what they have sent as it was before it was rounded. */
function unroundedSenders(): Disposable {
  const { pack, unpack } = GroupCall.prototype;
  const own = new WeakMap<object, Tensor>();
  GroupCall.prototype.pack = function (x) {
    const sent = pack.call(this, x);
    // In memory of its own: what was packed may be freed.
    if (sent.dtype === "i32" && x.dtype === "f32") {
      const kept = constant(x.backend, { shape: x.shape, purpose: "scratch" });
      x.backend.run("scale", { x: x.buffer, y: kept.buffer, n: x.size, alpha: 1 });
      own.set(sent.storage, kept);
    }
    return sent;
  };
  GroupCall.prototype.unpack = function (x, shape) {
    const kept = own.get(x.storage);
    if (!kept || x.storage.borrowed) return unpack.call(this, x, shape);
    x.dispose();
    return kept;
  };
  return { [Symbol.dispose]: () => void Object.assign(GroupCall.prototype, { pack, unpack }) };
}

for (const shape of shapes) {
  test(`${shape.name}: after three steps every copy is equal to the bit, and the wire has changed the numbers`, async () => {
    const seen = await train(shape);
    equal(unequalCopies(seen), []);
    ok(seen[0].losses.every(Number.isFinite));
    const exact = await watchRanks(shape, { device: await backendUnderTest(), program });
    not.equal(seen[0].losses, exact[0].losses);
  });
  test(`${shape.name}: copies that differ show where senders go on with what they did not round`, async () => {
    using _ = unroundedSenders();
    const found = unequalCopies(await train(shape));
    ok(found.length > 0, "nothing differs");
  });
}

test("2.5d 2x2x2 over channels: the loopback's bits, half the bytes crossing", async () => {
  const backend = await backendUnderTest();
  const shape = mesh("2.5d", [2, 2, 2]);
  const loopback = await train(shape);
  const sent = { f16: 0, f32: 0 };
  const run = (wire: "f16" | "f32") =>
    runRemote({ size: shape.size, backend }, async ({ link, backend: own }) => {
      const seen = await watchRank(shape, { rank: { link, backend: own }, program, wire });
      sent[wire] += link.traffic.elementBytes;
      return seen;
    });
  equal(await run("f16"), loopback);
  await run("f32");
  ok(sent.f16 < 0.7 * sent.f32, `${sent.f16} of ${sent.f32}`);
});

test.after(closeBackend);
test.run();

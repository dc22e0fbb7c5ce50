// Ranks in worker threads, each with a device of its own: the bits, the bytes and the errors of ranks that share one.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { UserError } from "../../src/backend/errors.ts";
import { type MeshTrainOptions, trainOnMesh, verifyOnMesh } from "../../src/cluster/launch.ts";
import { measureProduct } from "../../src/cluster/matmul.ts";
import { loopbackRanks, type Ranks } from "../../src/cluster/ranks.ts";
import { workerRanks } from "../../src/cluster/workers.ts";
import { CommunicationError } from "../../src/comm/link.ts";
import { meshShape, parseMesh } from "../../src/parallel/shape.ts";
import type { TrainEvent } from "../../src/train/events.ts";
import { fixture } from "../fixtures/reference.ts";
import { backendUnderTest, closeBackend } from "../gpu/harness.ts";
import { corpus, gpt2, llama, parameters, tokenizer } from "../training/toy.ts";

type LayoutName = NonNullable<Parameters<typeof meshShape>[0]["layout"]>;
const shapeOf = (layout: LayoutName, mesh: string) => meshShape({ layout, dims: parseMesh(mesh) });

/** As the backend under test: each rank opens one for itself. */
const workers = async (channels?: "ports" | "rings") =>
  workerRanks({ backend: (await backendUnderTest()).name, channels });
const changes = { batch: 4, steps: 3, evalEvery: 2, evalBatches: 1, sampleTokens: 2, dropout: 0.1, accumulate: 2 };

async function eventsOf(ranks: Ranks, options: Omit<MeshTrainOptions, "backend" | "ranks">): Promise<TrainEvent[]> {
  const events: TrainEvent[] = [];
  for await (const event of trainOnMesh({ ...options, ranks })) events.push(event);
  return events;
}

/** What does not depend on the clock, nor on whether ranks share a device's memory. */
const lasting = (events: readonly TrainEvent[]) =>
  events.map((event) => {
    const { durationMs, tokensPerSecond, memoryBytes, peakBytes, ranks, sent, ...rest } = event as unknown as Record<
      string,
      unknown
    >;
    return rest;
  });

for (const [layout, mesh, config] of [
  ["1d", "2", llama],
  ["1d-sp", "2", gpt2],
  ["2d", "2x2", gpt2],
  ["2.5d", "2x2x2", llama],
] as const)
  test(`${layout} ${mesh}: every event of a run on workers is that of ranks that share a device, to the bit`, async () => {
    const options = {
      shape: shapeOf(layout, mesh),
      config,
      tokenizer,
      corpus,
      parameters: { ...parameters, ...changes },
    };
    const shared = await eventsOf(loopbackRanks(await backendUnderTest()), options);
    const apart = await eventsOf(await workers(), options);
    assert.equal(lasting(apart), lasting(shared));
    // Rings in shared memory instead of ports, once.
    if (mesh === "2x2") assert.equal(lasting(await eventsOf(await workers("rings"), options)), lasting(shared));
    assert.ok(apart.some((event) => event.event === "step" && event.bytesReceived?.some((bytes) => bytes > 0)));
  });

test("2.5d 2x2x2: a reference run replayed on workers is the one replayed on a shared device, messages included", async () => {
  const options = { files: fixture("gpt2"), shape: shapeOf("2.5d", "2x2x2") };
  const apart = await verifyOnMesh({ ...options, ranks: await workers() });
  const shared = await verifyOnMesh({ ...options, backend: await backendUnderTest() });
  assert.ok(apart.pass);
  // Which message of a step came first is nobody's promise; how many threads a device has is told, and changes nothing.
  const sorted = ({ traffic, adapter: _, ...rest }: typeof apart) => ({
    ...rest,
    traffic: traffic.map((entry) => JSON.stringify(entry)).sort(),
  });
  assert.equal(sorted(apart), sorted(shared));
});

test("a product on workers: its closed form to the word and the message, within gamma of f64", async () => {
  const run = {
    shape: shapeOf("2.5d", "2x2x2"),
    size: { m: 40, n: 24, k: 56 },
    repeats: 2,
    seed: 1,
    maxBytes: 2 ** 30,
  };
  for (const form of ["AB", "ABT", "ATB"] as const) {
    const result = await measureProduct({ ranks: await workers() }, { ...run, form });
    assert.ok(result.equal, JSON.stringify(result.ranks));
    assert.ok(result.error.worst <= 1);
    assert.ok(result.time.serial);
  }
});

// ---- programs of users -------------------------------------------------------------------------------------------------

const folder = mkdtempSync(join(tmpdir(), "shardgrad-programs-"));
test.after(() => rmSync(folder, { recursive: true, force: true }));
test.after(closeBackend);

function program(name: string, source: string): URL {
  const file = join(folder, `${name}.mjs`);
  writeFileSync(file, source);
  return pathToFileURL(file);
}

async function failureOf(ranks: Ranks, url: URL, more: { size?: number; timeoutMs?: number } = {}): Promise<Error> {
  try {
    await ranks.run(url, { size: 3, options: undefined, ...more });
  } catch (error) {
    return error as Error;
  }
  throw new Error("it did not fail");
}

test("a user's program, named by its module's URL: what each rank returns and tells", async () => {
  const url = program(
    "ring",
    `export default async ({ link, backend, tell }, { words }) => {
      const replies = await tell({ rank: link.rank, adapter: typeof backend.adapter.description });
      return { rank: link.rank, size: link.size, words, replies };
    };`,
  );
  const told: unknown[] = [];
  const results = await (await workers()).run(url, {
    size: 3,
    options: { words: ["a", "b"] },
    take: async (rank, item) => {
      told[rank] = item;
      return { goOn: true, aborted: false };
    },
  });
  const expected = { size: 3, words: ["a", "b"], replies: { goOn: true, aborted: false } };
  assert.equal(
    results,
    [0, 1, 2].map((rank) => ({ rank, ...expected })),
  );
  assert.equal(
    told,
    [0, 1, 2].map((rank) => ({ rank, adapter: "string" })),
  );
});

/** Ranks that wait for each other until something happens. */
const waiting = (what: string) => `
  const call = (n) => ({ group: "all", which: n, members: 3, op: "barrier", shapes: [] });
  export default async ({ link, backend }) => {
    for (let n = 0; n < 1e9; n++) {
      if (n === 20 && link.rank === 1) { ${what} }
      for (let other = 0; other < link.size; other++) if (other !== link.rank) link.send(other, { call: call(n), part: 0 });
      for (let other = 0; other < link.size; other++) if (other !== link.rank) await link.receive(other, { call: call(n), part: 0 });
    }
  };`;

test("a rank that throws ends the run with its own error", async () => {
  const error = await failureOf(await workers(), program("throws", waiting(`throw new RangeError("no such thing");`)));
  assert.is(`${error.name}: ${error.message}`, "RangeError: no such thing");
  assert.instance(error, RangeError);
});

for (const [name, what, reason] of [
  ["exits", "process.exit(3);", "its thread ended with 3"],
  [
    "throws behind its back",
    `setTimeout(() => { throw new Error("a timer's"); }, 0); await new Promise(() => {});`,
    "a timer's",
  ],
] as const)
  test(`a rank whose thread ${name} is named, and nobody waits for it`, async () => {
    const started = performance.now();
    const error = await failureOf(await workers(), program(name.replaceAll(" ", "-"), waiting(what)));
    assert.match(error.message, new RegExp(`rank 1 .*${reason}`));
    assert.ok(performance.now() - started < 30_000, "they waited for the time-out");
  });

test("a rank that falls silent is named once the time-out is over", async () => {
  const url = program("silent", waiting("await new Promise(() => {});"));
  const error = await failureOf(await workers(), url, { timeoutMs: 600 });
  assert.instance(error, CommunicationError);
  assert.is((error as CommunicationError).rank, 1);
  assert.match(error.message, /rank 1 has not answered for 0\.6 s/);
});

test("a rank that ends before the others is named", async () => {
  const error = await failureOf(await workers(), program("early", waiting("return;")));
  assert.instance(error, CommunicationError);
  assert.match(error.message, /rank 1 has ended, but rank [02]/);
});

test("a program that is not there, or exports no function, is refused by name", async () => {
  const missing = await failureOf(await workers(), new URL("missing.mjs", pathToFileURL(`${folder}/`)));
  assert.match(missing.message, /missing\.mjs/);
  const empty = await failureOf(await workers(), program("empty", "export const x = 1;"));
  assert.match(empty.message, /empty\.mjs: got no default export that is a function/);
});

test("a run that its reader leaves, and one that is aborted, end all workers", async () => {
  const options = { shape: shapeOf("2d", "2x2"), config: gpt2, tokenizer, corpus };
  const long = { ...parameters, ...changes, batch: 4, steps: 1000, sampleTokens: 0, evalEvery: 0, evalBatches: 1 };
  for await (const event of trainOnMesh({ ...options, parameters: long, ranks: await workers() }))
    if (event.event === "step") break;
  const controller = new AbortController();
  const { signal } = controller;
  let steps = 0;
  let done: TrainEvent | undefined;
  for await (const event of trainOnMesh({ ...options, parameters: long, ranks: await workers(), signal })) {
    if (event.event === "step" && ++steps === 3) controller.abort();
    done = event;
  }
  assert.is(done?.event === "done" && done.steps, 3);
});

test("what does not fit a model is refused before a worker starts", async () => {
  const options = { shape: shapeOf("1d", "3"), config: gpt2, tokenizer, corpus, parameters };
  const error = await eventsOf(await workers(), options).catch((reason: unknown) => reason);
  assert.instance(error, UserError);
});

test.run();

// The built library in a real browser: twenty training steps on WebGPU and without it, against the same run in Node.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { ensureBuilt } from "../../scripts/build.mjs";
import { charTokenizer, createBackend, makeCorpus, parseModelConfig, type TrainEvent, train } from "../../src/index.ts";
import { openBrowser } from "./page.ts";

type Library = typeof import("../../src/index.ts");

/** Everything about the run but the backend: it crosses to the page as JSON. */
const run = {
  text: Array.from({ length: 400 }, (_, i) => `${i % 7} sheep and ${(i * 3) % 5} goats; `).join(""),
  context: 32,
  model: { model_type: "gpt2", n_positions: 32, n_embd: 32, n_layer: 2, n_head: 2 },
  parameters: {
    batch: 8,
    context: 32,
    steps: 20,
    learningRate: 3e-3,
    minLearningRate: 3e-4,
    warmup: 3,
    beta1: 0.9,
    beta2: 0.99,
    weightDecay: 0.1,
    clip: 1,
    dropout: 0,
    accumulate: 1,
    recompute: false,
    seed: 1,
    evalEvery: 0,
    evalBatches: 1,
    sampleTokens: 20,
  },
};

async function inNode(): Promise<TrainEvent[]> {
  const tokenizer = charTokenizer(run.text);
  const corpus = makeCorpus({ tokens: tokenizer.encode(run.text), context: run.context });
  const config = parseModelConfig({ ...run.model, vocab_size: tokenizer.vocabSize });
  const { backend } = await createBackend({ backend: "cpu" });
  const events: TrainEvent[] = [];
  for await (const event of train({ backend, config, tokenizer, corpus, parameters: run.parameters }))
    events.push(event);
  backend.dispose();
  return events;
}

let browser: Awaited<ReturnType<typeof openBrowser>>;
test.before(async () => {
  await ensureBuilt();
  browser = await openBrowser({ root: process.cwd() });
});
test.after(() => browser?.close());

const inPage = async (name: "webgpu" | "cpu", { isolated = true, threads = undefined as number | undefined } = {}) => {
  const { use, close } = await browser.openPage({ isolated });
  try {
    return await use(
      (page) =>
        page.evaluate(
          async ({ run, name, threads }) => {
            const url = "/dist/index.js";
            const library: Library = await import(url);
            const tokenizer = library.charTokenizer(run.text);
            const corpus = library.makeCorpus({ tokens: tokenizer.encode(run.text), context: run.context });
            const config = library.parseModelConfig({ ...run.model, vocab_size: tokenizer.vocabSize });
            const { backend, note } = await library.createBackend({ backend: name, threads, tune: false });
            const events: TrainEvent[] = [];
            const options = { backend, config, tokenizer, corpus, parameters: run.parameters };
            for await (const event of library.train(options)) events.push(event);
            const left = backend.memory.total;
            const { limits } = backend.adapter;
            backend.dispose();
            return { events, left, note, threads: limits.threads };
          },
          { run, name, threads },
        ),
      { timeoutMs: 120_000 },
    );
  } finally {
    await close();
  }
};

const lossesOf = (events: readonly TrainEvent[]) =>
  events.flatMap((event) => (event.event === "step" ? [event.loss] : []));

for (const name of ["webgpu", "cpu"] as const)
  test(`twenty steps on ${name} in Chromium: it learns, the losses are Node's, nothing is left allocated`, async () => {
    const { events, left, note } = await inPage(name);
    const losses = lossesOf(events);
    const node = lossesOf(await inNode());
    assert.is(losses.length, 20);
    assert.ok(losses[19] < 0.75 * losses[0], `${losses[0]} to ${losses[19]}`);
    // Step 1 differs by the rounding of one forward pass; later ones by what AdamW makes of it, which grows with the steps.
    assert.ok(Math.abs(losses[0] / node[0] - 1) < 1e-6, `first loss ${losses[0]}, in Node ${node[0]}`);
    for (const [i, loss] of losses.entries())
      assert.ok(Math.abs(loss / node[i] - 1) < 1e-3, `step ${i + 1}: ${loss}, in Node ${node[i]}`);
    assert.is(left, 0);
    const start = events.find((event) => event.event === "start");
    assert.is(start?.event === "start" && start.backend, name);
    assert.ok(note.includes(name), note);
  });

test("the cpu backend takes several threads in an isolated page, one elsewhere, and gives Node's bits", async () => {
  const node = lossesOf(await inNode());
  for (const [isolated, threads] of [
    [true, 3],
    [false, 1],
  ] as const) {
    const page = await inPage("cpu", { isolated, threads: 3 });
    assert.is(page.threads, threads);
    assert.equal(lossesOf(page.events), node);
    assert.is(page.left, 0);
  }
});

test.run();

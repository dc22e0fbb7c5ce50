// Ranks in module workers of a real page, each with a device of its own: over ports, over rings in shared memory and over WebRTC, the
// bits of Node's.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { ensureBuilt } from "../../scripts/build.mjs";
import { createBackend } from "../../src/index.ts";
import { parseModelConfig } from "../../src/nn/config.ts";
import { meshShape, parseMesh, trainOnMesh } from "../../src/parallel.ts";
import { makeCorpus } from "../../src/train/corpus.ts";
import { charTokenizer } from "../../src/train/tokenizer.ts";
import { checkTrace } from "../unit/trace-format.ts";
import { openBrowser } from "./page.ts";

type Library = typeof import("../../src/index.ts");
type Parallel = typeof import("../../src/parallel.ts");
type How = "loopback" | "ports" | "rings" | "webrtc";

/** Crosses to the page as JSON. */
const run = {
  text: Array.from({ length: 300 }, (_, i) => `${i % 7} sheep and ${(i * 3) % 5} goats; `).join(""),
  mesh: "2x2x2",
  model: { model_type: "gpt2", n_positions: 16, n_embd: 32, n_layer: 2, n_head: 4 },
  parameters: {
    ...{
      batch: 8,
      context: 16,
      steps: 4,
      learningRate: 3e-3,
      minLearningRate: 3e-4,
      warmup: 2,
      beta1: 0.9,
      beta2: 0.99,
    },
    ...{ weightDecay: 0.1, clip: 1, dropout: 0, accumulate: 1, recompute: false, seed: 1 },
    ...{ evalEvery: 0, evalBatches: 1, sampleTokens: 0 },
  },
};

/** What a run came to: everything that does not depend on the clock. */
interface Outcome {
  losses: number[];
  bytes: (readonly number[] | undefined)[];
}

let browser: Awaited<ReturnType<typeof openBrowser>>;
test.before(async () => {
  await ensureBuilt();
  browser = await openBrowser({ root: process.cwd() });
});
test.after(() => browser?.close());

let node: Promise<Outcome> | undefined;
/** The same run whoever compares with it. */
const inNode = (): Promise<Outcome> => (node ??= trainInNode());

async function trainInNode(): Promise<Outcome> {
  const tokenizer = charTokenizer(run.text);
  const corpus = makeCorpus({ tokens: tokenizer.encode(run.text), context: run.parameters.context });
  const config = parseModelConfig({ ...run.model, vocab_size: tokenizer.vocabSize });
  const shape = meshShape({ dims: parseMesh(run.mesh) });
  const { backend } = await createBackend({ backend: "cpu" });
  const outcome: Outcome = { losses: [], bytes: [] };
  for await (const event of trainOnMesh({ backend, config, tokenizer, corpus, shape, parameters: run.parameters }))
    if (event.event === "step") {
      outcome.losses.push(event.loss, event.gradNorm);
      outcome.bytes.push(event.bytesReceived);
    }
  backend.dispose();
  return outcome;
}

/** Traced: every rank's products are in a file that viewers open. */
async function inPage(how: How, { isolated = true, backend = "cpu" as "cpu" | "webgpu" } = {}): Promise<Outcome> {
  const { use, close } = await browser.openPage({ isolated });
  try {
    const { outcome, trace } = await use(
      (page) =>
        page.evaluate(
          async ({ run, how, name }) => {
            const [core, parallel] = ["/dist/index.js", "/dist/parallel.js"];
            const library: Library = await import(core);
            const meshes: Parallel = await import(parallel);
            const tokenizer = library.charTokenizer(run.text);
            const corpus = library.makeCorpus({ tokens: tokenizer.encode(run.text), context: run.parameters.context });
            const config = library.parseModelConfig({ ...run.model, vocab_size: tokenizer.vocabSize });
            const shape = meshes.meshShape({ dims: meshes.parseMesh(run.mesh) });
            const opened = how === "loopback" ? await library.createBackend({ backend: name, tune: false }) : undefined;
            const ranks = opened
              ? meshes.loopbackRanks(opened.backend)
              : meshes.workerRanks({
                  ...{ backend: name, link: how === "webrtc" ? how : "worker" },
                  channels: how === "rings" ? "rings" : "ports",
                });
            const outcome: Outcome = { losses: [], bytes: [] };
            let trace = "";
            const controls = new library.TrainControls();
            for await (const event of meshes.trainOnMesh({
              ...{
                ranks,
                config,
                tokenizer,
                corpus,
                shape,
                parameters: run.parameters,
                controls,
              },
            })) {
              if (event.event === "timeline") trace = [...meshes.chromeTrace(event.timeline)].join("");
              if (event.event !== "step") continue;
              outcome.losses.push(event.loss, event.gradNorm);
              outcome.bytes.push(event.bytesReceived);
              if (event.step === 1) controls.trace(2);
            }
            opened?.backend.dispose();
            return { outcome, trace };
          },
          { run, how, name: backend },
        ),
      { timeoutMs: 180_000 },
    );
    const { events } = checkTrace(trace);
    const products = events.filter(({ cat, name }) => cat === "computing" && name.startsWith("matmul"));
    if (backend === "cpu") assert.is(new Set(products.map(({ pid }) => pid)).size, 8);
    assert.ok(events.some(({ cat, name }) => cat === "receiving" && name.startsWith("broadcast")));
    return outcome;
  } finally {
    await close();
  }
}

for (const how of ["ports", "rings", "webrtc"] as const)
  test(`eight ranks on the cpu backend in workers of a page, over ${how}: Node's bits and bytes`, async () => {
    assert.equal(await inPage(how), await inNode());
  });

test("a page without shared memory: over ports, the same bits", async () => {
  assert.equal(await inPage("ports", { isolated: false }), await inNode());
});

test("eight ranks on WebGPU in workers of a page, a device each: the bits of ranks that share one", async () => {
  assert.equal(await inPage("ports", { backend: "webgpu" }), await inPage("loopback", { backend: "webgpu" }));
});

test.run();

// shardgrad/plan in a real page: no module of Node, and Node's numbers to the bit.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { ensureBuilt } from "../../scripts/build.mjs";
import * as here from "../../src/plan.ts";
import { openBrowser } from "./page.ts";

type Library = typeof import("../../src/plan.ts");

/** Crosses to the page as JSON. */
const problem = {
  model: { model_type: "gpt2", vocab_size: 300, n_positions: 32, n_embd: 48, n_layer: 3, n_head: 6 },
  run: { batch: 12, context: 32 },
  profile: "laptop",
  network: "wifi",
};

/** As a page calls it: in the page and in Node alike. */
async function results(library: Library, { model, run, profile: name, network }: typeof problem) {
  const { meshShape, parseModelConfig, profileNamed, scale, searchPlan, simulateStep, stepParameters } = library;
  const config = parseModelConfig(model);
  const profile = library.withChanges(profileNamed(name, network), { device: { memoryBytes: 3e6 } });
  const parameters = stepParameters(run);
  const { figures } = await simulateStep({ config, parameters, shape: meshShape({ dims: [3, 3] }), profile });
  const rows = [];
  const growing = { config, parameters, profile, devices: [1, 2, 4], layouts: ["1d", "2d"] as const };
  for await (const each of scale({ ...growing, growth: "batch" })) rows.push(each);
  const memoryBytes = profile.device.memoryBytes.value;
  // From 32 ranks on Node shares them out over threads.
  const plan = await searchPlan({ config, parameters, batches: [12], devices: 36, memoryBytes, profile });
  return { figures, rows, plan };
}

let browser: Awaited<ReturnType<typeof openBrowser>>;
test.before(async () => {
  await ensureBuilt();
  browser = await openBrowser({ root: process.cwd() });
});
test.after(() => browser?.close());

test("a step, a scaling table and a plan in a worker of a page are Node's, number for number", async () => {
  const { use, close } = await browser.openPage({ isolated: false });
  const scripts: Promise<string>[] = [];
  try {
    const told = await use(
      async (page) => {
        page.context().on("response", (response) => {
          if (response.url().endsWith(".js")) scripts.push(response.text());
        });
        return page.evaluate(
          async ({ problem, results }) => {
            const source = `const results = ${results};
              import("${location.origin}/dist/plan.js").then((library) => results(library, ${JSON.stringify(problem)}))
                .then((told) => postMessage({ told }), (error) => postMessage({ error: String(error) }));`;
            const worker = new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
            const { told, error } = await new Promise<{ told: unknown; error?: string }>((resolve, reject) => {
              worker.onmessage = ({ data }) => resolve(data);
              worker.onerror = ({ message }) => reject(new Error(message));
            });
            if (error) throw new Error(error);
            return JSON.stringify(told);
          },
          { problem, results: results.toString() },
        );
      },
      { timeoutMs: 120_000 },
    );
    const node = await results(here, problem);
    assert.ok(node.plan.choices.length > 1 && node.rows.length === 3);
    assert.equal(JSON.parse(told), JSON.parse(JSON.stringify(node)));
    const texts = await Promise.all(scripts);
    assert.ok(texts.length > 1, "what the page loaded was seen");
    for (const text of texts) assert.not.match(text, /["'`]node:[a-z_]+/);
  } finally {
    await close();
  }
});

test.run();

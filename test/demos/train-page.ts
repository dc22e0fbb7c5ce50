// What tests of the Train page share: a small run, its address, and what a person does with it.

import { readFileSync } from "node:fs";
import type { Page } from "playwright-core";
import {
  type Backend,
  charTokenizer,
  createBackend,
  makeCorpus,
  parseModelConfig,
  type TrainEvent,
} from "../../src/index.ts";
import { type MeshShape, meshShape, readCheckpoint, trainOnMesh } from "../../src/parallel.ts";

/** Small enough for a hundred steps a second. */
const small = { layers: 1, heads: 2, width: 16, context: 16, batch: 4, steps: 12, seed: 3, rate: 0.002 };
export const text = readFileSync("ARCHITECTURE.md", "utf8").slice(0, 6000);

export type Changes = Readonly<Record<string, string | number>>;

/** The page's address with a small run on 2 x 2 ranks of the cpu backend. */
export function address(changes: Changes = {}): string {
  const all = { ...small, backend: "cpu", layout: "2d", sampleEvery: 0, ...changes };
  return `train/?${new URLSearchParams(Object.entries(all).map(([name, value]) => [name, String(value)]))}`;
}

/** The same run in Node, with what the page says of warm-up, decay and AdamW. */
export async function inNode({
  steps = small.steps,
  shape = meshShape({ layout: "2d", dims: [2, 2] }),
  resume,
}: {
  steps?: number;
  shape?: MeshShape;
  resume?: Uint8Array;
} = {}): Promise<TrainEvent[]> {
  const { layers, heads, width, context, batch, seed, rate } = small;
  const tokenizer = resume ? readCheckpoint(resume).tokenizer : charTokenizer(text);
  const corpus = makeCorpus({ tokens: tokenizer.encode(text), context });
  const config = parseModelConfig({
    ...{ model_type: "gpt2", vocab_size: tokenizer.vocabSize, n_positions: context },
    ...{ n_embd: width, n_layer: layers, n_head: heads },
  });
  const parameters = {
    ...{ batch, context, steps, seed, learningRate: rate, minLearningRate: rate / 10 },
    warmup: Math.min(50, Math.floor(steps / 10)),
    ...{ beta1: 0.9, beta2: 0.99, weightDecay: 0.1, clip: 1, dropout: 0, accumulate: 1, recompute: false },
    ...{ evalEvery: Math.max(1, Math.min(50, Math.round(steps / 20))), evalBatches: 2, sampleTokens: 160 },
  };
  const { backend }: { backend: Backend } = await createBackend({ backend: "cpu" });
  try {
    const events: TrainEvent[] = [];
    const run = { backend, config, tokenizer, corpus, parameters, shape, resume };
    for await (const event of trainOnMesh(run)) events.push(event);
    return events;
  } finally {
    backend.dispose();
  }
}

export const lossesOf = (events: readonly TrainEvent[]): [step: number, loss: number][] =>
  events.flatMap((event) => (event.event === "step" ? [[event.step, event.loss] as [number, number]] : []));

export async function paste(page: Page, whole: string): Promise<void> {
  await page.getByRole("button", { name: "Paste a text" }).click();
  await page.getByLabel(/^Your text/).fill(whole);
  await page.getByRole("button", { name: "Use this text" }).click();
  await page.getByText(/^pasted text: /).waitFor();
}

export const startButton = (page: Page) => page.getByRole("button", { name: "Train", exact: true });

export async function pause(page: Page): Promise<void> {
  await page.getByRole("button", { name: "Pause" }).click();
  await page.getByText("Paused").waitFor();
}

export const stepOf = async (page: Page): Promise<number> =>
  Number(await page.getByRole("progressbar").getAttribute("value"));

/** Losses to the last bit, as this browser keeps them beside the run's checkpoint. */
export const keptLosses = (page: Page): Promise<[step: number, loss: number][]> =>
  page.evaluate(
    () =>
      new Promise((resolve, reject) => {
        const own = sessionStorage.getItem("shardgrad-train-run")!;
        const opening = indexedDB.open("shardgrad-train");
        opening.onerror = () => reject(opening.error);
        opening.onsuccess = () => {
          const reading = opening.result.transaction("runs").objectStore("runs").get(["run", own]);
          reading.onsuccess = () => {
            const rows: [number, number, number, number][] = reading.result.history.steps;
            opening.result.close();
            resolve(rows.map(([step, loss]) => [step, loss]));
          };
        };
      }),
  );

/** Once the browser keeps the checkpoint of that step. */
export const keeps = (page: Page, step: number): Promise<void> =>
  page.getByText(`This browser keeps the checkpoint of step ${step}.`).waitFor();

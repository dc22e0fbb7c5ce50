// The Train page while it trains, in headless Chromium: how smoothly it draws, and what a step takes beside the same run in a bare worker.

import { mkdirSync, writeFileSync } from "node:fs";
import { loadavg } from "node:os";
import { join, relative } from "node:path";
import type { Page } from "playwright-core";
import { bundle } from "../scripts/bundle.mjs";
import { setUp } from "../scripts/setup.mjs";
import { openBrowser } from "../test/browser/page.ts";
import { openDemo } from "../test/demos/demo.ts";
import type { BareRun } from "./demo-worker.ts";
import { summary, type Timing } from "./harness.ts";
import type { Options } from "./options.ts";
import { slug } from "./report.ts";

const root = process.cwd();
/** Steps of a run, and those at its beginning that do not count: the first are traced. */
const [steps, unsettled] = [120, 20];
const timeoutMs = 300_000;

const cases = [
  { words: "one rank", dims: undefined, query: "layout=serial" },
  { words: "2 x 2 x 2 ranks", dims: [2, 2, 2], query: "layout=2.5d" },
] as const;

/** The page's model, and its parameters. */
const model = { model_type: "gpt2", n_positions: 64, n_embd: 128, n_layer: 4, n_head: 4 } as const;
const parameters = {
  ...{ batch: 12, context: 64, steps, seed: 1, learningRate: 2e-3, minLearningRate: 2e-4, warmup: 12 },
  ...{ beta1: 0.9, beta2: 0.99, weightDecay: 0.1, clip: 1, dropout: 0, accumulate: 1, recompute: false },
  ...{ evalEvery: 0, evalBatches: 1, sampleTokens: 0 },
};

/** What the page's own thread did while it trained. */
interface Drawn {
  readonly frameMs: readonly number[];
  readonly longTaskMs: readonly number[];
}

interface Row {
  readonly mesh: string;
  /** of the page's step, without what the page does between two */
  readonly page: Timing;
  readonly bare: Timing;
  readonly framesPerSecond: number;
  /** one in twenty frames took longer */
  readonly slowFrameMs: number;
  readonly longTasks: number;
  readonly longestTaskMs: number;
}

export async function benchDemo(
  { json, save }: Options,
  { machine, commit }: { machine: string; commit: string },
): Promise<void> {
  process.env.CHROMIUM_PATH = (await setUp()).chromium;
  const load = loadavg()[0];
  const demo = await openDemo("start", "train");
  const rows: Row[] = [];
  try {
    const text = await (await fetch(`${demo.origin}/sources.txt`)).text();
    for (const { words, dims, query } of cases) {
      // Before and behind, so that a machine that is busier for a while is so for both.
      const before = await inBareWorker({ text, model, parameters, dims });
      const { page, use, close } = await demo.open(undefined);
      const { stepMs, drawn } = await use(() => inPage(page, `${demo.origin}/train/?backend=cpu&${query}`), {
        timeoutMs,
      });
      await close();
      const behind = await inBareWorker({ text, model, parameters, dims });
      const row = rowOf(words, { stepMs, drawn, bare: [...before, ...behind] });
      rows.push(row);
      console.log(json ? JSON.stringify({ event: "train page", ...row }) : lineOf(row));
    }
  } finally {
    await demo.close();
  }
  if (save) write(rows, { machine, commit, load });
}

async function inPage(page: Page, url: string): Promise<{ stepMs: number[]; drawn: Drawn }> {
  await page.addInitScript(() => {
    const drawn = { frameMs: [] as number[], longTaskMs: [] as number[] };
    Object.assign(globalThis, { drawn });
    let lastMs = Number.NaN;
    const frame = (nowMs: number) => {
      if (!Number.isNaN(lastMs)) drawn.frameMs.push(nowMs - lastMs);
      lastMs = nowMs;
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
    new PerformanceObserver((list) => {
      drawn.longTaskMs.push(...list.getEntries().map(({ duration }) => duration));
    }).observe({ type: "longtask" });
  });
  await page.goto(`${url}&steps=${steps}&sampleEvery=0&rate=0.002`);
  await page.getByRole("button", { name: "Train", exact: true }).click();
  const at = (step: number) =>
    page.waitForFunction((least) => (document.querySelector("progress")?.value ?? 0) >= least, step, {
      timeout: timeoutMs,
    });
  await at(unsettled);
  const started = await page.evaluate(() => {
    const { drawn } = globalThis as unknown as { drawn: Drawn };
    return [drawn.frameMs.length, drawn.longTaskMs.length];
  });
  await at(steps - 1);
  const drawn = await page.evaluate(
    ([frames, tasks]) => {
      const { drawn } = globalThis as unknown as { drawn: Drawn };
      return { frameMs: drawn.frameMs.slice(frames), longTaskMs: drawn.longTaskMs.slice(tasks) };
    },
    started as [number, number],
  );
  await page.getByText(`This browser keeps the checkpoint of step ${steps}.`).waitFor({ timeout: timeoutMs });
  const stepMs = await page.evaluate(
    () =>
      new Promise<number[]>((resolve, reject) => {
        const own = sessionStorage.getItem("shardgrad-train-run")!;
        const opening = indexedDB.open("shardgrad-train");
        opening.onerror = () => reject(opening.error);
        opening.onsuccess = () => {
          const reading = opening.result.transaction("runs").objectStore("runs").get(["run", own]);
          reading.onsuccess = () => resolve(reading.result.history.steps.map((row: readonly number[]) => row[3]));
        };
      }),
  );
  return { stepMs: stepMs.slice(unsettled), drawn };
}

async function inBareWorker(run: BareRun): Promise<number[]> {
  const outdir = join(process.env.SHARDGRAD_BENCH_FOLDER ?? join(root, "build/bench"), "demo");
  await bundle({ entryPoints: ["bench/demo-worker.ts"], outdir, splitting: true, platform: "browser" });
  const browser = await openBrowser({ root });
  try {
    const { use } = await browser.openPage();
    const url = `/${relative(root, join(outdir, "demo-worker.js")).replaceAll("\\", "/")}`;
    const stepMs = await use(
      (page) =>
        page.evaluate(
          ({ url, run }) =>
            new Promise<number[]>((resolve, reject) => {
              const worker = new Worker(url, { type: "module" });
              worker.onmessage = ({ data }) => resolve(data);
              worker.onerror = ({ message }) => reject(new Error(message));
              worker.postMessage(run);
            }),
          { url, run },
        ),
      { timeoutMs },
    );
    return stepMs.slice(unsettled);
  } finally {
    await browser.close();
  }
}

function rowOf(
  mesh: string,
  { stepMs, drawn, bare }: { stepMs: readonly number[]; drawn: Drawn; bare: readonly number[] },
): Row {
  const frames = drawn.frameMs.toSorted((a, b) => a - b);
  const spentMs = frames.reduce((sum, each) => sum + each, 0);
  return {
    ...{ mesh, page: summary(stepMs), bare: summary(bare) },
    framesPerSecond: (1000 * frames.length) / spentMs,
    slowFrameMs: frames[Math.floor(0.95 * frames.length)],
    longTasks: drawn.longTaskMs.length,
    longestTaskMs: Math.max(0, ...drawn.longTaskMs),
  };
}

const ms = ({ medianMs, fastestMs, slowestMs }: Timing): string =>
  `${medianMs.toFixed(1)} (${fastestMs.toFixed(1)} to ${slowestMs.toFixed(1)})`;
const cellsOf = (row: Row): string[] => [
  ...[row.mesh, row.framesPerSecond.toFixed(1), row.slowFrameMs.toFixed(1)],
  row.longTasks === 0 ? "none" : `${row.longTasks}, at most ${row.longestTaskMs.toFixed(0)} ms`,
  ...[ms(row.page), ms(row.bare)],
];
const heads = ["mesh", "frames a second", "95% of frames within, ms", "long tasks", "step, ms", "in a bare worker, ms"];
const lineOf = (row: Row): string => {
  const [mesh, frames, slow, tasks, page, bare] = cellsOf(row);
  return `${mesh}: ${frames} frames/s, 95% within ${slow} ms, long tasks: ${tasks}; step ${page} ms, in a bare worker ${bare} ms`;
};

function write(
  rows: readonly Row[],
  { machine, commit, load }: { machine: string; commit: string; load: number },
): void {
  const date = new Date().toISOString().slice(0, 10);
  const folder = join(root, "bench/results");
  mkdirSync(folder, { recursive: true });
  const name = `demo_cpu-${slug(machine)}_${date.slice(0, 7).replace("-", "")}.md`;
  const lines = [
    "# The Train page while it trains",
    "",
    `${date}, ${machine}, commit ${commit}, load average ${load.toFixed(1)} when it began; headless Chromium, cpu backend. A GPT-2 of 4 layers and width 128 on 12 x 64 characters,`,
    `steps ${unsettled + 1} to ${steps}, with losses, traffic and memory drawn. Step: median (fastest to slowest), without what is between two. Long tasks: over 50 ms on the page's own thread.`,
    "",
    `| ${heads.join(" | ")} |`,
    `|${"---|".repeat(heads.length)}`,
    ...rows.map((row) => `| ${cellsOf(row).join(" | ")} |`),
  ];
  writeFileSync(join(folder, name), `${lines.join("\n")}\n`);
  console.error(`bench/results/${name}`);
}

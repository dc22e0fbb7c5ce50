import { test } from "uvu";
import { equal, is, match, ok } from "uvu/assert";
import { plotHtml, thin, ticks } from "../../src/cli/plot.ts";
import type { TrainRecord } from "../../src/cli/record.ts";
import { renderReport } from "../../src/cli/report.ts";
import { parseModelConfig } from "../../src/nn/config.ts";
import type { DoneEvent, StartEvent, StepEvent } from "../../src/train/events.ts";

const hostile = `</pre><script src="https://example.org/x.js"></script><img src=x onerror=alert(1)> & "quotes"`;

const record: TrainRecord = {
  textName: hostile,
  textTokens: 1234,
  vocabSize: 7,
  tokenizer: "char",
  config: parseModelConfig({ model_type: "gpt2", vocab_size: 7, n_positions: 5, n_embd: 4, n_layer: 1, n_head: 2 }),
  note: hostile,
  steps: [1, 2, 3].map((step) => ({
    ...{
      event: "step",
      step,
      loss: 3 / step,
      gradNorm: 1,
      learningRate: 1e-3,
      tokensPerSecond: 100 * step,
      durationMs: 9,
      memoryBytes: 2 ** 20,
    },
  })),
  evals: [{ event: "eval", step: 3, trainLoss: 1.25, validationLoss: 1.5 }],
  sample: hostile,
  failure: hostile,
};

test("a report asks the network for nothing and runs nothing, whatever the text says", () => {
  const html = renderReport(record);
  is(/<script|<img|<iframe|<object|@import|url\(/i.test(html), false);
  is((html.match(/<link/g) ?? []).length, 1);
  match(html, /<link rel="icon" href="data:,">/);
  match(html, /default-src 'none'/);
  match(html, /&lt;script src=&quot;https/);
});

test("a report without evaluations or an end is a whole page too", () => {
  const html = renderReport({ ...record, evals: [], sample: undefined });
  match(html, /<\/html>\n$/);
  is(html.includes("NaN"), false);
  is(html.includes("undefined"), false);
});

test("every number of an evaluation stands in a table beside its plot", () => {
  const html = renderReport(record);
  match(html, /<th scope="row">3<\/th><td>1\.2500<\/td><td>1\.5000<\/td>/);
  match(html, /<svg[^>]+role="img" aria-labelledby="(plot-\d+)-title \1-description">\s*<title id="\1-title">/);
});

test("evaluations say over how many batches, and that an early end's is over others", () => {
  const start = { ...meshStart, parameters: { ...meshStart.parameters, steps: 3, evalBatches: 16 } };
  const done: DoneEvent = { event: "done", steps: 3, validationLoss: 1, peakBytes: bytes(3072), durationMs: 1 };
  match(renderReport({ ...record, start, done }), />Evaluations, each over 16 random batches</);
  match(
    renderReport({ ...record, start, done: { ...done, steps: 2 } }),
    />Evaluations, each over 16 random batches; the last, where the run was ended early, over others</,
  );
});

const bytes = (total: number) => ({ weights: 1, gradients: 2, optimizer: 3, activations: 4, scratch: 5, total });
const meshStart: StartEvent = {
  ...{ event: "start", parameterCount: 1, backend: "cpu", adapter: "plain loops", dtype: "f32", tokensPerStep: 6 },
  parameters: {
    ...{ batch: 2, context: 3, steps: 2, learningRate: 1, minLearningRate: 1, warmup: 0, beta1: 0, beta2: 0, clip: 0 },
    ...{ weightDecay: 0, dropout: 0, accumulate: 1, recompute: false, seed: 1 },
    ...{ evalEvery: 0, evalBatches: 0, sampleTokens: 0 },
  },
  mesh: { layout: "1d", dims: [2] },
};

/** Of two steps in which the ranks received these bytes, and 600 and 2200 were the closed form's. */
function onMesh(bytesReceived: readonly number[][]): TrainRecord {
  const steps = bytesReceived.map((received, index): StepEvent => {
    const closedFormBytes = [600, 2200];
    return { ...record.steps[index], bytesReceived: received, closedFormBytes };
  });
  const done: DoneEvent = {
    ...{ event: "done", steps: 2, validationLoss: 1, peakBytes: bytes(3072), durationMs: 1 },
    ranks: [{ peakBytes: bytes(1024) }, { peakBytes: bytes(2048) }],
    traffic: [
      [0, 4400],
      [1200, 0],
    ],
  };
  return { ...record, start: meshStart, steps, done };
}

test("a mesh's report: bytes a step from whom to whom, and each rank's memory with bars, in words as in colour", () => {
  const equal = [600, 2200];
  const html = renderReport(onMesh([equal, equal]));
  match(html, "<h2>2 ranks: layout 1d on 2</h2>");
  match(html, "each rank received 600 to 2,200 bytes a step, as the closed form says, to the byte, at every step");
  match(html, '<th scope="row">0</th><td style="--share:0.000">-</td><td style="--share:1.000">2.1 KiB</td>');
  match(html, '<th scope="row">1</th><td style="--share:0.273">600 B</td><td style="--share:0.000">-</td>');
  match(html, /<th scope="row">0<\/th><td>1 B<\/td>.*<td>1\.0 KiB<\/td><td class="bars"[^>]*><span[^>]*width:50\.0%/);
  match(html, /<th scope="row">1<\/th><td>1 B<\/td>.*<td>2\.0 KiB<\/td><td class="bars"[^>]*><span[^>]*width:100\.0%/);
});

test("a mesh's report names the first step and rank whose bytes are not the closed form's", () => {
  const html = renderReport(
    onMesh([
      [600, 2200],
      [600, 2196],
    ]),
  );
  match(html, "step 2: rank 1 received 2,196 bytes, the closed form says 2,200");
  is(html.includes("as the closed form says"), false);
});

test("a report of one rank says nothing of ranks", () => {
  is(/ranks: layout|from \\ to/.test(renderReport(record)), false);
});

test("ticks are round, evenly spaced and cover the range", () => {
  equal(ticks(0, 10), [0, 2, 4, 6, 8, 10]);
  equal(ticks(1.9, 4.2), [1.5, 2, 2.5, 3, 3.5, 4, 4.5]);
  for (const [low, high] of [
    [0.001, 0.0012],
    [-5, 7e9],
    [3, 3],
    [0, 0],
    [-2, -1.99],
  ]) {
    const found = ticks(low, high);
    ok(found[0] <= low && found[found.length - 1] >= high, `${found}`);
    ok(found.length >= 2 && found.length <= 8, `${found}`);
  }
});

test("thinning keeps means and leaves out what is not finite", () => {
  equal(
    thin(
      [
        [1, 2],
        [2, 4],
        [3, 6],
        [4, 8],
      ],
      2,
    ),
    [
      [1.5, 3],
      [3.5, 7],
    ],
  );
  equal(
    thin([
      [1, Number.NaN],
      [2, Number.POSITIVE_INFINITY],
      [3, 6],
    ]),
    [[3, 6]],
  );
});

test("a plot maps its extremes to the edges of the drawing", () => {
  const html = plotHtml({
    ...{ title: "t", description: "d", xLabel: "x", yLabel: "y" },
    series: [
      {
        name: "line",
        points: [
          [10, 0],
          [20, 10],
        ],
      },
    ],
  });
  match(html, /d="M0\.0 400\.0L1000\.0 0\.0"/);
  match(plotHtml({ title: "t", description: "d", xLabel: "x", yLabel: "y", series: [] }), /Nothing to draw/);
});

test.run();

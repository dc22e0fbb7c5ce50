// A training run as one HTML page that needs nothing else: no script, no request leaves it.

import { purposes } from "../backend/memory.ts";
import { parameterCount } from "../nn/config.ts";
import { median } from "../plan/distribution.ts";
import { bytesText, countText, durationText } from "./output.ts";
import { figuresHtml, pageHtml, pairs, table } from "./page.ts";
import { escapeHtml, plotHtml } from "./plot.ts";
import { ranksSections } from "./ranks-report.ts";
import type { TrainRecord } from "./record.ts";

/** Rows of a table beside a plot. */
const tableRows = 14;

/** Share of the run that the smoothed loss looks back over. */
const smoothedShare = 1 / 25;

export function renderReport(record: TrainRecord): string {
  const { config, start, sample, failure, textName } = record;
  const title = `${config.model_type} on ${textName}`;
  const failed =
    failure === undefined ? "" : `<p class="failure" role="alert">The run failed: ${escapeHtml(failure)}</p>`;
  const parameters = start ? { ...start.parameters, dtype: start.dtype, tokensPerStep: start.tokensPerStep } : {};
  const note = start ? `${start.backend} on ${start.adapter}` : record.note;
  return pageHtml(
    { title, note, failed },
    `${keyFigures(record)}
${lossSection(record)}
${throughputSection(record)}
${memorySection(record)}
${ranksSections(record)}
${sample === undefined ? "" : `<section><h2>Sample</h2><pre>${escapeHtml(sample)}</pre></section>`}
<section class="wide"><h2>Configuration</h2><div class="columns">
${pairs("Model", { ...config })}
${pairs("Run", parameters)}
${pairs("Text and device", { text: textName, tokens: countText(record.textTokens), tokenizer: record.tokenizer, vocabulary: record.vocabSize, backend: record.note, adapter: start?.adapter ?? "-" })}
</div></section>`,
  );
}

function keyFigures({ config, steps, start, evals, done }: TrainRecord): string {
  const last = evals.at(-1);
  const validation = done?.validationLoss ?? last?.validationLoss;
  const asked = start?.parameters.steps ?? steps.length;
  const before = start?.resumedAt ?? 0;
  const taken = before + steps.length;
  const finished = `${countText(taken)}${taken < asked ? ` of ${countText(asked)}` : ""}${before > 0 ? `, ${countText(before)} before` : ""}`;
  const figures: [string, string][] = [
    ["validation loss", validation === undefined ? "-" : validation.toFixed(4)],
    ["training loss", last ? last.trainLoss.toFixed(4) : "-"],
    ["steps", finished],
    ["parameters", countText(parameterCount(config))],
    ["tokens/s, median", countText(medianRate(steps))],
    ["peak memory", done ? bytesText(done.peakBytes.total) : "-"],
    [
      "time",
      done ? durationText(done.durationMs) : durationText(steps.reduce((sum, step) => sum + step.durationMs, 0)),
    ],
  ];
  return figuresHtml(figures);
}

function lossSection(record: TrainRecord): string {
  const { steps, evals } = record;
  const first = steps[0];
  const lastStep = steps[steps.length - 1];
  const lastEval = evals.at(-1);
  const description = `Loss in nats a token against steps: from ${first.loss.toFixed(3)} at step ${first.step} to ${lastStep.loss.toFixed(3)} at step ${lastStep.step}${lastEval ? `, validation ${lastEval.validationLoss.toFixed(3)}` : ""}.`;
  const plot = plotHtml({
    title: "Loss",
    description,
    xLabel: "step",
    yLabel: "cross-entropy, nats a token",
    series: [
      { name: "batch", points: steps.map(({ step, loss }) => [step, loss]) },
      { name: "batch, smoothed", points: smoothed(steps.map(({ step, loss }) => [step, loss])) },
      { name: "training text", points: evals.map(({ step, trainLoss }) => [step, trainLoss]), dots: true },
      { name: "validation text", points: evals.map(({ step, validationLoss }) => [step, validationLoss]), dots: true },
    ],
  });
  const rows = spread(evals, tableRows).map(({ step, trainLoss, validationLoss }) => [
    countText(step),
    trainLoss.toFixed(4),
    validationLoss.toFixed(4),
  ]);
  return `<section><h2>Loss</h2>${plot}${table(evaluationsCaption(record), ["step", "training", "validation"], rows)}</section>`;
}

/** The figure on top of the page is exact where a run went to its end; those during a run often are not. */
function evaluationsCaption({ start, done }: TrainRecord): string {
  const batches = start?.parameters.evalBatches ?? 0;
  if (batches === 0) return "Evaluations";
  const early = start && done && done.steps < start.parameters.steps;
  return `Evaluations, each over ${countText(batches)} random batches${early ? "; the last, where the run was ended early, over others" : ""}`;
}

function throughputSection({ steps }: TrainRecord): string {
  const rate = medianRate(steps);
  const rates = steps.map(({ step, tokensPerSecond }): [number, number] => [step, tokensPerSecond]);
  const plot = plotHtml({
    title: "Throughput",
    description: `Tokens trained on a second against steps; the median is ${countText(rate)}.`,
    xLabel: "step",
    yLabel: "tokens/s",
    fromZero: true,
    series: [
      { name: "step", points: rates },
      { name: "smoothed", points: smoothed(rates) },
    ],
  });
  const rows = spread(steps, tableRows).map(({ step, loss, gradNorm, skipped, learningRate, tokensPerSecond }) => [
    ...[
      countText(step),
      loss.toFixed(3),
      skipped ? "overflow, skipped" : gradNorm.toFixed(3),
      learningRate.toExponential(2),
      countText(tokensPerSecond),
    ],
  ]);
  return `<section><h2>Throughput</h2>${plot}${table("Steps", ["step", "loss", "gradient norm", "learning rate", "tokens/s"], rows)}</section>`;
}

function memorySection({ done }: TrainRecord): string {
  if (!done) return "";
  const { peakBytes } = done;
  const most = Math.max(...purposes.map((purpose) => peakBytes[purpose]), 1);
  const bar = (bytes: number) => `<span class="bar" style="width:${((bytes / most) * 100).toFixed(1)}%"></span>`;
  const rows = purposes.map(
    (purpose) =>
      `<tr><th scope="row">${purpose}</th><td>${bytesText(peakBytes[purpose])}</td><td class="bars" aria-hidden="true">${bar(peakBytes[purpose])}</td></tr>`,
  );
  return `<section class="wide"><h2>Memory</h2><table class="memory"><caption>Peak of each purpose; the peak of their sum is ${bytesText(peakBytes.total)}</caption>
<thead><tr><th scope="col">purpose</th><th scope="col">peak</th><th aria-hidden="true"></th></tr></thead>
<tbody>${rows.join("")}</tbody></table></section>`;
}

/** Exponential moving average, corrected for its start as Adam's moments are. */
function smoothed(points: readonly (readonly [number, number])[]): [number, number][] {
  const keep = 1 - 1 / Math.max(1, points.length * smoothedShare);
  let sum = 0;
  let weight = 0;
  return points.map(([x, y]) => {
    sum = keep * sum + (1 - keep) * y;
    weight = keep * weight + (1 - keep);
    return [x, sum / weight];
  });
}

/** At most `most` items, evenly spread, the first and the last among them. */
function spread<T>(items: readonly T[], most: number): T[] {
  if (items.length <= most) return [...items];
  return Array.from({ length: most }, (_, i) => items[Math.round((i * (items.length - 1)) / (most - 1))]);
}

const medianRate = (steps: readonly { tokensPerSecond: number }[]): number =>
  steps.length === 0 ? 0 : median(steps.map(({ tokensPerSecond }) => tokensPerSecond));

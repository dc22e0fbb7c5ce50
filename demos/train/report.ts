// A run as one HTML page that needs nothing else: no script, no request leaves it.

import { bytes, count, seconds } from "../kit/format.ts";
import type { RankFigures, RunRecord, StepRow } from "./news.ts";
import { meshWords } from "./settings.ts";

const style = `
:root { color-scheme: light dark; --ink: light-dark(#1b1f24, #e8ecf1); --quiet: light-dark(#535c66, #a3adb9); --rule: light-dark(#d5dbe1, #2e3742);
  --raised: light-dark(#f4f6f8, #181e26); --one: light-dark(#1557a8, #7db8ff); --two: light-dark(#b4470a, #ffa564); --bad: light-dark(#a91f16, #ff9187); }
body { margin: 0 auto; max-width: 1100px; padding: 1.5rem; color: var(--ink); background: light-dark(#fff, #0f1318); font: 16px/1.5 system-ui, sans-serif; }
h1 { margin: 0; line-height: 1.2; overflow-wrap: anywhere; } h2 { font-size: 1.15rem; margin: 2rem 0 0.5rem; }
.quiet, caption, dt, thead th { color: var(--quiet); } .bad { color: var(--bad); font-weight: 600; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: 0.6rem; margin: 1rem 0; }
dl div { background: var(--raised); border: 1px solid var(--rule); border-radius: 8px; padding: 0.5rem 0.7rem; }
dd { margin: 0; font-size: 1.15rem; font-weight: 600; overflow-wrap: anywhere; }
svg { width: 100%; height: 320px; overflow: visible; } polyline { fill: none; stroke-width: 1.5; vector-effect: non-scaling-stroke; }
.grid { stroke: var(--rule); vector-effect: non-scaling-stroke; } .loss { stroke: var(--one); } .validation { stroke: var(--two); stroke-dasharray: 6 4; stroke-width: 2.5; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; } caption { text-align: left; padding-bottom: 0.3rem; }
th, td { text-align: right; padding: 0.25rem 0.6rem; border-bottom: 1px solid var(--rule); font-weight: 400; white-space: nowrap; } th:first-child { text-align: left; }
.heat td { background: color-mix(in srgb, var(--one) calc(var(--share) * 45%), transparent); }
pre { background: var(--raised); border: 1px solid var(--rule); border-radius: 8px; padding: 0.7rem; white-space: pre-wrap; overflow-wrap: anywhere; font: 0.85rem/1.45 ui-monospace, monospace; }
`;

const entities: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
const escaped = (text: unknown): string => String(text).replace(/[&<>"]/g, (character) => entities[character]);

export function reportHtml(record: RunRecord): string {
  const { settings, textName, started, history, figures, finished, failed } = record;
  const { steps, evals, samples } = history;
  const last = steps.at(-1);
  const title = `GPT on ${textName}`;
  const spentMs = steps.reduce((sum, [, , , durationMs]) => sum + durationMs, 0);
  const facts: (readonly [string, string])[] = [
    ["validation loss", (finished?.validationLoss ?? evals.at(-1)?.[2])?.toFixed(4) ?? "-"],
    ["last training loss", last ? last[1].toFixed(4) : "-"],
    ["steps", started ? `${count(last?.[0] ?? 0)} of ${count(started.steps)}` : "-"],
    ["parameters", started ? count(started.parameterCount) : "-"],
    ["tokens a second", started && spentMs > 0 ? count((1000 * started.tokensPerStep * steps.length) / spentMs) : "-"],
    ["time in steps", seconds(spentMs / 1000)],
  ];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escaped(title)}</title>
<style>${style}</style>
</head>
<body>
<h1>${escaped(title)}</h1>
<p class="quiet">${escaped(meshWords(settings))}; ${escaped(started?.note ?? "")}</p>
${failed ? `<p class="bad">${escaped(`${failed.title}. ${failed.text}`)}</p>` : ""}
<dl>${facts.map(([name, value]) => `<div><dt>${name}</dt><dd>${value}</dd></div>`).join("")}</dl>
${steps.length > 1 ? `<h2>Loss</h2>${lossPlot(steps, evals)}` : ""}
${
  evals.length > 0
    ? table(
        "Evaluations, nats a token",
        ["step", "training text", "validation text"],
        evals.map(([step, train, validation]) => [count(step), train.toFixed(4), validation.toFixed(4)]),
      )
    : ""
}
${figures ? ranksHtml(figures) : ""}
${samples.length > 0 ? `<h2>What it writes</h2>${samples.map(({ step, text }) => `<p class="quiet">after step ${count(step)}</p><pre>${escaped(text)}</pre>`).join("")}` : ""}
<h2>Settings</h2>${table(
    "As they were at the start",
    ["setting", "value"],
    Object.entries(settings).map(([name, value]) => [escaped(name), escaped(value)]),
  )}
</body>
</html>
`;
}

const table = (caption: string, head: readonly string[], rows: readonly (readonly string[])[]): string =>
  `<div class="scroll" tabindex="0" role="region" aria-label="${caption}"><table><caption>${caption}</caption><thead><tr>${head.map((cell) => `<th scope="col">${cell}</th>`).join("")}</tr></thead><tbody>${rows
    .map(
      ([name, ...cells]) => `<tr><th scope="row">${name}</th>${cells.map((cell) => `<td>${cell}</td>`).join("")}</tr>`,
    )
    .join("")}</tbody></table></div>`;

/** The drawing's own coordinates; the page stretches them. */
const [plotWidth, plotHeight] = [1000, 300];
/** More points differ by less than a pixel. */
const mostPoints = 1000;

function lossPlot(steps: readonly StepRow[], evals: RunRecord["history"]["evals"]): string {
  const every = Math.ceil(steps.length / mostPoints);
  const shown = steps.filter((_, index) => index % every === 0 || index === steps.length - 1);
  const losses = [...shown.map(([, loss]) => loss), ...evals.map(([, , validation]) => validation)];
  const [low, high] = [Math.min(...losses), Math.max(...losses)];
  const [first, last] = [shown[0][0], shown[shown.length - 1][0]];
  const at = (step: number, loss: number) =>
    `${(((step - first) / Math.max(1, last - first)) * plotWidth).toFixed(1)},${(((high - loss) / Math.max(1e-9, high - low)) * plotHeight).toFixed(1)}`;
  const words = `Loss from ${shown[0][1].toFixed(3)} at step ${first} to ${shown[shown.length - 1][1].toFixed(3)} at step ${last}; drawn from ${low.toFixed(3)} at the bottom to ${high.toFixed(3)} at the top. Dashed: of the validation text.`;
  return `<svg viewBox="0 0 ${plotWidth} ${plotHeight}" preserveAspectRatio="none" role="img" aria-label="${words}">
<path class="grid" d="M0 0H${plotWidth}M0 ${plotHeight / 2}H${plotWidth}M0 ${plotHeight}H${plotWidth}"/>
<polyline class="loss" points="${shown.map(([step, loss]) => at(step, loss)).join(" ")}"/>
<polyline class="validation" points="${evals.map(([step, , validation]) => at(step, validation)).join(" ")}"/>
</svg><p class="quiet">${words}</p>`;
}

function ranksHtml({ step, traffic, received, closedForm, memory }: RankFigures): string {
  const most = Math.max(1, ...traffic.flat());
  const ranks = traffic.map((_, rank) => rank);
  const equal = received.every((value, rank) => value === closedForm[rank]);
  const heat = `<div class="scroll" tabindex="0" role="region" aria-label="Bytes between ranks"><table class="heat"><caption>Bytes in step ${count(step)} from each rank (rows) to each rank (columns); received and by the closed form: ${equal ? "equal" : "not equal"}</caption><thead><tr><th scope="col">from</th>${ranks.map((to) => `<th scope="col">to ${to}</th>`).join("")}</tr></thead><tbody>${ranks
    .map(
      (from) =>
        `<tr><th scope="row">${from}</th>${ranks.map((to) => `<td style="--share:${(traffic[from][to] / most).toFixed(3)}">${count(traffic[from][to])}</td>`).join("")}</tr>`,
    )
    .join("")}</tbody></table></div>`;
  const purposes = Object.keys(memory[0]) as (keyof (typeof memory)[number])[];
  return `<h2>Ranks</h2>${ranks.length > 1 ? heat : ""}${table(
    `Memory after step ${count(step)}`,
    ["rank", ...purposes],
    memory.map((held, rank) => [String(rank), ...purposes.map((purpose) => bytes(held[purpose]))]),
  )}`;
}

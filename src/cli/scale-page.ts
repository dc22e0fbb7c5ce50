// Scaling as one HTML page: time, efficiency, traffic and memory over devices, a line for each layout, and every number in a table.

import type { Profile } from "../plan/profile.ts";
import type { ScaleRefusal, ScaleRow } from "../plan/scale.ts";
import { bytesText, countText, secondsText } from "./output.ts";
import { figuresHtml, pageHtml, pairs, table } from "./page.ts";
import { escapeHtml, plotHtml } from "./plot.ts";

export interface ScaleReport {
  /** what is held constant */
  what: string;
  model: string;
  profile: Profile;
  /** model and run */
  about: Readonly<Record<string, unknown>>;
  rows: readonly ScaleRow[];
  refused: readonly ScaleRefusal[];
}

/** A colour for each layout, apart in lightness too: the order is that of the names. */
const style = `
:root { --layout-0: #57606a; --layout-1: #1f5fae; --layout-2: #7a3fb3; --layout-3: #1a7f4b; --layout-4: #c2410c; }
@media (prefers-color-scheme: dark) {
  :root { --layout-0: #9aa4b0; --layout-1: #6cb0ff; --layout-2: #c79bff; --layout-3: #4cc38a; --layout-4: #ff9a5c; }
}
${[0, 1, 2, 3, 4].map((i) => `.series.series-${i} { stroke: var(--layout-${i}); stroke-width: 2; stroke-dasharray: none; } .dot.series-${i} { stroke: var(--layout-${i}); stroke-width: 7; }`).join("\n")}
.scroll td, .scroll th { white-space: nowrap; }
.pairs { max-width: 40rem; }
.refused { margin: 0; padding-left: 1.2rem; }
`;

const layouts = ["serial", "1d", "1d-sp", "2d", "2.5d"] as const;

export function scalePage(report: ScaleReport): string {
  const { what, model, profile, about, rows } = report;
  const title = `${what[0].toUpperCase()}${what.slice(1)}`;
  const note = `On ${countText(rows[0].devices)} ${rows[0].devices === 1 ? "device" : "devices"} ${model}. ${profile.name}: ${profile.description}. Modelled times, not measured ones.`;
  const body = [
    keyFigures(rows),
    section(rows, {
      ...{ title: "Step time", label: "seconds", value: ({ seconds }) => seconds },
      text: ({ seconds }) => secondsText(seconds),
    }),
    section(rows, {
      ...{ title: "Efficiency", label: "% of the fastest that fits on the fewest devices" },
      ...{ value: ({ efficiency }) => efficiency && 100 * efficiency, text: ({ efficiency }) => percent(efficiency) },
    }),
    section(rows, {
      ...{ title: "Received", label: "GiB a step, by the rank with the most" },
      ...{
        value: ({ bytesReceived }) => bytesReceived / 2 ** 30,
        text: ({ bytesReceived }) => bytesText(bytesReceived),
      },
    }),
    section(rows, {
      ...{ title: "Memory", label: "GiB, of the rank with the most" },
      ...{
        value: ({ memoryBytes }) => memoryBytes.total / 2 ** 30,
        text: ({ memoryBytes }) => bytesText(memoryBytes.total),
      },
    }),
    allRows(rows),
    refusals(report),
    `<section class="wide"><h2>Configuration</h2>${pairs("Model and run", about)}</section>`,
  ];
  return pageHtml({ title, note, style }, body.join("\n"));
}

/** "-" for what a mesh that does not fit has none of. */
const percent = (share: number | undefined): string => (share === undefined ? "-" : `${(100 * share).toFixed(1)}%`);

/** Of the most devices. */
function keyFigures(rows: readonly ScaleRow[]): string {
  const most = Math.max(...rows.map(({ devices }) => devices));
  const own = rows.filter(({ devices, best }) => devices === most && best);
  return figuresHtml(
    own.map(({ layout, dims, seconds, tokensPerSecond }) => [
      `${layout} on ${dims.join(" × ")}`,
      `${secondsText(seconds)}<br>${countText(tokensPerSecond)} tokens/s`,
    ]),
  );
}

interface Measure {
  title: string;
  label: string;
  /** undefined: not drawn */
  value(row: ScaleRow): number | undefined;
  text(row: ScaleRow): string;
}

/** A plot of each layout's fastest meshes, and the same numbers beside it. */
function section(rows: readonly ScaleRow[], { title, label, value, text }: Measure): string {
  const best = rows.filter((row) => row.best);
  const counts = [...new Set(best.map(({ devices }) => devices))];
  const of = (name: string) => best.filter(({ layout }) => layout === name);
  const plot = plotHtml({
    ...{ title, description: `${title} of each layout over ${counts.join(", ")} devices, as in the table.` },
    ...{ xLabel: "devices", yLabel: label, fromZero: true, xMarks: counts },
    // Layouts that are not there keep their colour.
    series: layouts.map((name) => ({
      name,
      dots: true,
      points: of(name).map((row) => [row.devices, value(row) ?? Number.NaN]),
    })),
  });
  const shown = layouts.filter((name) => of(name).length > 0);
  const body = counts.map((devices) => [
    countText(devices),
    ...shown.map((name) => {
      const row = of(name).find((each) => each.devices === devices);
      return row ? text(row) : "-";
    }),
  ]);
  return `<section><h2>${title}</h2>${plot}${table(`${title} by devices`, ["devices", ...shown], body)}</section>`;
}

function allRows(rows: readonly ScaleRow[]): string {
  const names = [
    ...[
      "devices",
      "layout",
      "mesh",
      "batch",
      "width",
      "heads",
      "step",
      "tokens/s",
      "efficiency",
      "computing",
      "hidden",
    ],
    ...["exposed", "idle", "received", "messages", "memory", "fits", "MFU"],
  ];
  const body = rows.map((row) => {
    const { seconds, computingSeconds, hiddenSeconds, exposedSeconds, idleSeconds } = row;
    return [
      ...[countText(row.devices), row.layout, row.dims.join(" × ")],
      ...[countText(row.batch), countText(row.width), countText(row.heads)],
      ...[secondsText(seconds), countText(row.tokensPerSecond), percent(row.efficiency)],
      ...[computingSeconds, hiddenSeconds, exposedSeconds, idleSeconds].map((each) => secondsText(each)),
      ...[bytesText(row.bytesReceived), countText(row.messagesReceived), bytesText(row.memoryBytes.total)],
      ...[row.fits ? "yes" : "no", percent(row.mfu)],
    ];
  });
  const caption = "Times of a device in the mean of all: hidden is the part of computing with messages under way";
  return `<section class="wide"><h2>All numbers</h2>${table(caption, names, body)}</section>`;
}

function refusals({ refused }: ScaleReport): string {
  if (refused.length === 0) return "";
  const items = refused.map(
    ({ devices, layout, why }) => `<li>${countText(devices)} devices, ${layout}: ${escapeHtml(why)}</li>`,
  );
  return `<section class="wide"><h2>What cannot be</h2><ul class="refused">${items.join("")}</ul></section>`;
}

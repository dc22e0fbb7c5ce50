// The report's part on a mesh: who sent how much to whom, and what each rank held. Colour only repeats what a cell says.

import { purposes } from "../backend/memory.ts";
import { bytesText, countText } from "./output.ts";
import { trafficLine } from "./progress.ts";
import type { TrainRecord } from "./record.ts";
import { wireText } from "./wire.ts";

/** With more ranks than this a cell has no room for words; it then says them when pointed at. */
const mostWithWords = 16;

/** Nothing for a run on one rank, or one that failed before its end. */
export function ranksSections({ start, steps, done }: TrainRecord): string {
  if (!start?.mesh || !done?.traffic || !done.ranks || steps.length === 0) return "";
  const { layout, dims } = start.mesh;
  const title = `${done.ranks.length} ranks: layout ${layout} on ${dims.join(" × ")}${wireText(start.parameters.wire)}`;
  return `<section class="wide"><h2>${title}</h2>
<p>Here ${trafficLine(steps)}.</p>
${heatMap(done.traffic, steps.length)}
${memoryTable(done.ranks)}
</section>`;
}

/** bytes[from][to] of a step, a row for each sender. */
function heatMap(traffic: readonly (readonly number[])[], steps: number): string {
  const ranks = traffic.map((_, rank) => rank);
  const most = Math.max(1, ...traffic.flat());
  const words = traffic.length <= mostWithWords;
  const cell = (from: number, to: number) => {
    const bytes = traffic[from][to];
    const said = bytes === 0 ? "-" : bytesText(bytes / steps);
    const title = words ? "" : ` title="rank ${from} to rank ${to}: ${said}"`;
    return `<td style="--share:${(bytes / most).toFixed(3)}"${title}>${said}</td>`;
  };
  const rows = ranks.map(
    (from) => `<tr><th scope="row">${from}</th>${ranks.map((to) => cell(from, to)).join("")}</tr>`,
  );
  const caption = "Bytes a step from each rank (rows) to each rank (columns)";
  return `<div class="scroll" role="region" aria-label="${caption}" tabindex="0"><table class="heat${words ? "" : " fine"}"><caption>${caption}</caption>
<thead><tr><th scope="col">from \\ to</th>${ranks.map((to) => `<th scope="col">${to}</th>`).join("")}</tr></thead>
<tbody>${rows.join("")}</tbody></table></div>`;
}

function memoryTable(ranks: NonNullable<NonNullable<TrainRecord["done"]>["ranks"]>): string {
  const most = Math.max(...ranks.map(({ peakBytes }) => peakBytes.total), 1);
  const bar = (bytes: number) => `<span class="bar" style="width:${((bytes / most) * 100).toFixed(1)}%"></span>`;
  const rows = ranks.map(({ peakBytes }, rank) => {
    const cells = [...purposes, "total" as const].map((purpose) => `<td>${bytesText(peakBytes[purpose])}</td>`);
    return `<tr><th scope="row">${countText(rank)}</th>${cells.join("")}<td class="bars" aria-hidden="true">${bar(peakBytes.total)}</td></tr>`;
  });
  const caption = "Peak memory of each rank, as if it had a device to itself; the last number is the peak of the sum";
  return `<div class="scroll" role="region" aria-label="${caption}" tabindex="0"><table class="ranks"><caption>${caption}</caption>
<thead><tr><th scope="col">rank</th>${purposes.map((purpose) => `<th scope="col">${purpose}</th>`).join("")}<th scope="col">sum</th><th aria-hidden="true"></th></tr></thead>
<tbody>${rows.join("")}</tbody></table></div>`;
}

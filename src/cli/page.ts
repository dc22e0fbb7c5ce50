// A page that needs nothing else: no script, no request leaves it.

import { escapeHtml } from "./plot.ts";
import { reportStyle } from "./report-style.ts";

/** body, failed and style are HTML and CSS; title and note any text. */
export const pageHtml = (
  { title, note, failed = "", style = "" }: { title: string; note: string; failed?: string; style?: string },
  body: string,
): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>${escapeHtml(title)}</title>
<style>${reportStyle}${style}</style>
</head>
<body>
<main>
<header>
<h1>${escapeHtml(title)}</h1>
<p>${escapeHtml(note)}</p>
${failed}
</header>
${body}
</main>
</body>
</html>
`;

export const figuresHtml = (figures: readonly (readonly [name: string, value: string])[]): string =>
  `<dl class="figures">${figures.map(([name, value]) => `<div><dt>${name}</dt><dd>${value}</dd></div>`).join("")}</dl>`;

/** The first cell of a row names it. Cells and heads are HTML. */
export function table(caption: string, head: readonly string[], rows: readonly (readonly string[])[]): string {
  const body = rows.map(
    ([first, ...rest]) => `<tr><th scope="row">${first}</th>${rest.map((cell) => `<td>${cell}</td>`).join("")}</tr>`,
  );
  return `<div class="scroll" role="region" aria-label="${caption}" tabindex="0"><table><caption>${caption}</caption><thead><tr>${head.map((cell) => `<th scope="col">${cell}</th>`).join("")}</tr></thead><tbody>${body.join("")}</tbody></table></div>`;
}

/** Names and values, as text. */
export function pairs(caption: string, values: Readonly<Record<string, unknown>>): string {
  const rows = Object.entries(values).map(
    ([name, value]) => `<tr><th scope="row">${escapeHtml(name)}</th><td>${escapeHtml(valueText(value))}</td></tr>`,
  );
  return `<table class="pairs"><caption>${caption}</caption><tbody>${rows.join("")}</tbody></table>`;
}

/** A setting without the digits that only a float's rounding put there. */
const valueText = (value: unknown): string =>
  typeof value === "number" ? String(Number(value.toPrecision(10))) : String(value);

// Comma-separated values as RFC 4180 has them: lines end in CRLF, cells with commas, quotes or line breaks stand in quotes.

type Cell = string | number | boolean | undefined;

/** The first line has the columns' names, those of the first row. */
export function csvText(rows: readonly Readonly<Record<string, Cell>>[]): string {
  const names = Object.keys(rows[0] ?? {});
  const lines = [names, ...rows.map((row) => names.map((name) => row[name]))];
  return lines.map((cells) => `${cells.map(quoted).join(",")}\r\n`).join("");
}

function quoted(cell: Cell): string {
  const text = cell === undefined ? "" : String(cell);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

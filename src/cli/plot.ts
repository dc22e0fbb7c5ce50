// A line plot as HTML around an SVG: the drawing stretches with the page, its words keep their size.
// Draws nothing but lines; colours are the page's (classes series-0, series-1, ...).

export interface Series {
  name: string;
  points: readonly (readonly [x: number, y: number])[];
  /** marks each point; for few of them */
  dots?: boolean;
}

export interface Plot {
  title: string;
  /** one sentence for those who cannot see it */
  description: string;
  xLabel: string;
  yLabel: string;
  series: readonly Series[];
  /** the y axis begins at 0 */
  fromZero?: boolean;
  /** these x values are marked, none other, and the x axis is logarithmic */
  xMarks?: readonly number[];
}

/** The drawing's own coordinates; the page stretches them. */
const width = 1000;
const height = 400;

/** More points than this differ by less than a pixel. */
const maxPoints = 800;

export function escapeHtml(text: string): string {
  const entities: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  return text.replace(/[&<>"']/g, (character) => entities[character]);
}

/** About `wanted` round numbers that span [low, high], the outer ones included. */
export function ticks(low: number, high: number, wanted = 5): number[] {
  const span = high > low ? high - low : Math.max(Math.abs(high), 1);
  const power = 10 ** Math.floor(Math.log10(span / wanted));
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power * wanted >= span) ?? 10);
  const first = Math.floor(low / step + 1e-9);
  const last = Math.max(first + 1, Math.ceil(high / step - 1e-9));
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** Means of equal runs of points, so that a long run draws quickly. Points that are not finite are left out. */
export function thin(points: Series["points"], most = maxPoints): (readonly [number, number])[] {
  const finite = points.filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y));
  const run = Math.ceil(finite.length / most);
  if (run <= 1) return finite;
  const thinned: [number, number][] = [];
  for (let i = 0; i < finite.length; i += run) {
    const part = finite.slice(i, i + run);
    const mean = (axis: 0 | 1) => part.reduce((sum, point) => sum + point[axis], 0) / part.length;
    thinned.push([mean(0), mean(1)]);
  }
  return thinned;
}

let drawn = 0;

export function plotHtml({ title, description, xLabel, yLabel, series, fromZero, xMarks }: Plot): string {
  const lines = series.map((line, index) => ({ ...line, index, points: thin(line.points) }));
  const along = (x: number) => (xMarks ? Math.log2(x) : x);
  const shown = lines.filter(({ points }) => points.length > 0);
  if (shown.length === 0)
    return `<figure><figcaption>${escapeHtml(title)}</figcaption><p>Nothing to draw.</p></figure>`;
  const all = shown.flatMap(({ points }) => points);
  const range = (axis: 0 | 1): [number, number] => {
    const values = [...all.map((point) => point[axis]), ...(axis === 0 ? (xMarks ?? []) : [])];
    return [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
  };
  const [lowX, highX] = range(0);
  const [lowY, highY] = range(1);
  const yTicks = ticks(fromZero ? Math.min(0, lowY) : lowY, highY);
  const [bottom, top] = [yTicks[0], yTicks[yTicks.length - 1]];
  const xTicks = xMarks ?? ticks(lowX, highX).filter((x) => x >= lowX && x <= highX);
  const shareX = (x: number) => (highX > lowX ? (along(x) - along(lowX)) / (along(highX) - along(lowX)) : 0.5);
  const shareY = (y: number) => (top - y) / (top - bottom);
  const percent = (share: number) => `${(share * 100).toFixed(2)}%`;
  const at = ([x, y]: readonly [number, number]) =>
    `${(shareX(x) * width).toFixed(1)} ${(shareY(y) * height).toFixed(1)}`;

  const grid = yTicks.map((y) => `<path class="grid" d="M0 ${(shareY(y) * height).toFixed(1)}H${width}"/>`).join("");
  // A line of no length with round ends is a dot, and stays round however the drawing is stretched.
  const paths = shown
    .map(({ index, points, dots }) => {
      const line = points.length > 1 ? `<path class="series series-${index}" d="M${points.map(at).join("L")}"/>` : "";
      const marks = dots || points.length === 1 ? points.map((point) => `M${at(point)}h0`).join("") : "";
      return line + (marks && `<path class="dot series-${index}" d="${marks}"/>`);
    })
    .join("");
  const legend = shown
    .map(
      ({ index, name }) =>
        `<li><svg class="key" viewBox="0 0 24 8" aria-hidden="true"><path class="series series-${index}" d="M0 4H24"/></svg>${escapeHtml(name)}</li>`,
    )
    .join("");
  const id = `plot-${drawn++}`;
  return `<figure>
<figcaption>${escapeHtml(title)}</figcaption>
<ul class="legend">${legend}</ul>
<div class="plot">
<div class="y-label">${escapeHtml(yLabel)}</div>
<div class="y-ticks" aria-hidden="true">${yTicks.map((y) => `<span style="top:${percent(shareY(y))}">${tickText(y)}</span>`).join("")}</div>
<svg class="lines" viewBox="0 0 ${width} ${height}" preserveAspectRatio="none" role="img" aria-labelledby="${id}-title ${id}-description">
<title id="${id}-title">${escapeHtml(title)}</title><desc id="${id}-description">${escapeHtml(description)}</desc>
${grid}${paths}
</svg>
<div class="x-ticks" aria-hidden="true">${xTicks.map((x) => `<span style="left:${percent(shareX(x))}">${tickText(x)}</span>`).join("")}</div>
<div class="x-label">${escapeHtml(xLabel)}</div>
</div>
</figure>`;
}

const tickText = (value: number): string => value.toLocaleString("en-US", { maximumSignificantDigits: 6 });

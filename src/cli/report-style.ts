// The report's style sheet: one column on a phone, plots beside their tables from 900 px, colours by the reader's scheme.

export const reportStyle = `
:root {
  --paper: #ffffff; --ink: #1b1f24; --quiet: #57606a; --rule: #d8dee4; --raised: #f5f7f9;
  --series-0: #a9c1de; --series-1: #1f5fae; --series-2: #1a7f4b; --series-3: #c2410c; --bad: #b42318;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #11151a; --ink: #e6eaef; --quiet: #9aa4b0; --rule: #2d343d; --raised: #1a2028;
    --series-0: #3c5c85; --series-1: #6cb0ff; --series-2: #4cc38a; --series-3: #ff9a5c; --bad: #ff8a80;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1500px; margin: 0 auto; padding: 1.5rem clamp(0.75rem, 3vw, 3rem) 4rem; }
h1 { font-size: clamp(1.3rem, 1rem + 1.6vw, 2rem); line-height: 1.2; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 0 0 0.75rem; grid-column: 1 / -1; }
header p { color: var(--quiet); margin: 0.25rem 0 0; overflow-wrap: anywhere; }
header p.failure { color: var(--bad); font-weight: 600; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: 0.75rem; margin: 1.5rem 0 0; }
.figures div { background: var(--raised); border: 1px solid var(--rule); border-radius: 6px; padding: 0.6rem 0.8rem; }
dt { color: var(--quiet); font-size: 0.85rem; }
dd { margin: 0; font-size: 1.25rem; font-weight: 600; font-variant-numeric: tabular-nums; }
section { margin-top: 2.5rem; display: grid; grid-template-columns: minmax(0, 1fr); column-gap: 2.5rem; row-gap: 1rem; }
@media (min-width: 900px) { section:has(figure) { grid-template-columns: minmax(0, 3fr) minmax(0, 2fr); } }
figure { margin: 0; }
figcaption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 0.1rem 1.2rem; margin: 0 0 0.5rem; padding: 0; font-size: 0.9rem; }
.legend li { display: flex; align-items: center; gap: 0.45rem; }
.key { width: 24px; height: 8px; }
.plot { display: grid; grid-template-columns: 3.6rem minmax(0, 1fr); font-size: 0.8rem; color: var(--quiet); font-variant-numeric: tabular-nums; padding-right: 1rem; }
.y-label { grid-column: 1 / -1; margin-bottom: 0.6rem; }
.y-ticks, .x-ticks { position: relative; }
.y-ticks span { position: absolute; right: 0.5rem; transform: translateY(-50%); }
.x-ticks { grid-column: 2; height: 1.4rem; }
.x-ticks span { position: absolute; top: 0.2rem; transform: translateX(-50%); }
.x-label { grid-column: 2; text-align: center; }
.lines { grid-column: 2; width: 100%; height: clamp(200px, 26vw, 380px); display: block; overflow: visible; }
path { fill: none; vector-effect: non-scaling-stroke; stroke-linejoin: round; }
.grid { stroke: var(--rule); stroke-width: 1; }
.series { stroke-width: 2; }
.dot { stroke-width: 7; stroke-linecap: round; }
.series-0 { stroke: var(--series-0); stroke-width: 1.2; }
.series-1 { stroke: var(--series-1); }
.series-2 { stroke: var(--series-2); }
.series.series-2 { stroke-dasharray: 6 4; }
.series-3 { stroke: var(--series-3); }
.dot.series-0 { stroke-width: 7; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--quiet); padding-bottom: 0.4rem; }
th, td { text-align: right; padding: 0.2rem 0.5rem; border-bottom: 1px solid var(--rule); font-weight: 400; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
thead th { color: var(--quiet); }
.memory { max-width: 60rem; }
.memory td { white-space: nowrap; }
.bars { width: 60%; }
.bar { display: block; height: 0.8rem; background: var(--series-1); border-radius: 2px; }
.ranks td { white-space: nowrap; }
.ranks .bars { width: 30%; min-width: 6rem; }
section > p { margin: 0; }
.heat { width: auto; }
.heat th, .heat td { text-align: right; padding: 0.2rem 0.45rem; border: 1px solid var(--rule); min-width: 3.2rem; white-space: nowrap; }
.heat thead th:first-child { text-align: left; }
.heat td { background: color-mix(in srgb, var(--series-1) calc(var(--share) * 45%), var(--paper)); }
.heat.fine th, .heat.fine td { min-width: 0; padding: 0; width: 0.7rem; height: 0.7rem; font-size: 0; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: 1.5rem 2.5rem; align-items: start; }
.pairs td { overflow-wrap: anywhere; }
pre { margin: 0; padding: 0.9rem 1rem; background: var(--raised); border: 1px solid var(--rule); border-radius: 6px; white-space: pre-wrap; overflow-wrap: anywhere; font: 0.9rem/1.45 ui-monospace, monospace; }
`;

// Where 2.5D begins to pay: its words and time beside 2D's, over tokens for each column of the model.

import type { VNode } from "preact";
import { type Line, Plot, type PlotData } from "../kit/plot.tsx";
import { Scrolling } from "../kit/scrolling.tsx";
import type { Crossover, CrossoverPoint } from "./crossover.ts";
import { Panel } from "./panel.tsx";
import { comparison, crossing } from "./state.ts";

const lines: Line[] = [
  { label: "words, closed form", series: 1 },
  { label: "words, simulated", series: 1, marks: "dots" },
  { label: "time, simulated", series: 2, marks: "both", dash: [2, 4], width: 1 },
  { label: "this model", series: 4, marks: "dots", size: 13 },
  { label: "equal", series: 5, width: 1, dash: [6, 4] },
];

const ratio = (value: number): string => value.toFixed(2);
const factor = (value: number): string => (value >= 1 ? String(Number(value.toPrecision(3))) : value.toPrecision(2));

function dataOf({ curve, points, here }: Crossover): PlotData {
  const all = [...new Set([...curve, ...points, here].map(({ tokensPerColumn }) => tokensPerColumn))].sort(
    (a, b) => a - b,
  );
  const at = (of: readonly CrossoverPoint[], value: (point: CrossoverPoint) => number | undefined) => {
    const values = new Map(of.map((point) => [point.tokensPerColumn, value(point)]));
    return all.map((x) => values.get(x) ?? null);
  };
  return [
    all,
    at([...curve, ...points, here], ({ words }) => words),
    at(points, ({ simulatedWords }) => simulatedWords),
    at(points, ({ seconds }) => seconds),
    at([here], ({ words }) => words),
    all.map(() => 1),
  ];
}

/** Where the closed form's curve passes 1, on a logarithmic scale; undefined when it does not. */
function evenAt({ curve }: Crossover): number | undefined {
  const i = curve.findIndex(({ words }, at) => at > 0 && words >= 1 && curve[at - 1].words < 1);
  if (i < 0) return undefined;
  const [a, b] = [curve[i - 1], curve[i]];
  const share = (1 - a.words) / (b.words - a.words);
  return a.tokensPerColumn * (b.tokensPerColumn / a.tokensPerColumn) ** share;
}

function Story({ found }: { found: Crossover }): VNode {
  const { flat, deep, ranks, here } = found;
  const even = evenAt(found);
  const [wide, cube] = [flat, deep].map((dims) => dims.join("\u00a0×\u00a0"));
  const distance = ({ tokensPerColumn }: CrossoverPoint) => Math.abs(Math.log(tokensPerColumn / here.tokensPerColumn));
  const near = found.points.toSorted((a, b) => distance(a) - distance(b)).at(0);
  const devices = comparison.value.value?.question.devices;
  return (
    <p>
      {devices !== ranks && `${devices} devices do not make both a 2D and a 2.5D mesh; here are ${ranks}. `}
      {even === undefined
        ? `${cube} moves fewer words than ${wide} wherever this curve goes.`
        : `${cube} moves fewer words than ${wide} once a micro-batch has more than ${factor(even)} times as many tokens as the model has columns.`}{" "}
      Here it has <b>{factor(here.tokensPerColumn)} times</b> as many: {wide} moves <b>{ratio(here.words)} times</b> the
      words of {cube}.
      {near?.seconds !== undefined &&
        ` On this network, at ${factor(near.tokensPerColumn)} times, a block takes ${ratio(near.seconds)} times as long on ${wide} as on ${cube}.`}
    </p>
  );
}

export function CrossoverPlot(): VNode {
  const found = crossing.value.value;
  return (
    <Panel title="When depth pays: 2D beside 2.5D" answer={crossing}>
      {found && (
        <>
          <Story found={found} />
          <Plot
            about="Words of a block's linears on a 2D mesh over those on a 2.5D mesh, and their times, over tokens for each column of the model; in numbers below."
            lines={lines}
            data={dataOf(found)}
            x={{ label: "tokens a micro-batch / width", log: 2, text: factor }}
            y={{ label: "2D / 2.5D", text: ratio }}
          />
          <details>
            <summary>In numbers</summary>
            <Scrolling label="2D over 2.5D">
              <table>
                <thead>
                  <tr>
                    {["tokens / width", "words, closed form", "words, simulated", "time, simulated"].map((text) => (
                      <th scope="col" key={text}>
                        {text}
                      </th>
                    ))}
                  </tr>
                </thead>
                <tbody>
                  {found.points.map(({ tokensPerColumn, words, simulatedWords, seconds }) => (
                    <tr key={tokensPerColumn}>
                      <th scope="row">{factor(tokensPerColumn)}</th>
                      <td>{ratio(words)}</td>
                      <td>{simulatedWords === undefined ? "–" : ratio(simulatedWords)}</td>
                      <td>{seconds === undefined ? "–" : ratio(seconds)}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </Scrolling>
          </details>
          {found.why !== undefined && <p class="quiet small">Not simulated: {found.why}.</p>}
        </>
      )}
    </Panel>
  );
}

// Tokens a second over numbers of devices: each layout's fastest mesh, beside what would be ideal.

import type { VNode } from "preact";
import { Choice } from "../kit/fields.tsx";
import { count, seconds } from "../kit/format.ts";
import { type Line, Plot, type PlotData } from "../kit/plot.tsx";
import { Scrolling } from "../kit/scrolling.tsx";
import type { Figures } from "./figures.ts";
import { layoutLines, layouts, ofLayout } from "./lines.ts";
import { titleOf } from "./meshes.tsx";
import { Panel } from "./panel.tsx";
import type { ScalePoint } from "./scaling.ts";
import { comparison, curve, state } from "./state.ts";

const lines: Line[] = [...layoutLines, { label: "ideal", series: 5, width: 1, dash: [4, 4] }];

/** 12,300 as 12.3k. */
const short = (value: number): string =>
  Intl.NumberFormat("en-US", { notation: "compact", maximumSignificantDigits: 3 }).format(value);

const fittest = ({ best }: ScalePoint): Figures | undefined =>
  best.filter(({ fits }) => fits).toSorted((a, b) => b.tokensPerSecond - a.tokensPerSecond)[0];

function dataOf(points: readonly ScalePoint[]): PlotData {
  const base = points.find((point) => fittest(point));
  const unit = base ? fittest(base)!.tokensPerSecond / base.devices : undefined;
  return [
    points.map(({ devices }) => devices),
    ...layouts.map((layout) =>
      points.map((point) => {
        const figures = ofLayout(point.best, layout);
        return figures?.fits ? figures.tokensPerSecond : null;
      }),
    ),
    points.map(({ devices }) => (unit && devices >= base!.devices ? unit * devices : null)),
  ];
}

function Table({ points }: { points: readonly ScalePoint[] }): VNode {
  const rows = points.map((point) => ({ point, best: fittest(point) }));
  const base = rows.find(({ best }) => best);
  return (
    <Scrolling label="Fastest mesh for each number of devices">
      <table>
        <thead>
          <tr>
            {["devices", "fastest", "step", "tokens/s", "efficiency"].map((text) => (
              <th scope="col" key={text}>
                {text}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(({ point: { devices, batch, best: all }, best }) => (
            <tr key={devices} data-devices={devices}>
              <th scope="row">{devices}</th>
              {best ? (
                <>
                  <td>{titleOf(best)}</td>
                  <td>{seconds(best.seconds)}</td>
                  <td>{count(best.tokensPerSecond)}</td>
                  <td>{Math.round((100 * best.mfu) / base!.best!.mfu)}%</td>
                </>
              ) : (
                <td colSpan={4} class="quiet">
                  {batch === undefined
                    ? "less than a sequence for some device"
                    : all.length > 0
                      ? "does not fit"
                      : "no layout divides the model"}
                </td>
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </Scrolling>
  );
}

export function Curve(): VNode {
  const points = curve.value.value;
  const fits = points?.some((point) => fittest(point));
  const batch = comparison.value.value?.question.batch ?? 0;
  return (
    <Panel title="More devices" answer={curve}>
      <Choice
        label="What stays the same"
        value={state.growth}
        options={[
          { value: "strong", text: "sequences of a step (strong)" },
          { value: "weak", text: "sequences for each device (weak)" },
        ]}
      />
      {points && (
        <>
          {fits ? (
            <Plot
              about={`Tokens a second by layout on ${points[0].devices} to ${points.at(-1)!.devices} devices; the table below has the fastest of each.`}
              lines={lines}
              data={dataOf(points)}
              x={{ label: "devices", log: 2, text: String }}
              y={{ label: "tokens/s", log: 2, text: short }}
            />
          ) : (
            <p>{`On none of ${points[0].devices} to ${points.at(-1)!.devices} devices can the model train: there is nothing to draw. The table says why.`}</p>
          )}
          <details open={!fits}>
            <summary>In numbers</summary>
            <Table points={points} />
          </details>
          {fits && (
            <p class="quiet small">
              Where memory suffices,{" "}
              {state.growth.value === "strong"
                ? `${count(batch)} sequences a step`
                : "as many sequences for each device as now"}
              . The ideal goes on from the fewest devices on which it fits.
            </p>
          )}
        </>
      )}
    </Panel>
  );
}

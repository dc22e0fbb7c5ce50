// Step time by layout over bandwidth: from where on which layout is the fastest.

import type { VNode } from "preact";
import { rate, seconds } from "../kit/format.ts";
import { type Line, Plot, type PlotData } from "../kit/plot.tsx";
import { Scrolling } from "../kit/scrolling.tsx";
import { better, type Figures } from "./figures.ts";
import { layoutLines, layouts, ofLayout } from "./lines.ts";
import { titleOf } from "./meshes.tsx";
import { Panel } from "./panel.tsx";
import { comparison, nothing, swept } from "./state.ts";
import type { SweepPoint } from "./sweep.ts";

const lines: Line[] = [...layoutLines, { label: "now", series: 6, marks: "dots", size: 13 }];

/** Of those with a mesh that fits, or of all where none does. */
const winner = ({ best }: SweepPoint): Figures | undefined => (best.length > 0 ? best.reduce(better) : undefined);

const times = (value: number): string => String(Number(value.toPrecision(3)));

interface Swept {
  points: readonly SweepPoint[];
  /** of the farthest level, as the profile has it */
  bytesPerSecond: number;
  /** where the slider is, times that */
  here: number;
}

function dataOf({ points, bytesPerSecond, here }: Swept): PlotData {
  const at = [...new Set([...points.map(({ bandwidth }) => bandwidth), here])];
  at.sort((a, b) => a - b);
  const known = new Map(points.map((point) => [point.bandwidth, point]));
  return [
    at.map((bandwidth) => bandwidth * bytesPerSecond),
    ...layouts.map((layout) =>
      at.map((bandwidth) => {
        const point = known.get(bandwidth);
        const [own, best] = [ofLayout(point?.best ?? [], layout), point && winner(point)];
        return own && best ? own.seconds / best.seconds : null;
      }),
    ),
    at.map((bandwidth) => (bandwidth === here ? 1 : null)),
  ];
}

function Table({ points, bytesPerSecond }: Swept): VNode {
  return (
    <Scrolling label="Fastest mesh for each bandwidth">
      <table>
        <thead>
          <tr>
            <th scope="col">bandwidth</th>
            <th scope="col">fastest</th>
            <th scope="col">step</th>
          </tr>
        </thead>
        <tbody>
          {points.map((point) => {
            const best = winner(point);
            return (
              <tr key={point.bandwidth} data-bandwidth={point.bandwidth}>
                <th scope="row">{rate(point.bandwidth * bytesPerSecond)}</th>
                <td>{best && titleOf(best)}</td>
                <td>{best && seconds(best.seconds)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </Scrolling>
  );
}

/** In words: who is the fastest from which bandwidth on. */
function story({ points, bytesPerSecond }: Swept): string {
  const changes = points.flatMap((point, i) => {
    const [best, before] = [winner(point), i > 0 ? winner(points[i - 1]) : undefined];
    if (!best || (before && titleOf(before) === titleOf(best))) return [];
    return [`${titleOf(best)} from ${rate(point.bandwidth * bytesPerSecond)}`];
  });
  return changes.length > 0 ? `Fastest: ${changes.join(", ")} on.` : "";
}

/** Bandwidth changes nothing of what is held. */
const fits = ({ points }: Swept): boolean => points.some((point) => winner(point)?.fits);

export function SweepPlot(): VNode {
  const points = swept.value;
  const known = comparison.value.value;
  const level = known?.machine.levels.at(-1);
  const current = known && points.value && level;
  const shown: Swept | undefined = current && {
    points: points.value!,
    bytesPerSecond: level.bytesPerSecond / known.question.bandwidth,
    here: known.question.bandwidth,
  };
  return (
    <Panel title="A slower network, a faster one" answer={swept}>
      {nothing.value && <p>{nothing.value}</p>}
      {shown && (
        <>
          <p>{story(shown)}</p>
          {!fits(shown) && <p>No mesh fits the memory of a device: these times are of steps that would need more.</p>}
          <Plot
            about={`Step time of each layout over the fastest one's, over the bandwidth of ${level!.name}. ${story(shown)}`}
            lines={lines}
            data={dataOf(shown)}
            x={{ label: `${level!.name}, each device's port`, log: 10, text: rate }}
            y={{ label: "times the fastest", log: 2, text: times }}
          />
          <details>
            <summary>In numbers</summary>
            <Table {...shown} />
          </details>
          <p class="quiet small">Every level of the network by the same factor, latencies as they are.</p>
        </>
      )}
    </Panel>
  );
}

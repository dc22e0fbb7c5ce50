// Lines over an axis, drawn by uPlot: as wide as their place, in the page's colours, with a sentence for those who do not see them.

import type { VNode } from "preact";
import { useEffect, useRef } from "preact/hooks";
import UPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { colour, themeChanges } from "./shell.tsx";

export interface Line {
  label: string;
  /** 1 to 6: of the style sheet's --series */
  series: number;
  dash?: readonly number[];
  /** dots only, or a line, or both */
  marks?: "line" | "dots" | "both";
  /** of dots, in pixels */
  size?: number;
  width?: number;
  text?: (value: number) => string;
}

/** x and then the lines' values; `null`: none there. */
export type PlotData = [x: number[], ...lines: (number | null)[][]];

const readLast = (plot: UPlot): void => {
  if (plot.cursor.idx == null && plot.data[0].length > 0) plot.setLegend({ idx: plot.data[0].length - 1 }, false);
};

export function Plot(props: {
  /** what it shows, in a sentence */
  about: string;
  lines: readonly Line[];
  data: PlotData;
  x: { label: string; log?: 2 | 10; text?: (value: number) => string };
  y: { label: string; log?: 2 | 10; text?: (value: number) => string; range?: [number, number] };
  height?: number;
}): VNode {
  const { about, lines, data, x, y, height = 280 } = props;
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<UPlot | undefined>(undefined);
  const theme = themeChanges.value;
  // Built anew when what it is changes; new data alone are handed over.
  const shape = JSON.stringify([lines, x, y, height, theme]);
  useEffect(() => {
    const element = place.current!;
    const ink = colour("--quiet");
    const rule = colour("--rule");
    const axis = ({ label, text }: { label: string; text?: (value: number) => string }): UPlot.Axis => ({
      ...{ label, stroke: ink, labelFont: "13px system-ui", font: "12px system-ui" },
      ...{ grid: { stroke: rule, width: 1 }, ticks: { stroke: rule, width: 1 } },
      ...(text && {
        values: (_: UPlot, splits: number[]) => splits.map((value) => (value === null ? "" : text(value))),
      }),
    });
    const scale = ({ log, range }: { log?: 2 | 10; range?: [number, number] }): UPlot.Scale => ({
      ...(log ? { distr: 3, log } : {}),
      ...(range && { range: () => range }),
    });
    const drawn = new UPlot(
      {
        ...{ width: element.clientWidth, height },
        scales: { x: { time: false, ...scale(x) }, y: scale(y) },
        axes: [axis(x), { ...axis(y), size: 64 }],
        legend: { markers: { width: 3, dash: (_, index) => (lines[index - 1]?.dash ? "dashed" : "solid") } },
        // Where nobody points, the legend reads what is drawn last.
        hooks: { ready: [readLast], setData: [readLast], setCursor: [readLast] },
        series: [
          { label: x.label, ...(x.text && { value: (_, value) => (value == null ? "–" : x.text!(value)) }) },
          ...lines.map(({ label, series, dash, marks = "line", size = 7, width = 2, text = y.text }): UPlot.Series => {
            const stroke = colour(`--series-${series}`);
            return {
              ...{ label, stroke, spanGaps: true, width: marks === "dots" ? 0 : width },
              ...(dash && { dash: [...dash] }),
              points: { show: marks !== "line", size, fill: stroke },
              // Data that have become fewer leave an index behind for a moment.
              value: (_: UPlot, value?: number | null) => (value == null ? "–" : (text ?? String)(value)),
            };
          }),
        ],
      },
      data as UPlot.AlignedData,
      element,
    );
    plot.current = drawn;
    const watch = new ResizeObserver(() => drawn.setSize({ width: element.clientWidth, height }));
    watch.observe(element);
    return () => {
      watch.disconnect();
      drawn.destroy();
      plot.current = undefined;
    };
  }, [shape]);
  useEffect(() => plot.current?.setData(data as UPlot.AlignedData), [data]);
  return <div class="plot" role="img" aria-label={about} ref={place} />;
}

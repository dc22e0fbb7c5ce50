// The simulated step of the chosen mesh: for each of its first ranks, when it computes, and when messages come and go.

import type { VNode } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { percent, seconds } from "../kit/format.ts";
import { colour, themeChanges } from "../kit/shell.tsx";
import { titleOf } from "./meshes.tsx";
import { Panel } from "./panel.tsx";
import { chosen, comparison, nothing, trace } from "./state.ts";
import type { RankTrace, StepTrace } from "./trace.ts";

const [laneHeight, rankGap, labelWidth, axisHeight] = [9, 9, 30, 22];
const lanes = [
  { key: "computing", series: 1, text: "computes" },
  { key: "receiving", series: 2, text: "receives" },
  { key: "sending", series: 3, text: "sends" },
] as const;
const rankHeight = lanes.length * laneHeight + rankGap;

const total = (spans: Float64Array): number => {
  let sum = 0;
  for (let i = 0; i < spans.length; i += 2) sum += spans[i + 1] - spans[i];
  return sum;
};

function draw(canvas: HTMLCanvasElement, shown: StepTrace): void {
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  const scale = devicePixelRatio;
  [canvas.width, canvas.height] = [Math.round(width * scale), Math.round(height * scale)];
  const context = canvas.getContext("2d");
  if (!context) return;
  context.scale(scale, scale);
  context.font = "12px system-ui";
  context.textBaseline = "middle";
  const place = (at: number) => labelWidth + (at / shown.seconds) * (width - labelWidth);
  const colours = lanes.map(({ series }) => colour(`--series-${series}`));
  const [ink, rule] = [colour("--quiet"), colour("--rule")];
  for (const [row, rank] of shown.ranks.entries()) {
    const top = row * rankHeight;
    context.fillStyle = ink;
    context.textAlign = "left";
    context.fillText(String(rank.rank), 4, top + (rankHeight - rankGap) / 2);
    context.fillStyle = rule;
    context.fillRect(labelWidth, top + lanes.length * laneHeight + rankGap / 2, width - labelWidth, 1);
    for (const [lane, { key }] of lanes.entries()) {
      context.fillStyle = colours[lane];
      const spans = rank[key];
      for (let i = 0; i < spans.length; i += 2) {
        const left = place(spans[i]);
        context.fillRect(left, top + lane * laneHeight, Math.max(0.7, place(spans[i + 1]) - left), laneHeight - 2);
      }
    }
  }
  const bottom = shown.ranks.length * rankHeight + axisHeight / 2;
  context.fillStyle = ink;
  for (const [share, align] of [
    [0, "left"],
    [0.5, "center"],
    [1, "right"],
  ] as const) {
    context.textAlign = align;
    context.fillText(seconds(share * shown.seconds), place(share * shown.seconds), bottom);
  }
}

const sentence = ({ rank, computing, receiving }: RankTrace, of: number): string =>
  `rank ${rank} computes ${percent(total(computing) / of)} of the time and receives ${percent(total(receiving) / of)}`;

function Picture({ shown }: { shown: StepTrace }): VNode {
  const canvas = useRef<HTMLCanvasElement>(null);
  const theme = themeChanges.value;
  useEffect(() => {
    const element = canvas.current!;
    const watch = new ResizeObserver(() => draw(element, shown));
    watch.observe(element);
    return () => watch.disconnect();
  }, [shown, theme]);
  const about = `${titleOf(shown)}, ${seconds(shown.seconds)}: ${shown.ranks.map((rank) => sentence(rank, shown.seconds)).join("; ")}.`;
  return (
    <canvas
      ref={canvas}
      role="img"
      aria-label={about}
      style={{ height: `${shown.ranks.length * rankHeight + axisHeight}px` }}
    />
  );
}

export function Timeline(): VNode {
  const shown = trace.value;
  const mesh = chosen.value;
  const known = comparison.value.value;
  const { layers = 0 } = shown.value ?? {};
  const whole = known?.question.layers === layers;
  return (
    <Panel title={`The step, rank by rank${mesh ? `: ${titleOf(mesh)}` : ""}`} answer={trace} kind="timeline">
      {nothing.value && <p>{nothing.value}</p>}
      {shown.value && (
        <>
          <p class="legend small">
            {lanes.map(({ key, series, text }) => (
              <span key={key}>
                <i class="key" style={{ background: `var(--series-${series})` }} aria-hidden="true" /> {text}
              </span>
            ))}
          </p>
          <Picture shown={shown.value} />
          <p class="quiet small">
            {shown.value.ranks.length < (known?.question.devices ?? 0) &&
              `The first ${shown.value.ranks.length} ranks. `}
            {whole
              ? `The whole step: ${seconds(shown.value.seconds)}.`
              : `A model of ${layers === 1 ? "one layer" : `${layers} layers`}, so that something can be seen: ${seconds(shown.value.seconds)}.`}{" "}
            Three lanes a rank, in this order.
          </p>
        </>
      )}
    </Panel>
  );
}

// What each rank did when: a picture that is zoomed and moved by wheel, fingers and keys, and says of a slice what it is.

import { type Signal, useSignal } from "@preact/signals";
import type { VNode } from "preact";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { bytes, count, percent, seconds } from "../kit/format.ts";
import { colour, themeChanges } from "../kit/shell.tsx";
import { traceSteps } from "./actions.ts";
import { downloadTrace } from "./downloads.ts";
import { draw, heightOf, labelWidth, laneAt } from "./draw.ts";
import type { PackedTimeline } from "./news.ts";
import { phase, settingsNow, timeline, tracing } from "./state.ts";
import { firstFrom, lanesOf, panned, sliceAt, sliceWords, type View, wholeView, zoomed } from "./view.ts";

const tracedSteps = 2;
/** A key moves by this share of what is seen, and zooms by this factor. */
const [keyShare, keyFactor] = [0.2, 1.6];
/** Wheels tell some hundred a notch, pinches single digits. */
const wheelZoom = 0.004;
/** A slice this near to the pointer is meant, in pixels. */
const nearPixels = 4;

const time = (us: number): string => seconds(us / 1e6);

export const TimelinePanel = (): VNode => {
  const now = timeline.value;
  return (
    <section class="panel wide" aria-labelledby="timeline">
      <div class="row between">
        <h2 id="timeline">What each rank does when</h2>
        <div class="row">
          <button
            type="button"
            disabled={!(phase.value === "running" || phase.value === "paused") || tracing.value}
            onClick={() => traceSteps(tracedSteps)}
          >
            {tracing.value && phase.value === "running" ? "Tracing…" : "Trace the next two steps"}
          </button>
          {now && (
            <button type="button" onClick={() => void downloadTrace()}>
              Download for Perfetto
            </button>
          )}
        </div>
      </div>
      {phase.value === "paused" && tracing.value && <p class="small">Its next two steps are traced when it goes on.</p>}
      {phase.value === "idle" && <p class="small quiet">A trace is made while steps are computed: none is now.</p>}
      {now ? (
        <>
          <p class="small quiet">
            Steps {now.from} to {now.to}.{" "}
            {settingsNow.value.place === "process" && now.ranks > 1
              ? "Ranks of one process take turns on one device: while one computes, the others wait. Ranks in workers have devices of their own."
              : "A message is under way from the moment its block was there until it had come."}
            {now.dropped > 0 ? ` ${count(now.dropped)} slices were left out.` : ""}
          </p>
          <ul class="key">
            <li>
              <span class="swatch computing" /> computing
            </li>
            <li>
              <span class="swatch sending" /> sending
            </li>
            <li>
              <span class="swatch receiving" /> receiving
            </li>
            <li>
              <span class="swatch waiting" /> waiting
            </li>
          </ul>
          <Picture key={now} timeline={now} />
          <Shares timeline={now} />
        </>
      ) : (
        <p class="quiet">The first steps of a run are traced automatically.</p>
      )}
    </section>
  );
};

function Picture({ timeline: shown }: { timeline: PackedTimeline }): VNode {
  const view = useSignal<View>(wholeView(shown));
  const chosen = useSignal(-1);
  const width = useSignal(0);
  const canvas = useRef<HTMLCanvasElement>(null);
  const lanes = useMemo(() => lanesOf(shown), [shown]);
  const { spanUs } = shown;
  const perPixel = () => (view.value.toUs - view.value.fromUs) / Math.max(1, width.value - labelWidth);
  const usAt = (x: number) => view.value.fromUs + (x - labelWidth) * perPixel();
  const zoom = (factor: number, aroundUs: number) => {
    view.value = zoomed(view.value, { factor, aroundUs, spanUs });
  };
  const middle = () => (view.value.fromUs + view.value.toUs) / 2;

  useEffect(() => {
    const watch = new ResizeObserver(([{ contentRect }]) => (width.value = contentRect.width));
    watch.observe(canvas.current!);
    return () => watch.disconnect();
  }, []);
  const theme = themeChanges.value;
  const [now, at, wide] = [view.value, chosen.value, width.value];
  useEffect(() => {
    const element = canvas.current!;
    const ratio = devicePixelRatio;
    element.width = Math.max(1, Math.round(wide * ratio));
    element.height = Math.round(heightOf(shown) * ratio);
    const context = element.getContext("2d")!;
    context.scale(ratio, ratio);
    const colours = {
      ...{ paper: colour("--paper"), ink: colour("--ink"), quiet: colour("--quiet"), rule: colour("--rule") },
      waiting: colour("--sunk"),
      tracks: [colour("--series-1"), colour("--series-2"), colour("--series-4")] as const,
    };
    draw(context, { timeline: shown, lanes, view: now, width: wide, colours, chosen: at, time });
  }, [shown, lanes, now, at, wide, theme]);
  useGestures(canvas, { zoom, usAt, pan: (pixels) => (view.value = panned(view.value, pixels * perPixel(), spanUs)) });

  const point = ({ offsetX, offsetY, pointerType }: PointerEvent) => {
    const lane = laneAt(lanes, offsetY);
    const near = pointerType === "mouse" ? nearPixels : 3 * nearPixels;
    chosen.value =
      lane && offsetX >= labelWidth ? sliceAt(shown, lane, { us: usAt(offsetX), nearUs: near * perPixel() }) : -1;
  };
  const keyed = (event: KeyboardEvent) => {
    const length = view.value.toUs - view.value.fromUs;
    const around = chosen.value >= 0 ? shown.startUs[chosen.value] : middle();
    const acts: Record<string, () => void> = {
      "+": () => zoom(1 / keyFactor, around),
      "=": () => zoom(1 / keyFactor, around),
      "-": () => zoom(keyFactor, around),
      0: () => (view.value = wholeView(shown)),
      Home: () => (view.value = wholeView(shown)),
      PageUp: () => (view.value = panned(view.value, -keyShare * length, spanUs)),
      PageDown: () => (view.value = panned(view.value, keyShare * length, spanUs)),
      ArrowLeft: () => step(-1),
      ArrowRight: () => step(1),
      ArrowUp: () => change(-1),
      ArrowDown: () => change(1),
      Escape: () => (chosen.value = -1),
    };
    if (event.ctrlKey || event.metaKey || event.altKey || !acts[event.key]) return;
    event.preventDefault();
    acts[event.key]();
  };
  /** The slice before or behind in the same lane; kept in view. */
  const step = (by: number) => {
    const lane = lanes.find(({ first, end }) => chosen.value >= first && chosen.value < end);
    if (!lane) return choose(lanes.find(({ first, end }) => end > first));
    chosen.value = Math.max(lane.first, Math.min(lane.end - 1, chosen.value + by));
    follow();
  };
  const change = (by: number) => {
    const filled = lanes.filter(({ first, end }) => end > first);
    const at = filled.findIndex(({ first, end }) => chosen.value >= first && chosen.value < end);
    choose(filled[at < 0 ? 0 : Math.max(0, Math.min(filled.length - 1, at + by))]);
  };
  const choose = (lane: (typeof lanes)[number] | undefined) => {
    if (!lane) return;
    const us = chosen.value >= 0 ? shown.startUs[chosen.value] : view.value.fromUs;
    chosen.value = Math.min(lane.end - 1, firstFrom(shown, lane, us));
    follow();
  };
  const follow = () => {
    const us = shown.startUs[chosen.value];
    const { fromUs, toUs } = view.value;
    if (us < fromUs || us > toUs) view.value = panned(view.value, us - (fromUs + toUs) / 2, spanUs);
  };

  return (
    <>
      <Zoom view={view} whole={() => (view.value = wholeView(shown))} zoom={(factor) => zoom(factor, middle())} />
      {/* biome-ignore lint/a11y/noInteractiveElementToNoninteractiveRole: keys move through it as through an application */}
      <canvas
        ref={canvas}
        class="timeline"
        style={{ height: `${heightOf(shown)}px` }}
        tabIndex={0}
        role="application"
        aria-label={`Timeline of ${shown.ranks} ranks. Left and right: the slice before and after; up and down: another track; plus and minus: zoom; page up and page down: move; zero: everything.`}
        onPointerMove={point}
        onPointerDown={point}
        onPointerLeave={({ pointerType }) => pointerType === "mouse" && (chosen.value = -1)}
        onKeyDown={keyed}
      />
      <p class="told" aria-live="polite">
        {chosen.value >= 0
          ? sliceWords(shown, chosen.value, { time, size: bytes })
          : "Point at a slice, or press the arrow keys in the picture, to hear what it is. Ctrl and the wheel, or two fingers, zoom."}
      </p>
    </>
  );
}

const Zoom = (props: { view: Signal<View>; whole: () => void; zoom: (factor: number) => void }): VNode => (
  <div class="row">
    <button type="button" onClick={() => props.zoom(1 / 2)}>
      Zoom in
    </button>
    <button type="button" onClick={() => props.zoom(2)}>
      Zoom out
    </button>
    <button type="button" onClick={props.whole}>
      All of it
    </button>
    <span class="small quiet seen">
      {time(props.view.value.fromUs)} to {time(props.view.value.toUs)}
    </span>
  </div>
);

/** Wheel with Ctrl (a pinch on a touchpad is one) and two fingers zoom; sideways wheel, a drag and one finger move. */
function useGestures(
  canvas: { readonly current: HTMLCanvasElement | null },
  acts: {
    zoom: (factor: number, aroundUs: number) => void;
    usAt: (x: number) => number;
    pan: (pixels: number) => void;
  },
): void {
  const latest = useRef(acts);
  latest.current = acts;
  useEffect(() => {
    const element = canvas.current!;
    const down = new Map<number, number>();
    const wheel = (event: WheelEvent) => {
      const { zoom, usAt, pan } = latest.current;
      if (event.ctrlKey || event.metaKey) zoom(Math.exp(event.deltaY * wheelZoom), usAt(event.offsetX));
      else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) pan(event.deltaX);
      // Up and down is the page's.
      else return;
      event.preventDefault();
    };
    const pressed = (event: PointerEvent) => {
      down.set(event.pointerId, event.offsetX);
      element.setPointerCapture(event.pointerId);
    };
    const moved = (event: PointerEvent) => {
      const before = down.get(event.pointerId);
      if (before === undefined) return;
      const { zoom, usAt, pan } = latest.current;
      const other = [...down].find(([id]) => id !== event.pointerId)?.[1];
      if (other === undefined) pan(before - event.offsetX);
      else {
        const factor = Math.max(8, Math.abs(before - other)) / Math.max(8, Math.abs(event.offsetX - other));
        zoom(factor, usAt((event.offsetX + other) / 2));
      }
      down.set(event.pointerId, event.offsetX);
    };
    const released = (event: PointerEvent) => down.delete(event.pointerId);
    element.addEventListener("wheel", wheel, { passive: false });
    element.addEventListener("pointerdown", pressed);
    element.addEventListener("pointermove", moved);
    element.addEventListener("pointerup", released);
    element.addEventListener("pointercancel", released);
    return () => {
      element.removeEventListener("wheel", wheel);
      element.removeEventListener("pointerdown", pressed);
      element.removeEventListener("pointermove", moved);
      element.removeEventListener("pointerup", released);
      element.removeEventListener("pointercancel", released);
    };
  }, []);
}

const Shares = ({ timeline: { shares } }: { timeline: PackedTimeline }): VNode => (
  <details>
    <summary>Shares of these steps, by rank</summary>
    <table class="shares">
      <thead>
        <tr>
          <th scope="col">rank</th>
          <th scope="col">computing</th>
          <th scope="col">only messages under way</th>
          <th scope="col">waiting</th>
        </tr>
      </thead>
      <tbody>
        {shares.map(({ computing, messages, waiting }, rank) => (
          <tr key={rank}>
            <th scope="row">{rank}</th>
            <td>{percent(computing)}</td>
            <td>{percent(messages)}</td>
            <td>{percent(waiting)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  </details>
);

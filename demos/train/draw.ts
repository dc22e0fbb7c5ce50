// A timeline on a canvas: a row for each rank, in it what its device computes, what it sends and what it receives.

import type { PackedTimeline } from "./news.ts";
import { firstFrom, type Lane, type View } from "./view.ts";

/** Pixels. */
export const rowHeight = 44;
export const topHeight = 36;
export const labelWidth = 58;
const bands = [
  { at: 0, height: 0 },
  { at: 4, height: 18 },
  { at: 25, height: 6 },
  { at: 33, height: 6 },
] as const;

export interface Colours {
  paper: string;
  ink: string;
  quiet: string;
  rule: string;
  waiting: string;
  /** computing, sending, receiving */
  tracks: readonly [string, string, string];
}

export const heightOf = ({ ranks }: PackedTimeline): number => topHeight + ranks * rowHeight;

/** The lane at a place of the canvas; the nearest one of the row. */
export function laneAt(lanes: readonly Lane[], y: number): Lane | undefined {
  const rank = Math.floor((y - topHeight) / rowHeight);
  const within = y - topHeight - rank * rowHeight;
  const track = within < 24 ? 1 : within < 32 ? 2 : 3;
  return lanes.find((lane) => lane.rank === rank && lane.track === track);
}

export function draw(
  canvas: CanvasRenderingContext2D,
  picture: {
    timeline: PackedTimeline;
    lanes: readonly Lane[];
    view: View;
    width: number;
    colours: Colours;
    /** the slice that is told of; -1 */
    chosen: number;
    time: (us: number) => string;
  },
): void {
  const { timeline, lanes, view, width, colours, chosen, time } = picture;
  const { paper, ink, quiet, rule, waiting, tracks } = colours;
  const height = heightOf(timeline);
  const perUs = (width - labelWidth) / (view.toUs - view.fromUs);
  const xOf = (us: number) => labelWidth + (us - view.fromUs) * perUs;
  canvas.fillStyle = paper;
  canvas.fillRect(0, 0, width, height);
  canvas.font = "12px system-ui";
  canvas.textBaseline = "middle";
  drawTimes(canvas, { view, width, height, xOf, colours, time });
  for (let rank = 0; rank < timeline.ranks; rank++) {
    const y = topHeight + rank * rowHeight;
    canvas.fillStyle = waiting;
    canvas.fillRect(labelWidth, y + bands[1].at, width - labelWidth, bands[1].height);
    canvas.fillStyle = rule;
    canvas.fillRect(0, y, width, 1);
    canvas.fillStyle = quiet;
    canvas.fillText(`rank ${rank}`, 4, y + rowHeight / 2);
  }
  canvas.save();
  canvas.beginPath();
  canvas.rect(labelWidth, 0, width - labelWidth, height);
  canvas.clip();
  for (const lane of lanes) {
    const { at, height: tall } = bands[lane.track];
    const y = topHeight + lane.rank * rowHeight + at;
    canvas.fillStyle = tracks[lane.track - 1];
    drawLane(canvas, { timeline, lane, view, xOf, y, tall });
  }
  drawSteps(canvas, { timeline, view, xOf, height, ink });
  if (chosen >= 0) {
    const { at, height: tall } = bands[timeline.track[chosen]];
    const [x, to] = [xOf(timeline.startUs[chosen]), xOf(timeline.endUs[chosen])];
    canvas.strokeStyle = ink;
    canvas.lineWidth = 2;
    canvas.strokeRect(x - 1, topHeight + timeline.rank[chosen] * rowHeight + at - 1, Math.max(3, to - x + 2), tall + 2);
  }
  canvas.restore();
}

/** Slices that share a pixel are drawn as one: thousands cost no more than the width. */
function drawLane(
  canvas: CanvasRenderingContext2D,
  picture: { timeline: PackedTimeline; lane: Lane; view: View; xOf: (us: number) => number; y: number; tall: number },
): void {
  const { timeline, lane, view, xOf, y, tall } = picture;
  const { startUs, endUs } = timeline;
  // Some before the first may reach in.
  let index = Math.max(lane.first, firstFrom(timeline, lane, view.fromUs) - 50);
  let [from, to] = [Number.NaN, Number.NaN];
  const flush = () => {
    // A gap of a pixel between slices that are wide enough to show one.
    if (to > from) canvas.fillRect(from, y, to - from > 4 ? to - from - 1 : to - from, tall);
  };
  for (; index < lane.end && startUs[index] <= view.toUs; index++) {
    if (endUs[index] < view.fromUs) continue;
    const x = xOf(startUs[index]);
    const end = Math.max(xOf(endUs[index]), x + 1);
    if (x - from < 2 && end - from < 4) {
      to = Math.max(to, end);
      continue;
    }
    flush();
    [from, to] = [x, end];
  }
  flush();
}

function drawSteps(
  canvas: CanvasRenderingContext2D,
  picture: { timeline: PackedTimeline; view: View; xOf: (us: number) => number; height: number; ink: string },
): void {
  const { timeline, xOf, height, ink } = picture;
  canvas.fillStyle = ink;
  // Rank 0's, which come first.
  for (let index = 0; index < timeline.rank.length && timeline.track[index] === 0; index++) {
    const x = xOf(timeline.startUs[index]);
    canvas.fillRect(Math.round(x), 0, 1, height);
    canvas.fillText(timeline.names[timeline.name[index]], Math.max(x, labelWidth) + 4, 9);
  }
}

/** About so many pixels between two marks. */
const markPixels = 110;

function drawTimes(
  canvas: CanvasRenderingContext2D,
  picture: {
    view: View;
    width: number;
    height: number;
    xOf: (us: number) => number;
    colours: Colours;
    time: (us: number) => string;
  },
): void {
  const { view, width, height, xOf, colours, time } = picture;
  const wanted = ((view.toUs - view.fromUs) * markPixels) / (width - labelWidth);
  const power = 10 ** Math.floor(Math.log10(wanted));
  const every = power * ([1, 2, 5, 10].find((factor) => factor * power >= wanted) ?? 10);
  for (let us = Math.ceil(view.fromUs / every) * every; us <= view.toUs; us += every) {
    const x = Math.round(xOf(us));
    canvas.fillStyle = colours.rule;
    canvas.fillRect(x, topHeight - 8, 1, height);
    canvas.fillStyle = colours.quiet;
    canvas.fillText(time(us), x + 3, 27);
  }
}

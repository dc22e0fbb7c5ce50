// What part of a timeline is seen, and which slice is where: arithmetic on its columns, no drawing.

import type { PackedTimeline } from "./news.ts";

/** Microseconds since the timeline's start. */
export interface View {
  fromUs: number;
  toUs: number;
}

/** Nothing is shorter than a clock can tell. */
const leastUs = 5;

export const wholeView = ({ spanUs }: PackedTimeline): View => ({ fromUs: 0, toUs: Math.max(spanUs, leastUs) });

/** The view made `factor` times as long around a moment, which stays where it is; never beyond the timeline. */
export function zoomed(view: View, change: { factor: number; aroundUs: number; spanUs: number }): View {
  const { factor, aroundUs, spanUs } = change;
  const length = view.toUs - view.fromUs;
  const next = Math.min(Math.max(length * factor, leastUs), Math.max(spanUs, leastUs));
  const share = (aroundUs - view.fromUs) / length;
  return within({ fromUs: aroundUs - share * next, toUs: aroundUs + (1 - share) * next }, spanUs);
}

export const panned = (view: View, byUs: number, spanUs: number): View =>
  within({ fromUs: view.fromUs + byUs, toUs: view.toUs + byUs }, spanUs);

function within({ fromUs, toUs }: View, spanUs: number): View {
  const length = toUs - fromUs;
  const start = Math.max(0, Math.min(fromUs, Math.max(spanUs, leastUs) - length));
  return { fromUs: start, toUs: start + length };
}

/** The slices of a rank's track: [first, behind the last] of the columns, in the order of their starts. */
export interface Lane {
  rank: number;
  track: number;
  first: number;
  end: number;
}

/** Ranks' tracks from top to bottom, steps left out. */
export function lanesOf(timeline: PackedTimeline): Lane[] {
  const lanes: Lane[] = [];
  let at = 0;
  for (let rank = 0; rank < timeline.ranks; rank++)
    for (let track = 0; track < 4; track++) {
      const first = at;
      while (at < timeline.rank.length && timeline.rank[at] === rank && timeline.track[at] === track) at++;
      if (track > 0) lanes.push({ rank, track, first, end: at });
    }
  return lanes;
}

/** The first slice of a lane that starts at `us` or later. */
export function firstFrom({ startUs }: PackedTimeline, { first, end }: Lane, us: number): number {
  let [low, high] = [first, end];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (startUs[middle] < us) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The slice of a lane at a moment, or near it by no more than `nearUs`; -1. */
export function sliceAt(timeline: PackedTimeline, lane: Lane, at: { us: number; nearUs: number }): number {
  const { us, nearUs } = at;
  const behind = firstFrom(timeline, lane, us);
  let best = -1;
  let bestUs = nearUs;
  // Messages of one rank overlap: some of those that started earlier may last still.
  for (let index = Math.max(lane.first, behind - 50); index < Math.min(lane.end, behind + 2); index++) {
    const off = Math.max(timeline.startUs[index] - us, us - timeline.endUs[index], 0);
    if (off <= bestUs && (off < bestUs || best < 0 || timeline.startUs[index] >= timeline.startUs[best])) {
      best = index;
      bestUs = off;
    }
  }
  return best;
}

const doing = ["", "computes", "sends", "receives"] as const;

/** What a slice is, in a sentence. */
export function sliceWords(
  timeline: PackedTimeline,
  index: number,
  words: { time: (us: number) => string; size: (bytes: number) => string },
): string {
  const track = timeline.track[index];
  const peer = timeline.peer[index];
  const other = peer < 0 ? "" : ` ${track === 2 ? "to" : "from"} rank ${peer}, ${words.size(timeline.bytes[index])}`;
  const took = words.time(timeline.endUs[index] - timeline.startUs[index]);
  return `Rank ${timeline.rank[index]} ${doing[track]} ${timeline.names[timeline.name[index]]}${other}: ${took}, from ${words.time(timeline.startUs[index])}.`;
}

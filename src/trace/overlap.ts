// How much of the time that messages take is hidden under computing.

import type { Slice } from "./timeline.ts";

interface Interval {
  startUs: number;
  endUs: number;
}

/** Sums over ranks, in microseconds: the time in which messages were under way to a rank, and how much of it that rank computed. */
export function overlap(slices: readonly Slice[]): { underWayUs: number; computingUs: number } {
  const sums = { underWayUs: 0, computingUs: 0 };
  for (const rank of new Set(slices.map((slice) => slice.rank))) {
    const of = (track: Slice["track"]) => union(slices.filter((slice) => slice.rank === rank && slice.track === track));
    const messages = of("receiving");
    sums.underWayUs += length(messages);
    sums.computingUs += length(intersection(messages, of("computing")));
  }
  return sums;
}

/** In order, none touching the next. */
function union(intervals: readonly Interval[]): Interval[] {
  const whole: Interval[] = [];
  for (const { startUs, endUs } of intervals.toSorted((a, b) => a.startUs - b.startUs)) {
    const last = whole.at(-1);
    if (last && startUs <= last.endUs) last.endUs = Math.max(last.endUs, endUs);
    else whole.push({ startUs, endUs });
  }
  return whole;
}

function intersection(a: readonly Interval[], b: readonly Interval[]): Interval[] {
  const both: Interval[] = [];
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    const startUs = Math.max(a[i].startUs, b[j].startUs);
    const endUs = Math.min(a[i].endUs, b[j].endUs);
    if (startUs < endUs) both.push({ startUs, endUs });
    if (a[i].endUs < b[j].endUs) i++;
    else j++;
  }
  return both;
}

const length = (intervals: readonly Interval[]): number =>
  intervals.reduce((sum, { startUs, endUs }) => sum + endUs - startUs, 0);

// A timeline as columns that cross to the page at once, and what each rank spent its time on.

import type { Slice, Timeline } from "shardgrad/parallel";
import type { PackedTimeline } from "./news.ts";

const trackNumber = { steps: 0, computing: 1, sending: 2, receiving: 3 } as const;

export function packTimeline(timeline: Timeline, { from, to }: { from: number; to: number }): PackedTimeline {
  const slices = timeline.slices.toSorted(
    (a, b) => a.rank - b.rank || trackNumber[a.track] - trackNumber[b.track] || a.startUs - b.startUs,
  );
  const ranks = slices.reduce((most, { rank }) => Math.max(most, rank + 1), 1);
  const zeroUs = slices.reduce((least, { startUs }) => Math.min(least, startUs), Number.POSITIVE_INFINITY);
  const endUs = slices.reduce((most, slice) => Math.max(most, slice.endUs), zeroUs);
  const numbers = new Map<string, number>();
  const numberOf = (name: string) => {
    const known = numbers.get(name);
    if (known !== undefined) return known;
    numbers.set(name, numbers.size);
    return numbers.size - 1;
  };
  const packed = {
    ...{ from, to, ranks, spanUs: slices.length > 0 ? endUs - zeroUs : 0, dropped: timeline.dropped },
    rank: Uint16Array.from(slices, ({ rank }) => rank),
    track: Uint8Array.from(slices, ({ track }) => trackNumber[track]),
    name: Uint32Array.from(slices, ({ name }) => numberOf(name)),
    peer: Int16Array.from(slices, peerOf),
    bytes: Float64Array.from(slices, ({ details }) => Number(details?.bytes ?? 0)),
    startUs: Float64Array.from(slices, ({ startUs }) => startUs - zeroUs),
    endUs: Float64Array.from(slices, (slice) => slice.endUs - zeroUs),
  };
  const shares = Array.from({ length: ranks }, (_, rank) => sharesOf(slices.filter((slice) => slice.rank === rank)));
  return { ...packed, names: [...numbers.keys()], shares };
}

/** The rank that a message goes to or comes from. */
function peerOf({ track, details }: Slice): number {
  const other = track === "sending" ? details?.to : track === "receiving" ? details?.from : undefined;
  return other === undefined ? -1 : Number(String(other).replace("rank ", ""));
}

/** Of the steps that a rank took: computing counts first, messages where it did not compute, the rest is waiting. */
function sharesOf(slices: readonly Slice[]): PackedTimeline["shares"][number] {
  const steps = covered(slices.filter(({ track }) => track === "steps"));
  const computing = covered(slices.filter(({ track }) => track === "computing"));
  const busy = covered(slices.filter(({ track }) => track !== "steps"));
  if (steps === 0) return { computing: 0, messages: 0, waiting: 0 };
  return {
    computing: computing / steps,
    messages: (busy - computing) / steps,
    waiting: Math.max(0, 1 - busy / steps),
  };
}

/** Microseconds in which at least one of them lasts. */
function covered(slices: readonly Slice[]): number {
  let sum = 0;
  let endUs = Number.NEGATIVE_INFINITY;
  for (const slice of slices.toSorted((a, b) => a.startUs - b.startUs)) {
    sum += Math.max(0, slice.endUs - Math.max(endUs, slice.startUs));
    endUs = Math.max(endUs, slice.endUs);
  }
  return sum;
}

/** The buffers that cross by being handed over. */
export const buffersOf = ({ rank, track, name, peer, bytes, startUs, endUs }: PackedTimeline): ArrayBuffer[] =>
  [rank, track, name, peer, bytes, startUs, endUs].map(({ buffer }) => buffer as ArrayBuffer);

// A timeline as text in the Trace Event Format, which ui.perfetto.dev and chrome://tracing open: a process for each rank, in it a thread for
// each track, complete events ("X"), flows ("s", "f") from each send to its receive, and counters ("C").
// "Trace Event Format", Google, docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU.

import { type Slice, type Timeline, tracks } from "./timeline.ts";

interface Event {
  ph: "M" | "X" | "s" | "f" | "C";
  /** microseconds since the first event */
  ts: number;
  [field: string]: unknown;
}

/** The text, in pieces. Times count from the earliest event. */
export function* chromeTrace(timeline: Timeline, about: Readonly<Record<string, unknown>> = {}): Generator<string> {
  const { slices, levels, dropped, withinUs } = timeline;
  const starts = [...slices.map(({ startUs }) => startUs), ...levels.map(({ atUs }) => atUs)];
  const zeroUs = starts.reduce((least, at) => Math.min(least, at), Number.POSITIVE_INFINITY);
  const ranks = [...new Set([...slices, ...levels].map(({ rank }) => rank))].sort((a, b) => a - b);
  const events: Event[] = [];
  let threads = 0;
  for (const rank of ranks) {
    const lanes = lanesOf(slices.filter((slice) => slice.rank === rank));
    events.push(...named(rank));
    for (const lane of lanes) events.push(...eventsOf(lane, { place: { pid: pidOf(rank), tid: ++threads }, zeroUs }));
  }
  for (const { rank, name, atUs, value } of levels)
    events.push({ ph: "C", ts: atUs - zeroUs, pid: pidOf(rank), name, args: { [name]: value } });
  events.sort((a, b) => a.ts - b.ts || order[a.ph] - order[b.ph]);
  yield `{"displayTimeUnit":"ms","otherData":${JSON.stringify({ ...about, dropped, withinUs })},"traceEvents":[`;
  for (const [index, event] of events.entries()) yield `${index > 0 ? "," : ""}\n${JSON.stringify(event)}`;
  yield "\n]}\n";
}

/** Viewers take process 0 and thread 0 for the idle ones. */
const pidOf = (rank: number): number => rank + 1;

/** Microseconds: a flow needs a slice that lasts. */
const shortest = 0.25;

/** What a moment's events are told in: a flow starts before it ends, and both lie in slices. */
const order = { M: 0, X: 1, s: 2, f: 3, C: 4 } as const;

const named = (rank: number): Event[] => [
  { ph: "M", ts: 0, pid: pidOf(rank), name: "process_name", args: { name: `rank ${rank}` } },
  { ph: "M", ts: 0, pid: pidOf(rank), name: "process_sort_index", args: { sort_index: rank } },
];

/** What one thread shows. */
interface Lane {
  name: string;
  slices: Slice[];
  freeUs: number;
}

const endOf = ({ startUs, endUs }: Slice): number => Math.max(endUs, startUs + shortest);

/** A rank's slices by thread: those of one may not overlap, so each goes to its track's first that is free. */
function lanesOf(slices: readonly Slice[]): Lane[] {
  return tracks.flatMap((track) => {
    const lanes: Lane[] = [];
    const own = slices.filter((slice) => slice.track === track).sort((a, b) => a.startUs - b.startUs);
    for (const slice of own) {
      let lane = lanes.find(({ freeUs }) => freeUs <= slice.startUs);
      if (!lane) {
        lane = { name: lanes.length > 0 ? `${track} ${lanes.length + 1}` : track, slices: [], freeUs: 0 };
        lanes.push(lane);
      }
      lane.slices.push(slice);
      lane.freeUs = endOf(slice);
    }
    return lanes;
  });
}

function eventsOf(lane: Lane, { place, zeroUs }: { place: { pid: number; tid: number }; zeroUs: number }): Event[] {
  const events: Event[] = [
    { ph: "M", ts: 0, ...place, name: "thread_name", args: { name: lane.name } },
    { ph: "M", ts: 0, ...place, name: "thread_sort_index", args: { sort_index: place.tid } },
  ];
  for (const slice of lane.slices) {
    const { track, name, startUs, message, details } = slice;
    const ts = startUs - zeroUs;
    const dur = endOf(slice) - startUs;
    events.push({ ph: "X", ts, dur, ...place, cat: track, name, args: details ?? {} });
    if (message === undefined) continue;
    const flow = { ...place, id: message, cat: "message", name: "message" };
    // It ends in the slice around that moment, which has to be behind its start.
    if (track === "sending") events.push({ ph: "s", ts, ...flow });
    else events.push({ ph: "f", ts: ts + dur / 2, bp: "e", ...flow });
  }
  return events;
}

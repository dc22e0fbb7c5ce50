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
  const since = (atUs: number): number => Math.round((atUs - zeroUs) / tick) * tick;
  const ranks = [...new Set([...slices, ...levels].map(({ rank }) => rank))].sort((a, b) => a - b);
  const events: Event[] = [];
  for (const rank of ranks) {
    const pid = pidOf(rank);
    events.push(...processOf(rank));
    const lanes = lanesOf(
      slices.filter((slice) => slice.rank === rank),
      since,
    );
    for (const [index, lane] of lanes.entries()) events.push(...eventsOf(lane, { pid, tid: pid + index }));
  }
  for (const { rank, name, unit, atUs, value } of levels) {
    const pid = pidOf(rank);
    events.push({ ph: "C", ts: since(atUs), pid, tid: pid, name, args: { [unit]: value } });
  }
  events.sort((a, b) => a.ts - b.ts || order[a.ph] - order[b.ph]);
  yield `{"displayTimeUnit":"ms","otherData":${JSON.stringify({ ...about, dropped, withinUs })},"traceEvents":[`;
  for (const [index, event] of events.entries()) yield `${index > 0 ? "," : ""}\n${JSON.stringify(event)}`;
  yield "\n]}\n";
}

/** Microseconds that times are rounded to: a sum of quarters is exact, so that slices behind each other do not overlap by the last bit, which
 *  makes viewers drop one. As short as a slice is drawn: a flow needs one that lasts. */
const tick = 0.25;

/** What a moment's events are told in: a flow starts before it ends, and both lie in slices. */
const order = { M: 0, X: 1, s: 2, f: 3, C: 4 } as const;

/** Numbers of a process's threads follow its own, which its first one shares; 0 stands for what is idle. */
const pidOf = (rank: number): number => 1000 * (rank + 1);

const processOf = (rank: number): Event[] => {
  const place = { pid: pidOf(rank), tid: pidOf(rank) };
  return [
    { ph: "M", ts: 0, ...place, name: "process_name", args: { name: `rank ${rank}` } },
    { ph: "M", ts: 0, ...place, name: "process_sort_index", args: { sort_index: rank } },
  ];
};

/** What one thread shows. */
interface Lane {
  name: string;
  slices: { slice: Slice; ts: number; dur: number }[];
  /** when it has shown its last slice */
  free: number;
}

/** A rank's slices by thread: those of one may not overlap, so each goes to its track's first that is free. */
function lanesOf(slices: readonly Slice[], since: (atUs: number) => number): Lane[] {
  return tracks.flatMap((track) => {
    const lanes: Lane[] = [];
    const own = slices.filter((slice) => slice.track === track).sort((a, b) => a.startUs - b.startUs);
    for (const slice of own) {
      const ts = since(slice.startUs);
      const dur = Math.max(since(slice.endUs) - ts, tick);
      let lane = lanes.find(({ free }) => free <= ts);
      if (!lane) {
        lane = { name: lanes.length > 0 ? `${track} ${lanes.length + 1}` : track, slices: [], free: 0 };
        lanes.push(lane);
      }
      lane.slices.push({ slice, ts, dur });
      lane.free = ts + dur;
    }
    return lanes;
  });
}

function eventsOf(lane: Lane, place: { pid: number; tid: number }): Event[] {
  const events: Event[] = [
    { ph: "M", ts: 0, ...place, name: "thread_name", args: { name: lane.name } },
    { ph: "M", ts: 0, ...place, name: "thread_sort_index", args: { sort_index: place.tid } },
  ];
  for (const { slice, ts, dur } of lane.slices) {
    const { track, name, message, details } = slice;
    events.push({ ph: "X", ts, dur, ...place, cat: track, name, args: details ?? {} });
    if (message === undefined) continue;
    const flow = { ...place, id: message, cat: "message", name: "message" };
    // It ends in the slice around that moment, which has to be behind its start.
    if (track === "sending") events.push({ ph: "s", ts, ...flow });
    else events.push({ ph: "f", ts: ts + dur / 2, bp: "e", ...flow });
  }
  return events;
}

// The rules of the Trace Event Format that a file must keep for a viewer to show what it says: of each phase the fields it needs, slices of
// a thread that lie apart, flows from slice to slice.

export interface TraceEvent {
  ph: string;
  ts: number;
  pid: number;
  tid?: number;
  name: string;
  cat?: string;
  dur?: number;
  id?: number;
  bp?: string;
  args?: Record<string, unknown>;
}

/** Not uvu's own, whose failures "throws" does not catch. */
function ok(holds: unknown, message: string): asserts holds {
  if (!holds) throw new Error(message);
}

/** What a viewer would show.
 *  @throws when a rule is broken */
export function checkTrace(text: string): { events: TraceEvent[]; threads: Map<number, string> } {
  const { traceEvents: events } = JSON.parse(text) as { traceEvents: TraceEvent[] };
  const threads = new Map<number, string>();
  const processes = new Map<number, string>();
  /** the process of each thread, whose number no other process has */
  const owners = new Map<number, number>();
  let before = 0;
  for (const event of events) {
    const said = JSON.stringify(event);
    ok(["M", "X", "s", "f", "C"].includes(event.ph), said);
    ok(Number.isFinite(event.ts) && event.ts >= before, `not in the order of time: ${said}`);
    before = event.ts;
    ok(Number.isInteger(event.pid) && event.pid > 0 && Number.isInteger(event.tid) && event.name !== "", said);
    // Viewers count in nanoseconds, and cut off the rest.
    ok(Number.isInteger(1000 * event.ts) && Number.isInteger(1000 * (event.dur ?? 0)), `no whole nanoseconds: ${said}`);
    if (event.ph === "M" && event.name === "process_name") processes.set(event.pid, String(event.args?.name));
    if (event.ph === "M" && event.name === "thread_name") {
      ok(!threads.has(event.tid as number), `a thread has two names: ${said}`);
      threads.set(event.tid as number, String(event.args?.name));
      owners.set(event.tid as number, event.pid);
    }
    if (event.ph === "C") ok(Object.values(event.args ?? {}).every(Number.isFinite), said);
  }
  const slices = new Map<number, TraceEvent[]>();
  const starts = new Map<number, TraceEvent>();
  const ends = new Set<number>();
  const around = ({ tid, ts }: TraceEvent) =>
    slices.get(tid as number)?.some((slice) => slice.ts <= ts && ts < slice.ts + (slice.dur as number));
  for (const event of events) {
    const { ph, tid, ts, dur, id } = event;
    const said = JSON.stringify(event);
    if (ph === "M") continue;
    ok(processes.has(event.pid), `a process without a name: ${said}`);
    if (ph === "C") continue;
    ok(owners.get(tid as number) === event.pid, `a thread of no process's, or of another's: ${said}`);
    if (ph === "X") {
      ok(typeof dur === "number" && Number.isFinite(dur) && dur > 0 && typeof event.args === "object", said);
      const own = slices.get(tid as number) ?? [];
      const last = own.at(-1);
      ok(!last || last.ts + (last.dur as number) <= ts, `two slices of a thread overlap: ${said}`);
      slices.set(tid as number, [...own, event]);
    } else {
      ok(Number.isInteger(id), said);
      ok(around(event), `a flow outside of slices: ${said}`);
      if (ph === "s") {
        ok(!starts.has(id as number), `a flow starts twice: ${said}`);
        starts.set(id as number, event);
      } else {
        const start = starts.get(id as number);
        ok(start && start.cat === event.cat && start.name === event.name, `a flow ends that has not started: ${said}`);
        ok(event.bp === "e" && !ends.has(id as number), said);
        ends.add(id as number);
      }
    }
  }
  ok(ends.size === starts.size, "a flow without an end");
  return { events, threads };
}

// Timelines: what a recorder keeps, the text that viewers open, and how much of messages' time is hidden.

import { test } from "uvu";
import { equal, is, ok, throws } from "uvu/assert";
import { chromeTrace } from "../../src/trace/chrome.ts";
import { kernelText } from "../../src/trace/kernel-text.ts";
import { overlap } from "../../src/trace/overlap.ts";
import { Recorder, type Slice, type Timeline } from "../../src/trace/timeline.ts";
import { checkTrace } from "./trace-format.ts";

const textOf = (timeline: Timeline) => [...chromeTrace(timeline, { what: "a test" })].join("");
const slice = (rank: number, track: Slice["track"], [startUs, endUs]: [number, number], message?: number): Slice => ({
  ...{ rank, track, startUs, endUs, message },
  name: `${track} ${startUs}`,
});

/** As of a clock of today. */
const now = 1_795_283_740_083_899;

const timeline: Timeline = {
  slices: [
    slice(1, "computing", [now + 40, now + 50]),
    slice(0, "computing", [now + 10.5, now + 20]),
    slice(0, "computing", [now + 20, now + 31]),
    // Three messages, two of which are under way at the same time, and one of which takes no time.
    ...[slice(0, "sending", [now + 12, now + 42], 1), slice(1, "receiving", [now + 12, now + 42], 1)],
    ...[slice(0, "sending", [now + 30, now + 45], 2), slice(1, "receiving", [now + 30, now + 45], 2)],
    ...[slice(1, "sending", [now + 46, now + 46], 3), slice(0, "receiving", [now + 46, now + 46], 3)],
  ],
  levels: [
    { rank: 0, name: "memory in use", unit: "bytes", atUs: now + 5, value: 1024 },
    { rank: 1, name: "memory in use", unit: "bytes", atUs: now + 60, value: 0 },
  ],
  dropped: 7,
  withinUs: 12.5,
};

test("a timeline's text keeps the format's rules, counts from its earliest event and keeps every duration", () => {
  const { events, threads } = checkTrace(textOf(timeline));
  const shown = events.filter(({ ph }) => ph === "X").map(({ ts, dur, pid, tid }) => [ts, dur, pid, threads.get(tid!)]);
  equal(shown, [
    [5.5, 9.5, 1000, "computing"],
    [7, 30, 1000, "sending"],
    [7, 30, 2000, "receiving"],
    [15, 11, 1000, "computing"],
    [25, 15, 1000, "sending 2"],
    [25, 15, 2000, "receiving 2"],
    [35, 10, 2000, "computing"],
    [41, 0.25, 1000, "receiving"],
    [41, 0.25, 2000, "sending"],
  ]);
  const names = events.filter(({ name }) => name === "process_name").map(({ args }) => args?.name);
  equal(names, ["rank 0", "rank 1"]);
  equal(
    events.filter(({ ph }) => ph === "C").map(({ ts, pid, args }) => [ts, pid, args]),
    [
      [0, 1000, { bytes: 1024 }],
      [55, 2000, { bytes: 0 }],
    ],
  );
  equal(JSON.parse(textOf(timeline)).otherData, { what: "a test", dropped: 7, withinUs: 12.5 });
});

test("each arrow leads from a message's sender to its receiver", () => {
  const { events } = checkTrace(textOf(timeline));
  const flows = (ph: string) => new Map(events.filter((event) => event.ph === ph).map(({ id, pid }) => [id, pid]));
  equal([...flows("s")].sort(), [
    [1, 1000],
    [2, 1000],
    [3, 2000],
  ]);
  equal([...flows("f")].sort(), [
    [1, 2000],
    [2, 2000],
    [3, 1000],
  ]);
});

test("the rules catch a file that breaks them", () => {
  const broken = (change: (text: string) => string, pattern: RegExp) =>
    throws(() => checkTrace(change(textOf(timeline))), pattern);
  broken((text) => text.replace('"ph":"f"', '"ph":"s"'), /starts twice/);
  broken((text) => text.replace('"dur":9.5', '"dur":12'), /overlap/);
  broken((text) => text.replace('"dur":9.5,', ""), /"ph":"X"/);
  broken((text) => text.replace('"ts":7,', '"ts":1000,'), /order/);
  broken((text) => text.replace('"bp":"e","pid":2000', '"bp":"e","pid":9'), /without a name/);
  broken((text) => text.replace("thread_name", "thread_label"), /no process/);
});

test("slices behind each other do not overlap, however their times round", () => {
  const thirds = Array.from({ length: 3000 }, (_, third) =>
    slice(0, "computing", [now + third / 3, now + (third + 1) / 3]),
  );
  const { threads } = checkTrace(textOf({ ...timeline, slices: thirds, levels: [] }));
  // A slice is drawn for a quarter of a microsecond at least, so that some need a second thread.
  ok(threads.size <= 2);
});

test("an empty timeline is a file too", () => {
  equal(checkTrace(textOf({ slices: [], levels: [], dropped: 0, withinUs: 0 })).events, []);
});

test("messages' time is counted once, and hidden where their receiver computes", () => {
  // Rank 1: messages from 12 to 45, computing from 40 to 50. Rank 0: one message that takes no time.
  equal(overlap(timeline.slices), { underWayUs: 33, computingUs: 5 });
  const other = [slice(0, "computing", [0, 10]), slice(0, "computing", [5, 20]), slice(0, "computing", [30, 40])];
  equal(overlap([...other, slice(0, "receiving", [8, 12], 1), slice(0, "receiving", [15, 35], 2)]), {
    underWayUs: 24,
    computingUs: 14,
  });
  equal(overlap(other), { underWayUs: 0, computingUs: 0 });
});

test("a recorder keeps what comes first and counts the rest", () => {
  const recorder = new Recorder({ most: 3 });
  for (let at = 0; at < 4; at++) {
    recorder.slice(slice(0, "computing", [at, at + 1]));
    recorder.level({ rank: 0, name: "memory in use", unit: "bytes", atUs: at, value: at });
  }
  equal([recorder.slices.length, recorder.levels.length, recorder.dropped], [2, 1, 5]);
});

test("a kernel's call in plain words", () => {
  const name = (kernel: string, args: object) => kernelText(kernel, args).name;
  is(name("matmul", { a: {}, m: 768, n: 128, k: 64, batch: 1, transposeA: false }), "matmul 768x128x64");
  is(name("normGradInput", { rows: 96, cols: 128, eps: 1e-5 }), "norm grad input 96x128");
  is(name("copy", { shape: [1, 3, 1, 64], xOffset: 0 }), "copy 3x64");
  is(name("copy", { shape: [1, 1, 1, 1], xOffset: 0 }), "copy");
  is(name("fill", { n: 12, value: 0 }), "fill 12");
  equal(kernelText("matmul", { a: {}, m: 2, accumulate: true, form: "tanh" }).details, {
    m: 2,
    accumulate: "true",
    form: "tanh",
  });
});

test.run();

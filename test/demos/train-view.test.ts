// The Train page's timeline without its picture: how it is packed, what part of it is seen, which slice is where.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { packTimeline } from "../../demos/train/pack.ts";
import { firstFrom, lanesOf, panned, sliceAt, sliceWords, wholeView, zoomed } from "../../demos/train/view.ts";
import type { Slice } from "../../src/parallel.ts";

const message = (rank: number, from: number, to: number, [startUs, endUs]: [number, number]): Slice => ({
  ...{ rank, track: rank === from ? "sending" : "receiving", name: "broadcast", startUs, endUs, message: 1 },
  details: { from: `rank ${from}`, to: `rank ${to}`, bytes: 4096 },
});

/** Two ranks, one step of 100 us that begins at 1000; out of order, as notes come. */
const timeline = packTimeline(
  {
    slices: [
      { rank: 1, track: "computing", name: "matmul", startUs: 1050, endUs: 1090 },
      { rank: 0, track: "computing", name: "norm", startUs: 1030, endUs: 1040 },
      message(1, 0, 1, [1030, 1050]),
      message(0, 0, 1, [1030, 1050]),
      { rank: 0, track: "steps", name: "step 3", startUs: 1000, endUs: 1100 },
      { rank: 1, track: "steps", name: "step 3", startUs: 1000, endUs: 1100 },
      { rank: 0, track: "computing", name: "matmul", startUs: 1000, endUs: 1030 },
    ],
    ...{ levels: [], dropped: 2, withinUs: 0 },
  },
  { from: 3, to: 3 },
);
const lane = (rank: number, track: number) =>
  lanesOf(timeline).find((each) => each.rank === rank && each.track === track)!;

test("slices are columns in the order of rank, track and start, counted from the first; names are kept once", () => {
  assert.is(timeline.spanUs, 100);
  assert.is(timeline.ranks, 2);
  assert.is(timeline.dropped, 2);
  assert.equal([...timeline.rank], [0, 0, 0, 0, 1, 1, 1]);
  assert.equal([...timeline.track], [0, 1, 1, 2, 0, 1, 3]);
  assert.equal([...timeline.startUs], [0, 0, 30, 30, 0, 50, 30]);
  assert.equal([...timeline.peer], [-1, -1, -1, 1, -1, -1, 0]);
  assert.is(timeline.names.length, 4);
});

test("a rank's time is computing, messages where it did not compute, and waiting", () => {
  // Rank 0 computes 40 of 100 us, and sends 10 of its 20 behind that; rank 1 receives 20, computes 40 and waits.
  const about = (got: number, wanted: number) => assert.ok(Math.abs(got - wanted) < 1e-12, `${got}, not ${wanted}`);
  const [first, second] = timeline.shares;
  about(first.computing, 0.4);
  about(first.messages, 0.1);
  about(first.waiting, 0.5);
  about(second.computing, 0.4);
  about(second.messages, 0.2);
  about(second.waiting, 0.4);
});

test("a slice is found where it is, near it, and nowhere else", () => {
  const computing = lane(0, 1);
  const nameAt = (us: number, nearUs = 0) => {
    const index = sliceAt(timeline, computing, { us, nearUs });
    return index < 0 ? undefined : timeline.names[timeline.name[index]];
  };
  assert.is(nameAt(10), "matmul");
  assert.is(nameAt(35), "norm");
  assert.is(nameAt(45), undefined);
  assert.is(nameAt(45, 6), "norm");
  assert.is(firstFrom(timeline, computing, 1), computing.first + 1);
  assert.is(firstFrom(timeline, computing, 31), computing.end);
});

test("a slice is told in a sentence: who, what, with whom, how long, since when", () => {
  const words = { time: (us: number) => `${us} us`, size: (bytes: number) => `${bytes} B` };
  assert.is(
    sliceWords(timeline, lane(0, 2).first, words),
    "Rank 0 sends broadcast to rank 1, 4096 B: 20 us, from 30 us.",
  );
  assert.is(sliceWords(timeline, lane(1, 1).first, words), "Rank 1 computes matmul: 40 us, from 50 us.");
});

test("what is seen is zoomed around a moment that stays where it is, and never leaves the timeline", () => {
  const spanUs = 1000;
  const whole = wholeView({ ...timeline, spanUs });
  const near = zoomed(whole, { factor: 0.1, aroundUs: 250, spanUs });
  assert.equal(near, { fromUs: 225, toUs: 325 });
  assert.equal(zoomed(near, { factor: 100, aroundUs: 250, spanUs }), whole);
  assert.equal(panned(near, 1e6, spanUs), { fromUs: 900, toUs: 1000 });
  assert.equal(panned(near, -1e6, spanUs), { fromUs: 0, toUs: 100 });
  let deepest = whole;
  for (let times = 0; times < 100; times++) deepest = zoomed(deepest, { factor: 0.5, aroundUs: 250, spanUs });
  assert.ok(deepest.toUs - deepest.fromUs > 1 && deepest.fromUs <= 250 && deepest.toUs >= 250);
});

test.run();

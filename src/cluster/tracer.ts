// What a rank notes of its own part of a run, and the timeline that all ranks' notes make together.

import type { Backend } from "../backend/backend.ts";
import { nowUs } from "../backend/clock.ts";
import type { Link } from "../comm/link.ts";
import { type MessageNote, type ReceivedNote, TracedLink } from "../comm/traced-link.ts";
import { kernelText } from "../trace/kernel-text.ts";
import { type Level, Recorder, type Slice, type Timeline } from "../trace/timeline.ts";
import type { TrainControls } from "../train/controls.ts";
import type { TrainEvent } from "../train/events.ts";

/** Both included, counted from 1. */
export interface StepRange {
  from: number;
  to: number;
}

/** What a rank's tracer hands over: plain data. */
export interface RankNotes {
  /** steps and kernels */
  slices: readonly Slice[];
  levels: readonly Level[];
  sent: readonly SentNote[];
  received: readonly ReceivedNote[];
  /** left out, as there were too many */
  dropped: number;
  /** by how much the times of kernels may be off this rank's clock */
  withinUs: number;
}

interface SentNote extends MessageNote {
  /** when the device had done what was asked of it before, and the block was there to be sent */
  readyUs: number;
}

/** Messages that a rank notes in each direction. A step of a small model has 150 on 8 ranks. */
const mostMessages = 50_000;

export class Tracer {
  readonly #rank: number;
  readonly #backend: Backend;
  #link: TracedLink | undefined;
  #active = false;
  #recorder = new Recorder();
  #sent: (MessageNote & { kernelsBefore: number })[] = [];
  #received: ReceivedNote[] = [];
  /** when each kernel ended, in the order of calls */
  #endsUs: number[] = [];
  #kernels = 0;
  #memory = -1;
  #dropped = 0;
  #stepUs = 0;
  #withinUs = 0;
  #ended: Promise<unknown> | undefined;

  constructor({ rank, backend }: { rank: number; backend: Backend }) {
    this.#rank = rank;
    this.#backend = backend;
  }

  /** The rank's link, which tells this tracer of its messages. To be asked for before it is used. */
  around(link: Link): Link {
    this.#link = new TracedLink(link);
    return this.#link;
  }

  /** A training step has ended: a slice from the end of the one before, other ranks' news of it included. */
  step(step: number): void {
    if (!this.#active) return;
    const [startUs, endUs] = [this.#stepUs, nowUs()];
    this.#recorder.slice({ rank: this.#rank, track: "steps", name: `step ${step}`, startUs, endUs });
    this.#stepUs = endUs;
  }

  /** Notes what happens from now on, and that alone. */
  async start(): Promise<void> {
    const rank = this.#rank;
    this.#recorder = new Recorder();
    this.#sent = [];
    this.#received = [];
    this.#endsUs = [];
    this.#kernels = 0;
    this.#memory = -1;
    this.#dropped = 0;
    const withinUs = await this.#backend.trace?.((kernel, args) => {
      const index = this.#kernels++;
      this.#noteMemory();
      return (startUs, endUs) => {
        this.#endsUs[index] = endUs;
        this.#recorder.slice({ rank, track: "computing", startUs, endUs, ...kernelText(kernel, args) });
      };
    });
    this.#withinUs = withinUs ?? 0;
    this.#stepUs = nowUs();
    this.#active = true;
    if (this.#link)
      this.#link.watch = {
        sent: (note) => this.#note(this.#sent, { ...note, kernelsBefore: this.#kernels }),
        received: (note) => this.#note(this.#received, note),
      };
  }

  /** Notes no more. */
  stop(): void {
    if (!this.#active) return;
    this.#active = false;
    if (this.#link) this.#link.watch = undefined;
    this.#noteMemory();
    this.#ended = this.#backend.trace?.(undefined) ?? Promise.resolve();
    // Whoever finishes hears of it.
    this.#ended.catch(() => undefined);
  }

  /** All that was noted: only now are all ranks that share a device through with it. */
  async finish(): Promise<RankNotes> {
    this.stop();
    await this.#ended;
    const { slices, levels, dropped } = this.#recorder;
    const sent = this.#sent.map(({ kernelsBefore, ...note }) => ({
      ...note,
      readyUs: this.#ready(note, kernelsBefore),
    }));
    const withinUs = this.#withinUs;
    return { slices, levels, sent, received: this.#received, dropped: dropped + this.#dropped, withinUs };
  }

  #note<T>(notes: T[], note: T): void {
    if (notes.length < mostMessages) notes.push(note);
    else this.#dropped++;
  }

  #noteMemory(): void {
    const { total } = this.#backend.memory;
    if (total === this.#memory) return;
    this.#memory = total;
    this.#recorder.level({ rank: this.#rank, name: "memory in use", unit: "bytes", atUs: nowUs(), value: total });
  }

  /** A device runs kernels in the order of calls: what was sent is read after those asked for before it. */
  #ready({ askedUs }: MessageNote, kernelsBefore: number): number {
    let before = kernelsBefore - 1;
    // Kernels of no work have no times.
    while (before >= 0 && this.#endsUs[before] === undefined) before--;
    return before < 0 ? askedUs : Math.max(askedUs, this.#endsUs[before]);
  }
}

/** A rank's events, and behind the last step of each trace that controls ask for one with what this rank noted; `take` is given its
 *  notes first. */
export async function* withTimelines(
  events: AsyncIterable<TrainEvent>,
  { tracer, controls, take }: { tracer: Tracer; controls: TrainControls; take?: (notes: RankNotes) => void },
): AsyncGenerator<TrainEvent> {
  let done = 0;
  let asked: number | undefined;
  let range: StepRange | undefined;
  const handOver = async ({ from }: StepRange): Promise<TrainEvent> => {
    const notes = await tracer.finish();
    take?.(notes);
    return { event: "timeline", from, to: done, timeline: timelineOf([notes]) };
  };
  try {
    for await (const event of events) {
      if (event.event === "start") done = event.resumedAt ?? 0;
      if (event.event === "done" && range && done >= range.from) yield await handOver(range);
      yield event;
      // Only now have the other ranks come as far.
      asked = controls.take("trace") ?? asked;
      if (event.event === "step") {
        done = event.step;
        tracer.step(done);
        if (done === range?.to) {
          yield await handOver(range);
          asked = controls.take("trace") ?? asked;
          range = undefined;
        }
      }
      if (asked === undefined || range || event.event === "token") continue;
      range = { from: done + 1, to: done + asked };
      asked = undefined;
      await tracer.start();
    }
  } finally {
    tracer.stop();
  }
}

/** One timeline of the notes of all ranks, in the order of ranks, whose clocks are one. A message is under way from the moment at which its
 *  block was there to be sent to that at which it had come; messages that only one side noted are left out. */
export function timelineOf(notes: readonly RankNotes[]): Timeline {
  const slices = notes.flatMap((each) => each.slices);
  const sent = new Map<string, SentNote[]>();
  for (const note of notes.flatMap((each) => each.sent)) {
    const before = sent.get(note.key);
    if (before) before.push(note);
    else sent.set(note.key, [note]);
  }
  let message = 0;
  for (const note of notes.flatMap((each) => each.received)) {
    const other = sent.get(note.key)?.shift();
    if (!other) continue;
    const { from, to, op, purpose, group, shape, bytes, askedUs, cameUs, takenUs } = note;
    const startUs = other.readyUs;
    // By reference it was there at once.
    const endUs = Math.max(startUs, cameUs ?? startUs);
    const what = {
      startUs,
      endUs,
      message: ++message,
      name: `${op}${shape ? ` [${shape}]` : ""} for ${purpose}, ${group}`,
      details: {
        ...{ from: `rank ${from}`, to: `rank ${to}`, bytes, purpose, group, ...(shape && { shape: `[${shape}]` }) },
        "us its block was waited for": round(startUs - other.askedUs),
        "us its receiver waited": round(Math.max(0, takenUs - askedUs)),
      },
    };
    slices.push({ rank: from, track: "sending", ...what }, { rank: to, track: "receiving", ...what });
  }
  return {
    slices,
    levels: notes.flatMap(({ levels }) => levels),
    dropped: notes.reduce((sum, { dropped }) => sum + dropped, 0),
    withinUs: Math.max(0, ...notes.map(({ withinUs }) => withinUs)),
  };
}

const round = (us: number): number => Math.round(us * 10) / 10;

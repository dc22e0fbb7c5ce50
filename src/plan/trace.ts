// The timeline of a simulated step: what its ranks' ops are called, noted while they are recorded, and when they run, told by the replay.

import { kernelText } from "../trace/kernel-text.ts";
import { type Details, Recorder, type Timeline } from "../trace/timeline.ts";
import { kernelOp, type StepProgram, sendOp } from "./program.ts";
import type { OpWatch } from "./recorder.ts";
import { rankOf, type Watch } from "./replay.ts";

/** Slices and levels of a timeline at most: up to 140 MB of text. A step of 24 blocks has 10,400 of each rank on 4 x 4 x 4. */
const mostEvents = 500_000;

interface OpNote {
  name: string;
  details: Details;
  /** of kernels */
  bytesHeld?: number;
}

/** What the ops of some ranks are. */
export class OpNotes {
  /** of each rank in the order given, by the op's number in its record */
  readonly ofRanks: ReadonlyMap<number, OpNote[]>;

  constructor(ranks: readonly number[]) {
    this.ofRanks = new Map(ranks.map((rank) => [rank, []]));
  }

  /** To be given to recordRanks. */
  readonly watchOf = (rank: number): OpWatch | undefined => {
    const notes = this.ofRanks.get(rank);
    return (
      notes && {
        kernel: (at, { kernel, args, bytesHeld }) => {
          notes[at] = { ...kernelText(kernel, args), bytesHeld };
        },
        message: (at, { call, shape }) => {
          const { op, purpose = "its caller", group } = call;
          const name = `${op}${shape ? ` [${shape}]` : ""} for ${purpose}, ${group}`;
          notes[at] = { name, details: { purpose, group } };
        },
      }
    );
  };
}

/** Follows a replay for those ranks of the notes whose events fit, one after another: all of a rank's or none. */
export class StepTracer {
  /** those it shows */
  readonly ranks: readonly number[];
  readonly watch: Watch;
  readonly #recorder: Recorder;
  readonly #program: StepProgram;
  /** of shown ranks' ops, by their number in the program */
  readonly #notes = new Map<number, OpNote>();
  /** of shown ranks' messages, what sends them */
  readonly #sends = new Map<number, number>();
  readonly #held = new Map<number, number>();

  constructor(program: StepProgram, { notes, most = mostEvents }: { notes: OpNotes; most?: number }) {
    this.#program = program;
    this.#recorder = new Recorder({ most });
    this.ranks = this.#fitting([...notes.ofRanks.keys()], most);
    const { first, kinds, what } = program;
    for (const rank of this.ranks)
      for (const [at, note] of notes.ofRanks.get(rank)?.entries() ?? []) {
        const op = first[rank] + at;
        if (note) this.#notes.set(op, note);
        if (kinds[op] === sendOp) this.#sends.set(what[op], op);
      }
    this.watch = {
      kernel: (op, span) => this.#kernel(op, span),
      message: (message, span) => this.#message(message, span),
    };
  }

  /** After a replay of that many seconds. */
  timeline(seconds: number): Timeline {
    for (const rank of this.ranks)
      this.#recorder.slice({ rank, track: "steps", name: "step 1", startUs: 0, endUs: 1e6 * seconds });
    return this.#recorder;
  }

  #fitting(ranks: readonly number[], most: number): number[] {
    const { first, kinds } = this.#program;
    let events = 0;
    const beyond = ranks.findIndex((rank) => {
      // One for the step; at most a slice and a level for each kernel, a slice for each end of a message.
      events++;
      for (let op = first[rank]; op < first[rank + 1]; op++) events += kinds[op] === kernelOp ? 2 : 1;
      return events > most;
    });
    return ranks.slice(0, beyond < 0 ? ranks.length : beyond);
  }

  #kernel(op: number, { start, end }: { start: number; end: number }): void {
    const note = this.#notes.get(op);
    if (!note) return;
    const rank = rankOf(op, this.#program);
    const { name, details, bytesHeld } = note;
    this.#recorder.slice({ rank, track: "computing", name, startUs: 1e6 * start, endUs: 1e6 * end, details });
    if (bytesHeld === undefined || this.#held.get(rank) === bytesHeld) return;
    this.#held.set(rank, bytesHeld);
    this.#recorder.level({ rank, name: "memory in use", unit: "bytes", atUs: 1e6 * start, value: bytesHeld });
  }

  #message(message: number, { start, end }: { start: number; end: number }): void {
    const { messages } = this.#program;
    const [from, to, bytes] = [messages.from[message], messages.to[message], messages.bytes[message]];
    const sent = this.#notes.get(this.#sends.get(message) ?? -1);
    const received = this.#notes.get(messages.receive[message]);
    const note = sent ?? received;
    if (!note) return;
    const what = {
      ...{ name: note.name, startUs: 1e6 * start, endUs: 1e6 * end },
      details: { from: `rank ${from}`, to: `rank ${to}`, bytes, ...note.details },
      // With one of its ends alone there is nothing to draw a line to.
      ...(sent && received && { message: message + 1 }),
    };
    if (sent) this.#recorder.slice({ rank: from, track: "sending", ...what });
    if (received) this.#recorder.slice({ rank: to, track: "receiving", ...what });
  }
}

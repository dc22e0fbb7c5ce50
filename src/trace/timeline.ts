// What ranks did when: plain data, measured or modelled. Knows no clock, no rank's program and no file.

/** A rank's lanes: the steps it takes, what its device computes, and each direction of its port. */
export const tracks = ["steps", "computing", "sending", "receiving"] as const;
export type Track = (typeof tracks)[number];

export type Details = Readonly<Record<string, string | number>>;

/** From one moment to another, in microseconds of one clock for all ranks. */
export interface Slice {
  rank: number;
  track: Track;
  /** in plain words, e.g. "matmul 768x128x128" */
  name: string;
  startUs: number;
  endUs: number;
  /** The message's number where one is sent or received: the same on both sides, and no other's. */
  message?: number;
  details?: Details;
}

/** What something amounts to from that moment on. */
export interface Level {
  rank: number;
  /** of what, e.g. "memory in use" */
  name: string;
  unit: string;
  atUs: number;
  value: number;
}

export interface Timeline {
  readonly slices: readonly Slice[];
  readonly levels: readonly Level[];
  /** left out, as there were too many */
  readonly dropped: number;
  /** by how much the times of one track may be off another's */
  readonly withinUs: number;
}

/** Slices and levels that a recorder keeps. A step of a small model has 700 on each of four ranks; as text one takes 280 bytes. */
const mostEvents = 100_000;

/** Keeps what comes first, and counts the rest. */
export class Recorder implements Timeline {
  readonly slices: Slice[] = [];
  readonly levels: Level[] = [];
  dropped = 0;
  readonly withinUs = 0;
  readonly #most: number;

  constructor({ most = mostEvents }: { most?: number } = {}) {
    this.#most = most;
  }

  slice(slice: Slice): void {
    if (this.#room()) this.slices.push(slice);
  }

  level(level: Level): void {
    if (this.#room()) this.levels.push(level);
  }

  #room(): boolean {
    if (this.slices.length + this.levels.length < this.#most) return true;
    this.dropped++;
    return false;
  }
}

// How far a simulation is, for those who wait for it.

export interface SimulationProgress {
  /** recording: ranks make their step; matching: sends find their receives; replaying: ops get their times */
  readonly doing: "recording" | "matching" | "replaying";
  /** of ranks, messages or ops */
  readonly done: number;
  readonly all: number;
}

/** Told at least some times a second, at no cost to speak of. Between two ranks a promise is waited for, so that events may come through;
 *  elsewhere what it returns is ignored. */
export type TellProgress = (progress: SimulationProgress) => void | Promise<void>;

// How far a simulation is, for those who wait for it.

export interface SimulationProgress {
  /** recording: ranks make their step; matching: sends find their receives; replaying: ops get their times */
  readonly doing: "recording" | "matching" | "replaying";
  /** of ranks, messages or ops */
  readonly done: number;
  readonly all: number;
  /** of recording: kernels that the rank under way has asked for, where they are many */
  readonly kernels?: number;
}

/** Ops, or messages, between two times that progress is told of: some hundredths of a second. */
export const tellEvery = 2 ** 16;

/** Told at least some times a second, at no cost to speak of. Between two ranks a promise is waited for, so that events may come through;
 *  elsewhere what it returns is ignored. */
export type TellProgress = (progress: SimulationProgress) => void | Promise<void>;

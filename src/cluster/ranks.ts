// Where ranks run: in this process on one device, or (workers.ts) each in a worker with a device of its own.

import type { Backend } from "../backend/backend.ts";
import { runRanks } from "../comm/loopback.ts";
import { type ProgramName, type ProgramOptions, type ProgramResult, programs } from "./programs.ts";
import type { RankProgram, Reply } from "./rank.ts";

/** One program on many ranks. */
export interface Run<O> {
  size: number;
  /** plain data: it may cross to another thread */
  options: O;
  /** how long a rank may wait for another before the run is given up */
  timeoutMs?: number;
  take?: (rank: number, item: unknown) => Promise<Reply>;
}

export interface Ranks {
  readonly link: "loopback" | "worker" | "webrtc";
  /** Runs one of the engine's programs, or a module's (its absolute URL); the results in the order of ranks.
   *  @throws what a rank threw; CommunicationError when one is lost or falls silent */
  run<N extends ProgramName>(program: N, run: Run<ProgramOptions<N>>): Promise<ProgramResult<N>[]>;
  run(program: URL, run: Run<unknown>): Promise<unknown[]>;
}

/** Where nobody listens. */
export const heard: Reply = { goOn: true, aborted: false };

/** The program of that name or module. */
export async function programOf(program: string | URL): Promise<RankProgram> {
  if (typeof program === "string" && Object.hasOwn(programs, program))
    return programs[program as ProgramName] as RankProgram;
  const url = String(program);
  const module = (await import(/* @vite-ignore */ url)) as { default?: unknown };
  if (typeof module.default !== "function")
    throw new TypeError(
      `${url}: got no default export that is a function; need export default async (context, options) => ...`,
    );
  return module.default as RankProgram;
}

/** Ranks in this process, on one device, which they share. */
export function loopbackRanks(backend: Backend): Ranks {
  const run = async (name: string | URL, { size, options, timeoutMs, take }: Run<unknown>): Promise<unknown[]> => {
    const program = await programOf(name);
    return runRanks({ size, backend, timeoutMs }, ({ link, backend: own }) =>
      program({ link, backend: own, tell: async (item) => (await take?.(link.rank, item)) ?? heard }, options),
    );
  };
  return { link: "loopback", run: run as Ranks["run"] };
}

/** Ranks that share a device of this process, or ranks that have their own. */
export type Where = { backend: Backend; ranks?: undefined } | { ranks: Ranks; backend?: undefined };

export const ranksOf = ({ ranks, backend }: Where): Ranks => ranks ?? loopbackRanks(backend);

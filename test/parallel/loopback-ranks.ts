// What the tests of ranks in one process share: programs with a group of all ranks at hand, and runs that must fail.

import { equal, instance, is, match } from "uvu/assert";
import type { SharedBackend } from "../../src/backend/share.ts";
import { CommunicationError } from "../../src/comm/link.ts";
import { type Rank, runRanks } from "../../src/comm/loopback.ts";
import { ProcessGroup } from "../../src/comm/process-group.ts";
import { constant, type Shape, type Tensor } from "../../src/tensor/tensor.ts";
import { backendUnderTest } from "../gpu/harness.ts";

export const purpose = "test";
export const turn = () => new Promise((resolve) => setTimeout(resolve, 5));

export interface Member {
  rank: number;
  group: ProcessGroup;
  backend: SharedBackend;
  tensor(shape: Shape): Tensor;
}

export const memberOf = ({ link, backend }: Rank): Member => ({
  ...{ rank: link.rank, backend },
  group: new ProcessGroup({ name: "world", ranks: Array.from({ length: link.size }, (_, rank) => rank), link }),
  tensor: (shape) => constant(backend, { shape, purpose: "weights" }),
});

/** What a run that must fail rejects with, and what each rank's program threw; undefined where it ended, or never did.
 *  Nothing is disposed in these programs: the run must free it. */
export async function failuresOf(size: number, program: (member: Member) => Promise<unknown>) {
  const backend = await backendUnderTest();
  const errors: unknown[] = new Array(size).fill(undefined);
  const accounts: SharedBackend["memory"][] = [];
  let outcome: unknown = "the run succeeded";
  try {
    await runRanks({ size, backend, timeoutMs: 200 }, async (rank) => {
      accounts.push(rank.backend.memory);
      try {
        await program(memberOf(rank));
      } catch (error) {
        errors[rank.link.rank] = error;
        throw error;
      }
    });
  } catch (error) {
    outcome = error;
  }
  is(backend.memory.total, 0, "bytes left on the device");
  equal(
    accounts.map(({ total }) => total),
    accounts.map(() => 0),
    "bytes left on ranks",
  );
  return { outcome, errors };
}

/** Every rank that is told fails with the same CommunicationError, about `rank` and saying `says`, and so does the run. */
export async function checkAllFail(options: {
  size: number;
  program: (member: Member) => Promise<unknown>;
  rank: number;
  says: RegExp;
  told?: number[];
}): Promise<void> {
  const { size, program, rank, says, told } = options;
  const { outcome, errors } = await failuresOf(size, program);
  instance(outcome, CommunicationError, String(outcome));
  match((outcome as Error).message, says);
  is((outcome as CommunicationError).rank, rank, (outcome as Error).message);
  for (const [at, error] of errors.entries())
    is(error, (told ?? [...errors.keys()]).includes(at) ? outcome : undefined, `what rank ${at} threw`);
}

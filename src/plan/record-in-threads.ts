// Ranks' steps shared out over threads of Node, since no rank waits for another. Loaded where there are such threads alone.

import type { Worker } from "node:worker_threads";
import { UserError } from "../backend/errors.ts";
import { type KernelWork, kernelOp } from "./program.ts";
import type { RecordedRank, StepToRecord } from "./record-step.ts";
import source from "./record-thread.script";
import type { RecordAnswer, RecordRequest } from "./record-thread.ts";
import type { Works } from "./recorder.ts";

/** As many as the machine runs at once. Several steps may be asked for at a time: each thread takes one after another. */
export class RecordThreads {
  readonly #threads: readonly RecordThread[];

  private constructor(threads: readonly RecordThread[]) {
    this.#threads = threads;
  }

  static async open(): Promise<RecordThreads> {
    const [{ availableParallelism }, { Worker }] = await Promise.all([
      import("node:os"),
      import("node:worker_threads"),
    ]);
    // A rank's step makes some hundred thousand short-lived objects: a fifth of the time went to collecting them.
    const resourceLimits = { maxYoungGenerationSizeMb: 128 };
    const options = { eval: true, stdin: false, name: "shardgrad simulation", resourceLimits };
    return new RecordThreads(
      Array.from({ length: availableParallelism() }, () => new RecordThread(new Worker(source, options))),
    );
  }

  /** Of some ranks, in their order. progress: told after each, with how many there are by then
   *  @throws UserError when the step is refused */
  async record(
    step: StepToRecord,
    { ranks, works, progress }: { ranks: readonly number[]; works: Works; progress: (done: number) => void },
  ): Promise<RecordedRank[]> {
    const found = new Map<number, RecordedRank>();
    const count = this.#threads.length;
    await Promise.all(
      this.#threads.map(async (thread, i) => {
        const own = ranks.filter((_, place) => place % count === i);
        if (own.length === 0) return;
        const all = await thread.record({ step, ranks: own }, (rank, recorded) => {
          found.set(rank, recorded);
          progress(found.size);
        });
        const index = all.map((work) => works.add(work));
        for (const rank of own) renumber(found.get(rank)!.record, index);
      }),
    );
    return ranks.map((rank) => found.get(rank)!);
  }

  async close(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.close()));
  }
}

interface Asked {
  take(rank: number, recorded: RecordedRank): void;
  resolve(works: readonly KernelWork[]): void;
  reject(error: Error): void;
}

class RecordThread {
  readonly #worker: Worker;
  /** answers come in the order of requests */
  readonly #asked: Asked[] = [];

  constructor(worker: Worker) {
    this.#worker = worker;
    const fail = (error: Error) => {
      for (const { reject } of this.#asked.splice(0)) reject(error);
    };
    worker.on("error", fail);
    worker.on("exit", (code) => fail(new Error(`a simulation's thread ended with code ${code}`)));
    worker.on("message", (answer: RecordAnswer) => {
      if ("rank" in answer) this.#asked[0].take(answer.rank, answer.recorded);
      else if ("refused" in answer) this.#asked.shift()?.reject(new UserError(answer.refused));
      else this.#asked.shift()?.resolve(answer.works);
    });
  }

  record(request: RecordRequest, take: Asked["take"]): Promise<readonly KernelWork[]> {
    return new Promise((resolve, reject) => {
      this.#asked.push({ take, resolve, reject });
      this.#worker.postMessage(request);
    });
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }
}

/** Kernels by their place among all threads' works. */
function renumber({ kinds, what }: RecordedRank["record"], index: readonly number[]): void {
  for (let op = 0; op < kinds.length; op++) if (kinds[op] === kernelOp) what[op] = index[what[op]];
}

// Ranks in workers, each with a device of its own, in a page or in Node: started here, joined by ports, ended together.

import { type Endpoint, proxy, type Remote, releaseProxy, transfer, wrap } from "comlink";
import { dawnSpecifier } from "../backend/dawn.ts";
import { inNode } from "../backend/node.ts";
import { type BackendChoice, resolveBackend } from "../backend/select.ts";
import { rethrown } from "./errors.ts";
import type { RankStart, RankWorker } from "./rank-worker.ts";
import { heard, type Ranks, type Run } from "./ranks.ts";

export interface WorkerOptions {
  /** of every rank: `auto` chooses once for all of them */
  backend?: BackendChoice;
  /** each rank's, of the cpu backend: one by default */
  threads?: number;
}

/** A started worker. */
interface RankThread {
  api: Remote<RankWorker>;
  end(): void;
}

/** How long ranks may take to end once one has failed: longer than any kernel, shorter than anyone's patience. */
const noticeMs = 1000;

/** Ranks in workers of this page or process. */
export function workerRanks({ backend = "auto", threads = 1 }: WorkerOptions = {}): Ranks {
  const run = async (program: string | URL, run: Run<unknown>): Promise<unknown[]> => {
    const { size, options, timeoutMs, take } = run;
    const workers: (RankThread | undefined)[] = [];
    const { backend: name } = await resolveBackend(backend);
    const dawn = dawnSpecifier();
    const lose = (rank: number, reason: string) => {
      for (const [other, worker] of workers.entries()) if (other !== rank) void worker?.api.lose(rank, reason);
    };
    try {
      const ports = allPorts(size);
      const starter = proxy({ take: async (rank: number, item: unknown) => (await take?.(rank, item)) ?? heard });
      const results = Array.from({ length: size }, async (_, rank) => {
        const { promise: gone, reject } = rejection();
        const worker = await startWorker(rank, (reason) => {
          lose(rank, reason);
          reject(new Error(`the worker of rank ${rank} ended: ${reason}`));
        });
        workers[rank] = worker;
        const start: RankStart = {
          ...{ rank, ports: ports[rank], program: String(program), isModule: program instanceof URL },
          ...{ options, backend: name, threads, timeoutMs, dawn },
        };
        const mine = ports[rank].filter((port) => port !== undefined);
        const answer = await Promise.race([worker.api.run(transfer(start, mine), starter), gone]);
        if ("thrown" in answer) throw rethrown(answer.thrown);
        return answer.result;
      });
      const failed: Error[] = [];
      const settled = results.map((result) => result.catch((error: Error) => void failed.push(error)));
      try {
        return await Promise.all(results);
      } catch {
        // The others have been told: they say why they end, unless their programs never look.
        await Promise.race([Promise.all(settled), new Promise((resolve) => setTimeout(resolve, noticeMs))]);
        // What a rank threw by itself, rather than that another failed.
        throw failed.find(({ name }) => name !== "CommunicationError") ?? failed[0];
      }
    } finally {
      for (const worker of workers) worker?.end();
    }
  };
  return { link: "worker", run: run as Ranks["run"] };
}

/** A port for each rank to each other one: [rank][other]. */
function allPorts(size: number): (MessagePort | undefined)[][] {
  const ports = Array.from({ length: size }, () => new Array<MessagePort | undefined>(size).fill(undefined));
  for (let a = 0; a < size; a++)
    for (let b = a + 1; b < size; b++) {
      const { port1, port2 } = new MessageChannel();
      ports[a][b] = port1;
      ports[b][a] = port2;
    }
  return ports;
}

function rejection(): { promise: Promise<never>; reject: (error: Error) => void } {
  let reject!: (error: Error) => void;
  const promise = new Promise<never>((_, no) => {
    reject = no;
  });
  promise.catch(() => undefined);
  return { promise, reject };
}

/** lost: told once when the worker ends by itself */
async function startWorker(rank: number, lost: (reason: string) => void): Promise<RankThread> {
  const { default: source } = await import("./rank-worker.script");
  const name = `shardgrad rank ${rank}`;
  if (inNode()) {
    const [{ Worker: NodeWorker }, { default: nodeEndpoint }] = await Promise.all([
      import("node:worker_threads"),
      import("comlink/dist/esm/node-adapter.mjs"),
    ]);
    const worker = new NodeWorker(source, { eval: true, name });
    worker.on("error", (error: Error) => lost(error.message));
    worker.on("exit", (code) => lost(`its thread ended with ${code}`));
    const api = wrap<RankWorker>(nodeEndpoint(worker));
    return {
      api,
      end: () => {
        worker.removeAllListeners("exit");
        api[releaseProxy]();
        void worker.terminate();
      },
    };
  }
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const worker = new Worker(url, { name });
  worker.addEventListener("error", ({ message }) => lost(message || "its script failed"));
  const api = wrap<RankWorker>(worker as Endpoint);
  return {
    api,
    end: () => {
      api[releaseProxy]();
      worker.terminate();
      URL.revokeObjectURL(url);
    },
  };
}

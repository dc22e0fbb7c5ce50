// Ranks in workers, each with a device of its own, in a page or in Node: started here, joined by ports, ended together.

import { type Endpoint, proxy, type Remote, releaseProxy, transfer, wrap } from "comlink";
import { dawnSpecifier } from "../backend/dawn.ts";
import { deferred } from "../backend/deferred.ts";
import { UserError } from "../backend/errors.ts";
import { type BackendChoice, resolveBackend } from "../backend/select.ts";
import { startScript } from "../backend/worker.ts";
import type { IceOptions } from "../comm/ice.ts";
import { ringPair, ringsWork } from "../comm/ring-channel.ts";
import { rethrown } from "./errors.ts";
import type { Pipe, RankStart, RankWorker } from "./rank-worker.ts";
import { heard, type Ranks, type Run } from "./ranks.ts";
import { type WebRtcPipes, webrtcPipes } from "./webrtc-pipes.ts";

/** STUN and TURN servers are for `link: "webrtc"`. */
export interface WorkerOptions extends IceOptions {
  /** of every rank: `auto` chooses once for all of them */
  backend?: BackendChoice;
  /** each rank's, of the cpu backend: one by default */
  threads?: number;
  /** How messages cross between workers: over MessagePorts (the default), or through rings in shared memory, which take as long for short
   *  messages and longer for others, as they copy what ports hand over. */
  channels?: "rings" | "ports";
  /** how ranks are joined: "webrtc" takes data channels between all of them, as ranks of different machines would */
  link?: "worker" | "webrtc";
}

/** A started worker. */
interface RankThread {
  api: Remote<RankWorker>;
  end(): void;
}

/** How long ranks may take to end once one has failed: longer than any kernel, shorter than anyone's patience. */
const noticeMs = 1000;

/** Ranks in workers of this page or process. */
export function workerRanks({
  backend = "auto",
  threads = 1,
  channels = "ports",
  link = "worker",
  iceServers,
  iceTransportPolicy,
}: WorkerOptions = {}): Ranks {
  const run = async (program: string | URL, run: Run<unknown>): Promise<unknown[]> => {
    const { size, options, timeoutMs, take } = run;
    if (channels === "rings" && !ringsWork())
      throw new UserError(
        "rings between workers need shared memory, which this page has only if it is cross-origin isolated (COOP and COEP headers); take ports",
      );
    const workers: (RankThread | undefined)[] = [];
    let webrtc: WebRtcPipes | undefined;
    const name = backend === "meta" ? backend : (await resolveBackend(backend)).backend;
    const dawn = dawnSpecifier();
    const lose = (rank: number, reason: string) => {
      for (const [other, worker] of workers.entries()) if (other !== rank) void worker?.api.lose(rank, reason);
    };
    try {
      webrtc = link === "webrtc" ? await webrtcPipes({ size, iceServers, iceTransportPolicy }) : undefined;
      const pipes: (Pipe | undefined)[][] = webrtc?.pipes ?? allPipes(size, channels === "rings" ? ringPair : portPair);
      let first: { rank: number; adapter: string } | undefined;
      const starter = proxy({
        async opened(rank: number, adapter: string) {
          first ??= { rank, adapter };
          // The cpu backend falls back to plain loops where WebAssembly's memory cannot be had: other kernels, other bits.
          if (adapter !== first.adapter)
            throw new Error(
              `rank ${rank} computes on ${adapter}, rank ${first.rank} on ${first.adapter}: this machine has not enough of the one for all; use fewer ranks`,
            );
        },
        take: async (rank: number, item: unknown) => (await take?.(rank, item)) ?? heard,
      });
      const results = Array.from({ length: size }, async (_, rank) => {
        const { promise: gone, reject } = deferred<never>();
        gone.catch(() => undefined);
        const worker = await startWorker(rank, (reason) => {
          lose(rank, reason);
          reject(new Error(`the worker of rank ${rank} ended: ${reason}`));
        });
        workers[rank] = worker;
        const start: RankStart = {
          ...{ rank, pipes: pipes[rank], program: String(program), isModule: program instanceof URL },
          ...{ options, backend: name, threads, timeoutMs, dawn, overWebRtc: webrtc !== undefined },
        };
        const mine = pipes[rank].filter((pipe) => pipe instanceof MessagePort);
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
      webrtc?.close();
    }
  };
  return { link, run: run as Ranks["run"] };
}

/** A pipe's end for each rank to each other one: [rank][other]. */
function allPipes(size: number, pair: () => readonly [Pipe, Pipe]): (Pipe | undefined)[][] {
  const pipes = Array.from({ length: size }, () => new Array<Pipe | undefined>(size).fill(undefined));
  for (let a = 0; a < size; a++) for (let b = a + 1; b < size; b++) [pipes[a][b], pipes[b][a]] = pair();
  return pipes;
}

function portPair(): [MessagePort, MessagePort] {
  const { port1, port2 } = new MessageChannel();
  return [port1, port2];
}

/** lost: told once when the worker ends by itself */
async function startWorker(rank: number, lost: (reason: string) => void): Promise<RankThread> {
  const { default: source } = await import("./rank-worker.script");
  const { node, page, end } = await startScript(source, { name: `shardgrad rank ${rank}`, lost });
  const endpoint = node ? (await import("comlink/dist/esm/node-adapter.mjs")).default(node) : (page as Endpoint);
  const api = wrap<RankWorker>(endpoint);
  return {
    api,
    end: () => {
      api[releaseProxy]();
      end();
    },
  };
}

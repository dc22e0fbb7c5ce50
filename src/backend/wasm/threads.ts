// Starts threads for the cpu backend, in a page or in Node: who computes never is the thread that asks.

import { inNode } from "../node.ts";
import type { Answer, Request, Start } from "./messages.ts";
import source from "./thread.script";

/** A started thread. */
export interface Thread {
  post(message: Start | Request, transfer: readonly ArrayBuffer[]): void;
  /** Whether an unfinished answer keeps the process alive; nothing in a page. */
  hold(busy: boolean): void;
  end(): void;
}

export interface Listener {
  answer(answer: Answer): void;
  /** the thread is no more */
  lost(message: string): void;
}

/** @throws Error where threads cannot be started */
export async function startThread({ answer, lost }: Listener): Promise<Thread> {
  if (inNode()) {
    const { Worker: NodeWorker } = await import("node:worker_threads");
    // Not standard input and output: a process may end while its threads sleep.
    const worker = new NodeWorker(source, { eval: true, stdin: false, name: "shardgrad compute" });
    worker.unref();
    worker.on("message", answer);
    worker.on("error", (error: Error) => lost(error.message));
    return {
      post: (message, transfer) => worker.postMessage(message, transfer),
      hold: (busy) => (busy ? worker.ref() : worker.unref()),
      end: () => void worker.terminate(),
    };
  }
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const worker = new Worker(url, { name: "shardgrad compute" });
  worker.addEventListener("message", ({ data }) => answer(data as Answer));
  worker.addEventListener("error", ({ message }) => lost(message || "its script could not be loaded"));
  return {
    post: (message, transfer) => worker.postMessage(message, [...transfer]),
    hold: () => {},
    end: () => {
      worker.terminate();
      URL.revokeObjectURL(url);
    },
  };
}

/** How many threads are worth having. */
export async function hardwareThreads(): Promise<number> {
  if (!inNode()) return globalThis.navigator?.hardwareConcurrency ?? 1;
  const { availableParallelism } = await import("node:os");
  return availableParallelism();
}

// Starts threads for the cpu backend, in a page or in Node: who computes never is the thread that asks.

import { inNode } from "../node.ts";
import { startScript } from "../worker.ts";
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
  const { node, page, end } = await startScript(source, { name: "shardgrad compute", lost });
  if (node) {
    node.unref();
    node.on("message", answer);
    const hold = (busy: boolean) => (busy ? node.ref() : node.unref());
    return { post: (message, transfer) => node.postMessage(message, transfer), hold, end };
  }
  page.addEventListener("message", ({ data }) => answer(data as Answer));
  return { post: (message, transfer) => page.postMessage(message, [...transfer]), hold: () => {}, end };
}

/** How many threads are worth having. */
export async function hardwareThreads(): Promise<number> {
  if (!inNode()) return globalThis.navigator?.hardwareConcurrency ?? 1;
  const { availableParallelism } = await import("node:os");
  return availableParallelism();
}

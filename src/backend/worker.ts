// A script of this library in a thread of its own: a worker of a page, or a worker thread of Node. It is a text without imports, since a
// bundle of the user's has no file of ours to point at.

import type { Worker as NodeWorker } from "node:worker_threads";
import { inNode } from "./node.ts";

/** A started one, of one kind or the other. */
export type ScriptWorker = { end(): void } & (
  | { node: NodeWorker; page?: undefined }
  | { node?: undefined; page: Worker }
);

/** @param options.lost told once when it ends by itself, and why
 *  @throws Error where threads cannot be started */
export async function startScript(
  source: string,
  { name, lost }: { name: string; lost: (reason: string) => void },
): Promise<ScriptWorker> {
  if (inNode()) {
    const { Worker: NodeWorker } = await import("node:worker_threads");
    // Not standard input: a process may end while its threads sleep.
    const node = new NodeWorker(source, { eval: true, stdin: false, name });
    const exited = (code: number) => lost(`its thread ended with ${code}`);
    node.on("exit", exited);
    node.on("error", (error: Error) => {
      node.off("exit", exited);
      lost(error.message);
    });
    const end = () => {
      node.off("exit", exited);
      void node.terminate();
    };
    return { node, end };
  }
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const page = new Worker(url, { name });
  page.addEventListener("error", (event) => {
    // It is told: to the thread that started this one it is no error of its own.
    event.preventDefault();
    lost(event.message || "its script could not be loaded");
  });
  const end = () => {
    page.terminate();
    URL.revokeObjectURL(url);
  };
  return { page, end };
}

// One thread of the cpu backend: the first runs passes as they are asked for, the others join it. A module worker of a page or a
// worker thread of Node; bundled into a text of its own.

import { Crew, heapAt, type PassFunction } from "./control.ts";
import type { Answer, Request, Start } from "./messages.ts";

interface Port {
  postMessage(message: Answer, transfer?: readonly ArrayBuffer[]): void;
  listen(take: (message: unknown) => void): void;
}

function openPort(): Port {
  if (typeof globalThis.process?.versions?.node === "string") {
    const { parentPort } = require("node:worker_threads") as typeof import("node:worker_threads");
    return {
      postMessage: (message, transfer) => parentPort?.postMessage(message, transfer ?? []),
      listen: (take) => parentPort?.on("message", take),
    };
  }
  const scope = globalThis as unknown as Worker;
  return {
    postMessage: (message, transfer) => scope.postMessage(message, [...(transfer ?? [])]),
    listen: (take) => scope.addEventListener("message", ({ data }) => take(data)),
  };
}

const port = openPort();
let leader: Crew | undefined;
let failed = false;

function start({ module, memory: shared, thread, threads, passes }: Start): void {
  const pages = Math.ceil(heapAt(threads) / 65536);
  const memory = shared ?? new WebAssembly.Memory({ initial: pages, maximum: 65536 });
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  const functions = passes.map((name) => exports[name] as PassFunction);
  const crew = new Crew(functions, memory, thread, threads);
  port.postMessage({ did: "start" });
  if (thread > 0) crew.join();
  leader = crew;
}

function take(message: Request): void {
  if (failed || !leader) return;
  const crew = leader;
  const { memory } = crew;
  try {
    switch (message.do) {
      case "run":
        crew.runAll(message.records);
        return;
      case "write":
        new Uint8Array(memory.buffer, message.at, message.data.length).set(message.data);
        return;
      case "read": {
        // A copy, and never one that is shared.
        const data = new Uint8Array(message.bytes);
        data.set(new Uint8Array(memory.buffer, message.at, message.bytes));
        port.postMessage({ did: "read", id: message.id, data }, [data.buffer]);
        return;
      }
      case "grow":
        crew.grow(message.pages);
        return;
    }
  } catch (error) {
    failed = true;
    port.postMessage({
      did: "fail",
      error: message.do === "grow" ? "memory" : "pass",
      message: error instanceof Error ? error.message : String(error),
    });
  }
}

port.listen((message) => {
  if (leader) take(message as Request);
  else start(message as Start);
});

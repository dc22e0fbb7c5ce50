// One thread of the cpu backend: the first runs passes as they are asked for, the others join it. A module worker of a page or a
// worker thread of Node; bundled into a text of its own.

import { Crew, heapAt, type PassFunction, recordHead } from "./control.ts";
import type { Answer, Request, Start } from "./messages.ts";
import { commands, RingReader } from "./ring.ts";

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
/** where memory is shared */
let ring: RingReader | undefined;
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
  ring = shared && new RingReader(shared);
}

/** Obeys what is in the ring until a message comes first. */
function follow(crew: Crew, queue: RingReader): void {
  for (let at = queue.next(); at !== undefined; at = queue.next()) {
    const { numbers } = crew;
    const [what, a, b] = [numbers[at], numbers[at + 1], numbers[at + 2]];
    if (what >= 0) crew.run(at);
    else if (what === commands.copyIn) bytesAt(crew, a, b).set(bytesAt(crew, 8 * (at + recordHead), b));
    else bytesAt(crew, numbers[at + recordHead], b).set(bytesAt(crew, a, b));
    const byMessage = what === commands.copy && numbers[at + recordHead + 1] === 1;
    queue.finish(at);
    if (byMessage) port.postMessage({ did: "copy" });
    else if (what === commands.copy) queue.tell();
  }
}

function obey(message: Request, crew: Crew): void {
  if (message.do === "run") crew.runAll(message.records);
  else if (message.do === "write") bytesAt(crew, message.at, message.data.length).set(message.data);
  else if (message.do === "read") {
    const { id, at, bytes, room, data } = message;
    data.set(bytesAt(crew, at, bytes), room);
    port.postMessage({ did: "read", id, data }, [data.buffer]);
  } else if (message.do === "times") {
    const times = Float64Array.from(crew.times ?? []);
    crew.times = message.on ? [] : undefined;
    port.postMessage({ did: "times", times }, [times.buffer]);
  } else crew.grow(message.pages);
}

const bytesAt = ({ memory }: Crew, at: number, bytes: number) => new Uint8Array(memory.buffer, at, bytes);

/** What one message has the first thread do. */
function take(work: () => void, error: "memory" | "pass"): void {
  try {
    work();
    if (leader && ring) follow(leader, ring);
  } catch (reason) {
    failed = true;
    port.postMessage({ did: "fail", error, message: reason instanceof Error ? reason.message : String(reason) });
  }
}

port.listen((message) => {
  const crew = leader;
  if (failed) return;
  if (!crew) {
    start(message as Start);
    take(() => {}, "pass");
    return;
  }
  const request = message as Request;
  take(
    () => {
      obey(request, crew);
      ring?.finishMessage();
    },
    request.do === "grow" ? "memory" : "pass",
  );
});

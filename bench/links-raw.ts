// What links are measured by, in a worker, without devices: as many bytes over a bare port, and copied in memory. A transfer moves nothing,
// whatever its size; so that it moves data, the sender fills a new array and the receiver copies it out.

import { expose } from "comlink";
import nodeEndpoint from "comlink/dist/esm/node-adapter.mjs";
import type { Case } from "./links-case.ts";

let port: MessagePort;
let group = 1;
/** More than caches hold: a tensor on its way comes from another core, or from long ago. */
const farBytes = 64 << 20;
const [source, sink] = [7, 1].map((value) => new Uint8Array(farBytes).fill(value));
let place = 0;
let received = 0;
let answers = 0;
let answered = () => {};

/** The next so many bytes of it. */
function part(of: Uint8Array, bytes: number): Uint8Array {
  place = place + bytes > farBytes ? 0 : place;
  const at = place;
  place += bytes;
  return of.subarray(at, at + bytes);
}

/** A message, or the answer to a group of them. */
function take({ data }: MessageEvent<Uint8Array<ArrayBuffer> | "answer">): void {
  if (data === "answer") {
    answers++;
    answered();
    return;
  }
  part(sink, data.length).set(data);
  if (++received % group === 0) port.postMessage("answer");
}

async function answersUpTo(count: number): Promise<void> {
  while (answers < count)
    await new Promise<void>((resolve) => {
      answered = resolve;
    });
}

const worker = {
  join(to: MessagePort): void {
    port = to;
    port.addEventListener("message", take);
    port.start();
  },

  prepare(next: Case): void {
    group = next.group;
    received = 0;
  },

  /** @returns milliseconds */
  async transfer({ bytes, count, underWay }: Case): Promise<number> {
    answers = 0;
    const started = performance.now();
    for (let sent = 1; sent <= count; sent++) {
      const message = new Uint8Array(bytes);
      message.set(part(source, bytes));
      port.postMessage(message, [message.buffer]);
      if (sent % group === 0) await answersUpTo(sent / group - underWay + 1);
    }
    await answersUpTo(count / group);
    return performance.now() - started;
  },

  /** @returns milliseconds */
  copy({ bytes, count }: Case): number {
    const started = performance.now();
    for (let i = 0; i < count; i++) part(sink, bytes).set(part(source, bytes));
    return performance.now() - started;
  },
};

export type RawWorker = typeof worker;

if (typeof globalThis.process?.versions?.node === "string") {
  const { parentPort } = require("node:worker_threads") as typeof import("node:worker_threads");
  if (parentPort) expose(worker, nodeEndpoint(parentPort));
} else expose(worker);

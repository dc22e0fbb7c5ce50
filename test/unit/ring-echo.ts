// A thread, in Node or of a page, at the other end of a channel through shared memory: sends back what comes, until the channel is closed.

import { RingChannel, type RingEnds } from "../../src/comm/ring-channel.ts";

function echo(ends: RingEnds): void {
  const channel = new RingChannel(ends);
  const alive = setInterval(() => {}, 1000);
  channel.listen({ message: (bytes) => channel.send(bytes), closed: () => clearInterval(alive) });
}

if (typeof globalThis.process?.versions?.node === "string")
  echo((require("node:worker_threads") as typeof import("node:worker_threads")).workerData);
else globalThis.addEventListener("message", ({ data }) => echo(data), { once: true });

// What ring-channel.test.ts runs inside its page: a channel to a worker of the page, and what is said where memory is not shared.

import { workerRanks } from "../../src/cluster/workers.ts";
import { RingChannel, ringPair, ringsWork } from "../../src/comm/ring-channel.ts";
import echo from "../unit/ring-echo.script";

const message = (length: number, seed: number): Uint8Array<ArrayBuffer> =>
  Uint8Array.from({ length }, (_, i) => (i * 31 + seed * 17 + (i >> 8)) & 255);

/** Messages that came back from the worker as they were sent, in order.
 *  @public called by name from the test */
export async function echoed(lengths: readonly number[]): Promise<boolean[]> {
  const [ends, theirs] = ringPair();
  const worker = new Worker(URL.createObjectURL(new Blob([echo], { type: "text/javascript" })));
  worker.postMessage(theirs);
  const channel = new RingChannel(ends);
  const same: boolean[] = [];
  await new Promise<void>((resolve) => {
    channel.listen({
      message: (bytes) => {
        const sent = message(lengths[same.length], same.length);
        same.push(bytes.length === sent.length && bytes.every((value, i) => value === sent[i]));
        if (same.length === lengths.length) resolve();
      },
      closed: () => {},
    });
    for (const [seed, length] of lengths.entries()) channel.send(message(length, seed));
  });
  channel.close();
  worker.terminate();
  return same;
}

/** Whether rings work here, what asking for them all the same says, and what ranks that take ports come to.
 *  @public called by name from the test */
export async function choices(): Promise<{ work: boolean; refusal: string; facts: unknown[] }> {
  const device = (channels: "rings" | "ports") =>
    workerRanks({ backend: "cpu", channels }).run("device", { size: 2, options: undefined });
  const refusal = await device("rings").then(
    () => "",
    (error: Error) => error.message,
  );
  return { work: ringsWork(), refusal, facts: await device("ports") };
}

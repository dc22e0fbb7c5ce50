// What webrtc.test.ts runs inside its pages: ranks that connect in one page, or to Node.

import type { Channel } from "../../src/comm/channel.ts";
import type { IceServer } from "../../src/comm/ice.ts";
import { connectRanks, type Signalling } from "../../src/comm/webrtc.ts";
import { exchange, inbox, sizes } from "../unit/webrtc-messages.ts";

/** Signals between ranks of this page. */
function office(): (rank: number) => Signalling {
  const listeners: ((from: number, data: unknown) => void)[] = [];
  return (rank) => ({
    send: (to, data) => queueMicrotask(() => listeners[to]?.(rank, JSON.parse(JSON.stringify(data)))),
    listen: (take) => {
      listeners[rank] = take;
    },
  });
}

/** Two ranks of one page: what came wrong on each, and how the second learns that the first has closed.
 *  @public called by name from the test */
export async function together() {
  const signalling = office();
  const [[, a], [b]] = await Promise.all(
    [0, 1].map((rank) => connectRanks({ rank, size: 2, signalling: signalling(rank), timeoutMs: 60_000 })),
  );
  const box = inbox(b!);
  const wrong = await Promise.all([
    exchange(a!, { box: inbox(a!), mine: 0, theirs: 100 }),
    exchange(b!, { box, mine: 100, theirs: 0 }),
  ]);
  const overheadBytes = a!.overheadBytes;
  // Closed at once: all of it must come.
  for (let i = 0; i < 300; i++) a!.send(new Uint8Array(20_000).fill(i));
  a!.close();
  const reason = await box.closed;
  return { wrong, overheadBytes, reason, last: box.messages.slice(sizes.length).map((bytes) => bytes[19_999]) };
}

/** How connecting two ranks of one page ends, by relays alone.
 *  @public called by name from the test */
export async function byRelays(iceServers: readonly IceServer[]): Promise<string[]> {
  const signalling = office();
  const results = await Promise.allSettled(
    [0, 1].map((rank) =>
      connectRanks({
        ...{ rank, size: 2, signalling: signalling(rank), timeoutMs: 5000 },
        ...{ iceServers, iceTransportPolicy: "relay" },
      }),
    ),
  );
  return results.map((result) => (result.status === "rejected" ? result.reason.message : "connected"));
}

/** This page's channel as `rank` to Node, which carries the signals. */
async function connectToNode(rank: number): Promise<Channel> {
  const scope = globalThis as unknown as { say(data: unknown): Promise<void>; hear(data: unknown): void };
  const signalling: Signalling = {
    send: (_, data) => void scope.say(data),
    listen: (take) => {
      scope.hear = (data) => take(1 - rank, data);
    },
  };
  const channels = await connectRanks({ rank, size: 2, signalling, timeoutMs: 60_000 });
  return channels[1 - rank]!;
}

/** What came wrong from Node, and how it ended.
 *  @public called by name from the test */
export async function besideNode(rank: number) {
  const channel = await connectToNode(rank);
  const box = inbox(channel);
  const wrong = await exchange(channel, { box, mine: 100 * rank, theirs: 100 * (1 - rank) });
  return { wrong, reason: await box.closed };
}

/** Sends Node something, and does no more.
 *  @public called by name from the test */
export async function greet(rank: number) {
  (await connectToNode(rank)).send(new Uint8Array(5));
}

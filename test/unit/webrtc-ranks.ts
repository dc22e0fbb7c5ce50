// Ranks of this process that connect through a rendezvous in memory.

import type { Channel } from "../../src/comm/channel.ts";
import { connectRanks, type Signalling } from "../../src/comm/webrtc.ts";
import type { SignalData } from "../../src/comm/webrtc-signal.ts";

type Carry = (message: { from: number; to: number; data: SignalData }, deliver: () => void) => void;

/** A rendezvous for ranks of this process. What happens to a message is `carry`'s affair; it has become JSON on its
 *  way. */
export function rendezvous(carry: Carry = (_, deliver) => queueMicrotask(deliver)) {
  const listeners = new Map<number, (from: number, data: unknown) => void>();
  const deliver = (to: number, { from, data }: { from: number; data: unknown }) => listeners.get(to)?.(from, data);
  const of = (rank: number): Signalling => ({
    send: (to, data) => {
      const text = JSON.stringify(data);
      carry({ from: rank, to, data }, () => deliver(to, { from: rank, data: JSON.parse(text) }));
    },
    listen: (take) => void listeners.set(rank, take),
  });
  return { of, deliver };
}

/** Each rank's channels, by rank. */
export const connectAll = (size: number, meeting = rendezvous()) =>
  Promise.all(
    Array.from({ length: size }, (_, rank) =>
      connectRanks({ rank, size, signalling: meeting.of(rank), timeoutMs: 60_000 }),
    ),
  );

export async function connectTwo(meeting = rendezvous()): Promise<[Channel, Channel]> {
  const [[, a], [b]] = await connectAll(2, meeting);
  return [a!, b!];
}

// Channels from one rank to the others, each direct where WebRTC finds a way, else through the room.

import type { Channel } from "../../comm/channel.ts";
import type { IceOptions } from "../../comm/ice.ts";
import { CommunicationError } from "../../comm/link.ts";
import { RelayChannel } from "../../comm/relay-channel.ts";
import { connectRanks, type Signalling } from "../../comm/webrtc.ts";
import type { Start } from "./membership.ts";

export interface RelayOptions extends IceOptions {
  start: Pick<Start, "rank" | "size" | "signalling" | "wire">;
  /** ranks this one needs, each of which must need this one; all others by default */
  peers?: readonly number[];
  /** for direct channels, then for relays; 30,000 by default */
  timeoutMs?: number;
  /** after which a rank that says nothing through the room is lost; 15,000 by default */
  silentMs?: number;
  /** gives up at once, with its reason */
  signal?: AbortSignal;
  /** told of each pair that gets no channel of its own */
  note?(text: string): void;
}

/** An open channel to each peer, by rank; the others are undefined. All or none.
 *  @throws CommunicationError naming a rank that could not be reached either way; the errors of connectRanks for what it cannot be asked for; the
 *  signal's reason */
export async function connectOrRelay(options: RelayOptions): Promise<(Channel | undefined)[]> {
  const { rank, size, signalling } = options.start;
  const others = Array.from({ length: size }, (_, other) => other).filter((other) => other !== rank);
  const peers = [...new Set(options.peers ?? others)];
  const desks = split(signalling);
  const settled = await Promise.allSettled(
    peers.map((peer) => connectPair(peer, { ...options, signalling: desks(peer) })),
  );
  const channels: (Channel | undefined)[] = Array.from({ length: size }, () => undefined);
  for (const [i, result] of settled.entries()) if (result.status === "fulfilled") channels[peers[i]] = result.value;
  const failed = settled.find((result) => result.status === "rejected");
  if (!failed) return channels;
  for (const channel of channels) channel?.close();
  throw failed.reason;
}

async function connectPair(
  peer: number,
  {
    start,
    signalling,
    iceServers,
    iceTransportPolicy,
    timeoutMs = 30_000,
    silentMs = 15_000,
    signal,
    note,
  }: RelayOptions & { signalling: Signalling },
): Promise<Channel> {
  const { rank, size, wire } = start;
  try {
    const ice = { iceServers, iceTransportPolicy };
    const channels = await connectRanks({ rank, size, signalling, peers: [peer], ...ice, timeoutMs, signal });
    return channels[peer]!;
  } catch (error) {
    if (!wire || signal?.aborted || !(error instanceof CommunicationError)) throw error;
    const relay = await relayTo(peer, { wire, timeoutMs, silentMs, signal }).catch((cause: unknown) => {
      if (signal?.aborted) throw signal.reason;
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new CommunicationError(`${error.message}; nor through the room: ${reason}`, { rank: peer, cause });
    });
    note?.(`rank ${rank} and rank ${peer} talk through the room, which is slower: ${error.message}`);
    return relay;
  }
}

async function relayTo(
  peer: number,
  {
    wire,
    signal,
    ...times
  }: { wire: NonNullable<Start["wire"]>; timeoutMs: number; silentMs: number; signal?: AbortSignal },
): Promise<RelayChannel> {
  const relay = new RelayChannel(wire(peer), times);
  const stop = () => relay.close();
  signal?.addEventListener("abort", stop);
  try {
    await relay.opened;
    return relay;
  } finally {
    signal?.removeEventListener("abort", stop);
  }
}

/** Signalling for each peer on its own: what the whole takes once goes to whom it is from. */
function split(signalling: Signalling): (peer: number) => Signalling {
  const takers = new Map<number, (from: number, data: unknown) => void>();
  let listening = false;
  return (peer) => ({
    send: (to, data) => signalling.send(to, data),
    listen(take) {
      takers.set(peer, take);
      // Once all are there: what has come before is told at once.
      if (!listening) queueMicrotask(() => signalling.listen((from, data) => takers.get(from)?.(from, data)));
      listening = true;
    },
  });
}

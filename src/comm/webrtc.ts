// Channels between ranks over WebRTC, on a page's RTCPeerConnection or node-datachannel's: the same code for both. How
// two ranks find a way to each other is webrtc-pair.ts, how messages go over it webrtc-channel.ts.

import { inNode } from "../backend/node.ts";
import type { Channel } from "./channel.ts";
import { type IceOptions, iceAdvice, iceUrls, parseIce, type SeenWays } from "./ice.ts";
import { CommunicationError } from "./link.ts";
import { allClosed, type RtcChannel } from "./webrtc-channel.ts";
import { Pair } from "./webrtc-pair.ts";
import type { SignalData } from "./webrtc-signal.ts";

/** How ranks that are not connected yet reach each other. It may lose messages, repeat them and change their order. */
export interface Signalling {
  send(to: number, data: SignalData): void;
  /** `data` is whatever the other rank, or who says it is, has sent. Called once. */
  listen(take: (from: number, data: unknown) => void): void;
}

export interface ConnectOptions extends IceOptions {
  rank: number;
  /** number of ranks */
  size: number;
  signalling: Signalling;
  /** ranks this one needs, each of which must need this one; all others by default */
  peers?: readonly number[];
  /** for all of them together; 30,000 by default */
  timeoutMs?: number;
  /** gives up at once, with its reason */
  signal?: AbortSignal;
}

/** An open channel to each peer, by rank; the others are undefined. All or none.
 *  @throws CommunicationError naming the ranks that could not be reached
 *  @throws Error where there is no WebRTC
 *  @throws RangeError for ranks that do not exist
 *  @throws SyntaxError for ICE servers that are none */
export async function connectRanks(options: ConnectOptions): Promise<(Channel | undefined)[]> {
  const { rank, size, signalling, timeoutMs = 30_000, signal } = options;
  const others = Array.from({ length: size }, (_, other) => other).filter((other) => other !== rank);
  const peers = [...new Set(options.peers ?? others)];
  if (others.length !== size - 1) throw new RangeError(`rank ${rank} of ${size}: ranks go from 0 to ${size - 1}`);
  const wrong = peers.find((peer) => !others.includes(peer));
  if (wrong !== undefined) throw new RangeError(`rank ${rank} of ${size} cannot be connected to rank ${wrong}`);

  const pairs = new Map<number, Pair>();
  let begin!: () => void;
  const begun = new Promise<void>((resolve) => {
    begin = resolve;
  });
  // At once, so that nothing said meanwhile is lost: it would be said again, but only after a second.
  signalling.listen((from, data) => void begun.then(() => pairs.get(from)?.take(data)));
  const ice = checkedIce(options);
  const create = await peerConnections(ice);
  tryServers(create, ice);
  // Whoever offers is greeted by the other (DTLS). Where the greeting comes by a relay before the offerer's side has found the way, libdatachannel
  // 0.24.5 locks up, and with it the thread that calls it next: one in a thousand connections or so (its pull request 1630).
  const findsFirst = !globalThis.RTCPeerConnection;
  for (const peer of peers) {
    const advice = (seen: SeenWays) => iceAdvice(ice, { rank, peer, seen });
    pairs.set(peer, new Pair({ rank, peer, create, send: say(signalling, peer), timeoutMs, advice, findsFirst }));
  }
  begin();

  const stop = () => {
    for (const pair of pairs.values()) pair.giveUp(errorOf(signal?.reason));
  };
  signal?.addEventListener("abort", stop);
  if (signal?.aborted) stop();
  const settled = await Promise.allSettled([...pairs.values()].map(({ channel }) => channel));
  signal?.removeEventListener("abort", stop);
  const errors = settled.flatMap((result) => (result.status === "rejected" ? [result.reason] : []));
  if (errors.length === 0) {
    const channels: (Channel | undefined)[] = Array.from({ length: size }, () => undefined);
    for (const [i, peer] of peers.entries()) channels[peer] = (settled[i] as PromiseFulfilledResult<RtcChannel>).value;
    return channels;
  }
  for (const result of settled) if (result.status === "fulfilled") result.value.close();
  const [first] = errors;
  if (!(first instanceof CommunicationError)) throw first;
  throw new CommunicationError(errors.map(({ message }) => message).join("; "), { rank: first.rank });
}

const errorOf = (reason: unknown): Error => (reason instanceof Error ? reason : new Error(String(reason)));

type CreateConnection = () => RTCPeerConnection;

let cleanUp: (() => void) | undefined;

/** Gives back what node-datachannel holds, once no channel is needed any more: now and then it keeps a process alive. Channels that were
 *  closed say goodbye first: what is given back says nothing. Does nothing in a page. */
export async function releaseWebRtc(): Promise<void> {
  if (!cleanUp) return;
  await allClosed();
  cleanUp();
}

/** @throws SyntaxError, which shows no name and no password */
function checkedIce(options: IceOptions): IceOptions {
  try {
    return parseIce(options);
  } catch (cause) {
    const shown = iceUrls(options).map((url) => String(url).replace(/:.*@/, ":...@"));
    throw new SyntaxError(`ICE servers ${shown.join(", ")}: ${(cause as Error).message}`, { cause });
  }
}

/** The page's RTCPeerConnection, in Node node-datachannel's, with these servers. */
async function peerConnections({ iceServers = [], iceTransportPolicy }: IceOptions): Promise<CreateConnection> {
  const Own = globalThis.RTCPeerConnection;
  // Copies: both kinds may write to what they are given.
  const servers = () => iceServers.map(({ urls, ...rest }) => ({ urls: [urls].flat(), ...rest }));
  if (Own) return () => new Own({ iceServers: servers(), iceTransportPolicy });
  // Browsers have none in workers. node-datachannel ends the process when a second thread uses it.
  if (!inNode() || !(await import("node:worker_threads")).isMainThread)
    throw new Error("there is no WebRTC in workers: connect in the page, or in the main thread, and pass messages on");
  try {
    const [{ RTCPeerConnection }, { cleanup }] = await Promise.all([
      import("node-datachannel/polyfill"),
      import("node-datachannel"),
    ]);
    cleanUp = cleanup;
    const Foreign = RTCPeerConnection as unknown as typeof globalThis.RTCPeerConnection;
    // It puts names and passwords into URLs as they are: with a colon in it, as time-limited names have, a name would
    // end too early.
    const escaped = () =>
      servers().map(({ urls, username, credential }) => ({
        urls,
        ...(username !== undefined && { username: encodeURIComponent(username) }),
        ...(credential !== undefined && { credential: encodeURIComponent(credential) }),
      }));
    return () => new Foreign({ iceServers: escaped(), iceTransportPolicy });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Error(
      `WebRTC in Node needs the package node-datachannel, which does not load: ${reason}; npm install node-datachannel, or use another link`,
      { cause },
    );
  }
}

/** @throws SyntaxError for servers that this WebRTC does not take; what it says itself may quote a password */
function tryServers(create: CreateConnection, ice: IceOptions): void {
  try {
    create().close();
  } catch {
    throw new SyntaxError(
      `ICE servers ${iceUrls(ice).join(", ")}: WebRTC does not take them here; use stun:HOST:PORT, or turn:HOST:PORT with username and credential`,
    );
  }
}

/** What cannot be sent now is lost like anything that is: a pair says it again. */
const say = (signalling: Signalling, to: number) => (data: SignalData) => {
  try {
    signalling.send(to, data);
  } catch {
    // as the comment says
  }
};

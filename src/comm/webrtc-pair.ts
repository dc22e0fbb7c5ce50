// One rank and one other, until a channel between them is open: who offers, what is said through the rendezvous, and
// what is tried again. The rendezvous may lose, repeat and reorder what is said; what comes through it is not trusted.

import type { SeenWays } from "./ice.ts";
import { CommunicationError } from "./link.ts";
import { RtcChannel } from "./webrtc-channel.ts";
import { type Candidate, type Description, parseSignal, type SignalData } from "./webrtc-signal.ts";

/** Times after which an attempt says all it has said once more: the other rank may have come later, or a message may
 *  be lost. */
const [firstRepeatMs, longestRepeatMs] = [1000, 8000];
/** An attempt that takes longer is given up for a new one: on a path that works it takes less than a second, with a
 *  relay a few. */
const attemptMs = 12_000;
/** A failed one is followed by the next after this. */
const pauseMs = 500;
/** Signals, or candidates, of one rank that are kept at a time: several times what a machine with many addresses
 *  has. */
const maxKept = 128;
/** Answers of servers that are told. */
const maxRefusals = 4;

/** Of a candidate: host, srflx, prflx or relay. */
const kindOf = (candidate: string): string => / typ ([a-z]{1,8})/.exec(candidate)?.[1] ?? "";

interface AttemptOptions extends Pick<PairOptions, "create" | "send"> {
  seen: SeenWays;
  /** whether the other side may find this one's relays before it is found from there */
  tellsRelay: boolean;
}

/** Of a relay, the address without the port: enough for the other side's relay to let this one's through (RFC 8656, 9), whose real port is seen
 *  then. 1024, which no relay gives out; browsers take no candidate below. */
const withoutPort = (relay: string): string => relay.replace(/ \d+ typ /, " 1024 typ ");

/** One connection under way. */
class Attempt {
  readonly number: number;
  readonly connection: RTCPeerConnection;
  /** once there is one; the connection is its own then */
  channel: RtcChannel | undefined;
  closed = false;
  readonly #send: (data: SignalData) => void;
  readonly #seen: SeenWays;
  readonly #said: SignalData[] = [];
  /** Candidates of this side, found before the other is described. Told them, it would reach for us before we know
   *  whom to expect: that makes node-datachannel refuse its certificate or miss its first message, which comes
   *  again only after a second. */
  readonly #found: Candidate[] = [];
  /** Relays of this side, of which the addresses are told. A side that has no relay itself may need the ports: it is told them when no way has
   *  been found for a while. */
  readonly #withheld: Candidate[] = [];
  /** the other side's */
  readonly #candidates = new Set<string>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(number: number, { create, send, tellsRelay, seen }: AttemptOptions) {
    this.number = number;
    this.#send = send;
    this.#seen = seen;
    this.connection = create();
    // Of pages alone: node-datachannel does not say what a server answered.
    this.connection.addEventListener("icecandidateerror", ({ errorCode, errorText }) => {
      if (seen.refusals.size < maxRefusals) seen.refusals.add(`${errorCode} ${errorText}`.trim());
    });
    this.connection.addEventListener("icecandidate", ({ candidate: found }) => {
      if (!found?.candidate) return;
      seen.own.add(kindOf(found.candidate));
      const { candidate, sdpMid } = found;
      const data = { kind: "candidate", attempt: number, candidate, mid: sdpMid ?? "0" } as const;
      const withheld = !tellsRelay && kindOf(candidate) === "relay";
      if (withheld) this.#withheld.push(data);
      const told = withheld ? { ...data, candidate: withoutPort(candidate) } : data;
      if (this.described) this.#say(told);
      else this.#found.push(told);
    });
  }

  get described(): boolean {
    return Boolean(this.connection.remoteDescription?.sdp);
  }

  /** Makes this side's description and says it. */
  async describe(kind: "offer" | "answer"): Promise<void> {
    const { connection } = this;
    const { sdp = "" } = await (kind === "offer" ? connection.createOffer() : connection.createAnswer());
    if (this.closed) return;
    await connection.setLocalDescription({ type: kind, sdp });
    this.#say({ kind, attempt: this.number, sdp });
  }

  /** Takes the other side's.
   *  @throws when it is none */
  async understand({ kind, sdp }: Description): Promise<void> {
    await this.connection.setRemoteDescription({ type: kind, sdp });
    for (const data of this.#found.splice(0)) this.#say(data);
  }

  /** Takes a candidate of the other side, once it is described. */
  async add({ candidate, mid }: Candidate): Promise<void> {
    if (this.#candidates.has(candidate) || this.#candidates.size === maxKept) return;
    this.#candidates.add(candidate);
    this.#seen.other.add(kindOf(candidate));
    await this.connection.addIceCandidate({ candidate, sdpMid: mid, sdpMLineIndex: 0 });
  }

  sayAgain(): void {
    if (!this.closed) for (const data of this.#said) this.#send(data);
  }

  /** Says all again from time to time. */
  repeat(afterMs = firstRepeatMs): void {
    this.#timer = setTimeout(() => {
      if (afterMs > firstRepeatMs && this.described) for (const data of this.#withheld.splice(0)) this.#say(data);
      this.sayAgain();
      this.repeat(Math.min(2 * afterMs, longestRepeatMs));
    }, afterMs);
  }

  stopRepeating(): void {
    clearTimeout(this.#timer);
  }

  close(): void {
    this.closed = true;
    this.stopRepeating();
    (this.channel ?? this.connection).close();
  }

  #say(data: SignalData): void {
    if (this.closed) return;
    this.#said.push(data);
    this.#send(data);
  }
}

export interface PairOptions {
  rank: number;
  peer: number;
  create(): RTCPeerConnection;
  /** to the peer; may lose it */
  send(data: SignalData): void;
  timeoutMs: number;
  /** what to try when there is no way, in words */
  advice(seen: SeenWays): string;
  /** Where this rank offers, the other is not to find its relay before it has found the other. */
  findsFirst: boolean;
}

/** The lower rank offers, and numbers its attempts by its clock: so the other knows what is left of earlier ones,
 *  and of earlier runs. */
export class Pair {
  /** Rejects after the time-out with a CommunicationError, or at once with what stands in the way of every attempt. */
  readonly channel: Promise<RtcChannel>;
  readonly #options: PairOptions;
  readonly #offers: boolean;
  readonly #deadline: ReturnType<typeof setTimeout>;
  readonly #seen: SeenWays = { own: new Set(), other: new Set(), refusals: new Set() };
  #settle!: { resolve(channel: RtcChannel): void; reject(error: Error): void };
  #over = false;
  #attempt: Attempt | undefined;
  #next: ReturnType<typeof setTimeout> | undefined;
  /** candidates that came before the description they belong to */
  #early: Candidate[] = [];
  /** signals are obeyed one by one */
  #work: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(options: PairOptions) {
    this.#options = options;
    this.#offers = options.rank < options.peer;
    this.channel = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    this.#deadline = setTimeout(() => this.giveUp(this.#tooLate()), options.timeoutMs);
    if (this.#offers) this.#offer();
  }

  /** Anything that a rendezvous may deliver. What does not fit is ignored. */
  take(data: unknown): void {
    const signal = parseSignal(data);
    if (!signal || this.#waiting === maxKept) return;
    this.#waiting++;
    this.#work = this.#work
      .then(() => this.#obey(signal))
      .catch(() => undefined) // the connection does not understand it: as if it had not come
      .finally(() => this.#waiting--);
  }

  get #told(): AttemptOptions {
    const { create, send, findsFirst } = this.#options;
    return { create, send, seen: this.#seen, tellsRelay: !(findsFirst && this.#offers) };
  }

  async #obey(signal: SignalData): Promise<void> {
    const attempt = this.#attempt;
    if (signal.kind === "candidate") {
      if (attempt?.number === signal.attempt && attempt.described) await attempt.add(signal);
      else if (!this.#over && this.#early.length < maxKept) this.#early.push(signal);
    } else if (this.#over || signal.kind !== (this.#offers ? "answer" : "offer")) {
      return;
    } else if (this.#offers) {
      if (attempt?.number !== signal.attempt || attempt.connection.signalingState !== "have-local-offer") return;
      await attempt.understand(signal);
      await this.#addEarly(attempt);
    } else {
      if (attempt?.number === signal.attempt) attempt.sayAgain();
      if (attempt && attempt.number >= signal.attempt) return;
      await this.#answer(signal);
    }
  }

  #offer(): void {
    clearTimeout(this.#next);
    this.#next = setTimeout(() => this.#offer(), attemptMs);
    try {
      const attempt = new Attempt(Math.max(Date.now(), 1 + (this.#attempt?.number ?? 0)), this.#told);
      this.#attempt?.close();
      this.#attempt = attempt;
      this.#watch(attempt, attempt.connection.createDataChannel("shardgrad"));
      attempt.describe("offer").catch(() => undefined); // the next one may do better
      attempt.repeat();
    } catch (error) {
      this.giveUp(error instanceof Error ? error : new Error(String(error)));
    }
  }

  async #answer(signal: Description): Promise<void> {
    const attempt = new Attempt(signal.attempt, this.#told);
    attempt.connection.addEventListener("datachannel", ({ channel }) => this.#watch(attempt, channel), { once: true });
    try {
      await attempt.understand(signal);
    } catch {
      attempt.close();
      return;
    }
    if (this.#over) {
      attempt.close();
      return;
    }
    this.#attempt?.close();
    this.#attempt = attempt;
    attempt.describe("answer").catch(() => undefined); // the other side will offer again
    await this.#addEarly(attempt);
  }

  async #addEarly(attempt: Attempt): Promise<void> {
    const early = this.#early.splice(0).filter(({ attempt: number }) => number === attempt.number);
    await Promise.allSettled(early.map((candidate) => attempt.add(candidate)));
  }

  #watch(attempt: Attempt, dataChannel: RTCDataChannel): void {
    const channel = new RtcChannel(attempt.connection, dataChannel);
    attempt.channel = channel;
    const opened = () => {
      if (this.#over || attempt !== this.#attempt) {
        channel.close();
        return;
      }
      this.#end();
      attempt.stopRepeating();
      this.#settle.resolve(channel);
    };
    const failed = () => {
      if (this.#over || attempt !== this.#attempt || !this.#offers) return;
      clearTimeout(this.#next);
      this.#next = setTimeout(() => this.#offer(), pauseMs);
    };
    channel.opened.then(opened, failed);
  }

  #tooLate(): CommunicationError {
    const { rank, peer, timeoutMs, advice } = this.#options;
    const seconds = `${(timeoutMs / 1000).toFixed(1)} s`;
    const message = this.#attempt?.described
      ? `rank ${rank} and rank ${peer} know of each other, but found no way between them in ${seconds}; ${advice(this.#seen)}`
      : `rank ${peer} has said nothing to rank ${rank} for ${seconds}: it has not started, or the rendezvous does not carry what they say; start all ranks, or allow more time`;
    return new CommunicationError(message, { rank: peer });
  }

  /** Ends it with that error, unless it is connected. */
  giveUp(error: Error): void {
    if (this.#over) return;
    this.#end();
    this.#attempt?.close();
    this.#settle.reject(error);
  }

  #end(): void {
    this.#over = true;
    this.#early = [];
    clearTimeout(this.#deadline);
    clearTimeout(this.#next);
  }
}

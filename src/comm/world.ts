// What ranks of one process share: messages under way, who waits for whom, and the failure that ends them all. A message is a parcel
// of any kind: tensors, memory and collectives are not its business.

import { type Call, CommunicationError, keyOf, sameCall, textOf } from "./link.ts";
import { type Edge, type News, Patience } from "./patience.ts";
import { Register } from "./register.ts";

interface Sent<P> extends Edge {
  readonly parcel: P | undefined;
}

interface Wait<P> extends Edge {
  /** how often the timer has found it waiting */
  looks: number;
  resolve: (parcel: P | undefined) => void;
  reject: (error: CommunicationError) => void;
}

const sameCalls = "every rank must make the same calls in the same order";
const named = (call: Call) => `${textOf(call)} (${keyOf(call)})`;
/** Calls of a group that may be under way at a time, a power of two. */
const callsUnderWay = 2 ** 20;
/** Calls of a group that a rank alone in its process remembers, to compare them with others' messages; few are ever under way. */
const callsRemembered = 64;

export class World<P extends Disposable> {
  readonly size: number;
  /** called once, when the first failure is known */
  onFailure: (() => void) | undefined;
  /** Called at every look at which ranks elsewhere would like to know how this one is. */
  onNews: ((news: News) => void) | undefined;
  readonly #timeoutMs: number;
  readonly #patience: Patience;
  /** the one rank of this process, if the others are elsewhere */
  readonly #alone: number | undefined;
  readonly #messages = new Register<Sent<P>>();
  readonly #waits = new Register<Wait<P>>();
  /** calls that some ranks have entered and others not yet */
  readonly #entered = new Register<{ call: Call; rank: number; missing: number }>();
  readonly #ended = new Set<number>();
  /** of a rank that is alone: its last calls by group, and the last of all */
  readonly #own = new Map<string, Call[]>();
  #lastCall: Call | undefined;
  /** another rank waits for this one, and will be told how it is */
  #asked = false;
  /** looks since this rank ended, while others have not */
  #looksAtEnd = 0;
  #failure: CommunicationError | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;

  /** timeoutMs: how long a rank may do nothing while others wait for it
   *  alone: the one rank of this process; without it all of them are here */
  constructor({ size, timeoutMs, alone }: { size: number; timeoutMs: number; alone?: number }) {
    this.size = size;
    this.#timeoutMs = timeoutMs;
    this.#patience = new Patience({ size, timeoutMs });
    this.#alone = alone;
    if (alone !== undefined) this.#startTimer();
  }

  get failure(): CommunicationError | undefined {
    return this.#failure;
  }

  enter(rank: number, call: Call): void {
    if (this.#failure) throw this.#failure;
    const { group, which } = call;
    if (this.#alone !== undefined) {
      this.#remember(call);
      for (const { from, call: other } of this.#messages.of(group))
        if (other.which === which && !sameCall(other, call))
          throw this.#disagree({ rank: from, call: other }, { rank, call });
      return;
    }
    const first = this.#entered.get(group, which);
    if (!first) this.#entered.set(group, { id: which, value: { call, rank, missing: call.members - 1 } });
    else if (!sameCall(first.call, call)) throw this.#disagree(first, { rank, call });
    else if (--first.missing === 0) this.#entered.delete(group, which);
  }

  /** Its first messages may be of parts that the other's call has not: they are told apart by the call itself. */
  #remember(call: Call): void {
    const { group, which } = call;
    this.#lastCall = call;
    if (typeof which !== "number") return;
    const calls = this.#own.get(group) ?? [];
    calls[which % callsRemembered] = call;
    this.#own.set(group, calls);
  }

  /** This rank's call under the same key, if it is one of its last. */
  #ownCall({ group, which }: Call): Call | undefined {
    if (typeof which !== "number") return undefined;
    const own = this.#own.get(group)?.[which % callsRemembered];
    return own?.which === which ? own : undefined;
  }

  /** A message's number in its group: no other has the same while it is under way. */
  #box({ from, to, call, part }: Edge): number | string {
    if (typeof call.which === "string") return `${from}>${to}:${part} ${call.which}`;
    // A ring's way there and back has fewer parts.
    const parts = 2 * this.size + 1;
    return (((call.which % callsUnderWay) * parts + part) * this.size + from) * this.size + to;
  }

  /** Takes over the parcel. */
  send(message: Sent<P>): void {
    const { from, to, call, parcel } = message;
    const { group } = call;
    const box = this.#box(message);
    this.#patience.did(from);
    const wait = this.#waits.get(group, box);
    const own = wait?.call ?? this.#ownCall(call);
    if (own && !sameCall(own, call)) this.#disagree({ rank: from, call }, { rank: to, call: own });
    if (this.#ended.has(to)) this.#tooFew(to, `rank ${from} sends to it in ${named(call)}`);
    if (!wait && this.#messages.get(group, box))
      this.#twice(from, `sends rank ${to} two messages at once in ${named(call)}`);
    if (this.#failure) {
      parcel?.[Symbol.dispose]();
      throw this.#failure;
    }
    if (!wait) this.#messages.set(group, { id: box, value: message });
    else {
      this.#waits.delete(group, box);
      this.#patience.did(to);
      wait.resolve(parcel);
    }
  }

  receive(edge: Edge): Promise<P | undefined> {
    const { from, to, call } = edge;
    const { group } = call;
    const box = this.#box(edge);
    this.#patience.did(to);
    this.#lastCall = call;
    const sent = this.#messages.get(group, box);
    if (sent && !sameCall(sent.call, call)) this.#disagree({ rank: from, call: sent.call }, { rank: to, call });
    if (!sent && this.#ended.has(from)) this.#tooFew(from, `rank ${to} waits for it in ${named(call)}`);
    if (!sent && this.#waits.get(group, box))
      this.#twice(to, `waits twice for one message of rank ${from} in ${named(call)}`);
    if (this.#failure) return Promise.reject(this.#failure);
    if (sent) {
      this.#messages.delete(group, box);
      return Promise.resolve(sent.parcel);
    }
    return new Promise((resolve, reject) => {
      this.#waits.set(group, { id: box, value: { from, to, call, part: edge.part, looks: 0, resolve, reject } });
      this.#startTimer();
    });
  }

  /** The rank of this process sends something elsewhere. */
  sends({ from, to, call }: Omit<Edge, "part">): void {
    this.#patience.did(from);
    this.#lastCall = call;
    if (this.#ended.has(to)) this.#tooFew(to, `rank ${from} sends to it in ${named(call)}`);
  }

  /** A rank elsewhere lives. */
  hears(rank: number): void {
    this.#patience.hears(rank);
  }

  /** What a rank elsewhere tells about itself: whoever waits for this one is told in turn. */
  note(rank: number, news: News): void {
    this.#patience.note(rank, news);
    if (news.ended || news.waits.some(({ from }) => from === this.#alone)) this.#asked = true;
  }

  /** What this process was about when a rank elsewhere was lost. */
  circumstances(rank: number): string {
    const waits = this.#waits.all();
    const wait = waits.find(({ from }) => from === rank) ?? waits.at(0);
    if (wait)
      return `rank ${wait.to} waits for ${wait.from === rank ? "it" : `rank ${wait.from}`} in ${named(wait.call)}`;
    if (this.#lastCall) return `rank ${this.#alone} has come to ${named(this.#lastCall)}`;
    return `rank ${this.#alone} has made no call yet`;
  }

  /** The rank's program is over. What others still send it, or wait for from it, will never meet. */
  end(rank: number): void {
    this.#ended.add(rank);
    for (const { from, to, call } of this.#waits.all()) {
      if (from === rank) this.#tooFew(rank, `rank ${to} waits for it in ${named(call)}`);
      if (to === rank) this.#tooFew(rank, `its own ${named(call)} still waits for rank ${from}`);
    }
    for (const { from, to, call } of this.#messages.all())
      if (to === rank) this.#tooFew(rank, `rank ${from} has sent it something in ${named(call)}`);
    if (this.allEnded) this.#stopTimer();
  }

  hasEnded(rank: number): boolean {
    return this.#ended.has(rank);
  }

  get allEnded(): boolean {
    return this.#ended.size === this.size;
  }

  /** The first failure ends every wait, now and later; another one changes nothing. */
  fail(failure: CommunicationError): void {
    if (this.#failure) return;
    this.#failure = failure;
    for (const { reject } of this.#waits.all()) reject(failure);
    this.#waits.clear();
    for (const { parcel } of this.#messages.all()) parcel?.[Symbol.dispose]();
    this.#messages.clear();
    this.#stopTimer();
    this.onFailure?.();
  }

  #disagree(a: { rank: number; call: Call }, b: { rank: number; call: Call }): CommunicationError {
    const failure = new CommunicationError(
      `ranks disagree at ${keyOf(a.call)}: rank ${a.rank} calls ${textOf(a.call)}, rank ${b.rank} calls ${textOf(b.call)}; ${sameCalls}`,
      { rank: b.rank },
    );
    this.fail(failure);
    return failure;
  }

  #tooFew(rank: number, because: string): void {
    this.fail(new CommunicationError(`rank ${rank} has ended, but ${because}; ${sameCalls}`, { rank }));
  }

  #twice(rank: number, what: string): void {
    this.fail(new CommunicationError(`rank ${rank} ${what}; give each a tag of its own`, { rank }));
  }

  /** One timer for all waits: one a message would cost more than the message. */
  #startTimer(): void {
    this.#timer ??= setInterval(() => this.#look(), this.#patience.lookEveryMs);
  }

  #look(): void {
    const patience = this.#patience;
    patience.look();
    const waits = this.#waits.all();
    if (waits.length === 0 && this.#alone === undefined) this.#stopTimer();
    for (const wait of waits)
      if (++wait.looks > patience.most) {
        const cause = patience.cause(wait, waits);
        if (!cause) continue;
        const { rank, chain, circle } = cause;
        const who = circle ? "ranks have waited for each other" : `rank ${rank} has not answered`;
        const links = chain.map(({ from, to, call }) => `rank ${to} waits for rank ${from} in ${named(call)}`);
        this.fail(new CommunicationError(`${who} for ${this.#seconds}: ${links.join(", ")}; ${sameCalls}`, { rank }));
        return;
      }
    if (this.#alone !== undefined) this.#lookElsewhere(this.#alone, waits);
  }

  #lookElsewhere(rank: number, waits: readonly Wait<P>[]): void {
    const patience = this.#patience;
    const ended = this.#ended.has(rank);
    if (ended && ++this.#looksAtEnd > patience.most)
      for (let other = 0; other < this.size; other++)
        if (!this.#ended.has(other) && patience.isLost(other)) {
          const silence = `rank ${other} has given no sign of life for ${this.#seconds}`;
          this.fail(
            new CommunicationError(`${silence}: rank ${rank} has ended and waits for its end`, { rank: other }),
          );
          return;
        }
    const long = patience.most / 4;
    if (!this.#asked && this.#looksAtEnd < long && !waits.some(({ looks }) => looks >= long)) return;
    this.#asked = false;
    const edges = waits.filter(({ looks }) => looks > 0).map(({ from, to, call, part }) => ({ from, to, call, part }));
    this.onNews?.({ idleMs: patience.idleMs(rank), waits: edges, ended });
  }

  get #seconds(): string {
    return `${(this.#timeoutMs / 1000).toFixed(1)} s`;
  }

  #stopTimer(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

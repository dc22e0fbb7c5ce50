// What ranks of one process share: messages under way, who waits for whom, and the failure that ends them all. A message is a parcel
// of any kind: tensors, memory and collectives are not its business.

import { type Call, CommunicationError, keyOf, sameCall, textOf } from "./link.ts";

/** A message of a call, whether it is there yet or not. */
export interface Edge {
  readonly from: number;
  readonly to: number;
  readonly call: Call;
  readonly part: number;
}

interface Sent<P> extends Edge {
  readonly parcel: P | undefined;
}

interface Wait<P> extends Edge {
  /** how often the timer has found it waiting */
  looks: number;
  resolve: (parcel: P | undefined) => void;
  reject: (error: CommunicationError) => void;
}

/** What each call of a group has, or each message of it: found by numbers under the group's name, which costs a fraction of a string made
 *  for each. */
class Register<T> {
  readonly #groups = new Map<string, Map<number | string, T>>();

  get(group: string, id: number | string): T | undefined {
    return this.#groups.get(group)?.get(id);
  }

  set(group: string, { id, value }: { id: number | string; value: T }): void {
    const own = this.#groups.get(group);
    if (own) own.set(id, value);
    else this.#groups.set(group, new Map([[id, value]]));
  }

  delete(group: string, id: number | string): void {
    this.#groups.get(group)?.delete(id);
  }

  all(): T[] {
    return [...this.#groups.values()].flatMap((own) => [...own.values()]);
  }

  clear(): void {
    this.#groups.clear();
  }
}

const sameCalls = "every rank must make the same calls in the same order";
const named = (call: Call) => `${textOf(call)} (${keyOf(call)})`;
/** Calls of a group that may be under way at a time, a power of two. */
const callsUnderWay = 2 ** 20;

export class World<P extends Disposable> {
  readonly size: number;
  /** called once, when the first failure is known */
  onFailure: (() => void) | undefined;
  /** called with waits that have taken half of what they may: ranks that do not share this world would like to know */
  onLongWait: ((waits: Edge[]) => void) | undefined;
  readonly #timeoutMs: number;
  readonly #lookEveryMs: number;
  readonly #messages = new Register<Sent<P>>();
  readonly #waits = new Register<Wait<P>>();
  /** calls that some ranks have entered and others not yet */
  readonly #entered = new Register<{ call: Call; rank: number; missing: number }>();
  readonly #ended = new Set<number>();
  /** what ranks outside this process said they wait for, and have not gone on since */
  readonly #noted = new Map<number, readonly Edge[]>();
  #failure: CommunicationError | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor({ size, timeoutMs }: { size: number; timeoutMs: number }) {
    this.size = size;
    this.#timeoutMs = timeoutMs;
    this.#lookEveryMs = Math.min(1000, timeoutMs / 4);
  }

  get failure(): CommunicationError | undefined {
    return this.#failure;
  }

  enter(rank: number, call: Call): void {
    if (this.#failure) throw this.#failure;
    const { group, which } = call;
    const first = this.#entered.get(group, which);
    if (!first) this.#entered.set(group, { id: which, value: { call, rank, missing: call.members - 1 } });
    else if (!sameCall(first.call, call)) throw this.#disagree(first, { rank, call });
    else if (--first.missing === 0) this.#entered.delete(group, which);
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
    this.#noted.delete(from);
    const wait = this.#waits.get(group, box);
    if (wait && !sameCall(wait.call, call)) this.#disagree({ rank: from, call }, { rank: to, call: wait.call });
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
      wait.resolve(parcel);
    }
  }

  receive(edge: Edge): Promise<P | undefined> {
    const { from, to, call } = edge;
    const { group } = call;
    const box = this.#box(edge);
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
      this.#timer ??= setInterval(() => this.#look(), this.#lookEveryMs);
    });
  }

  /** A rank outside this process waits on these edges. */
  note(rank: number, edges: readonly Edge[]): void {
    this.#noted.set(rank, edges);
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
    if (this.#ended.size === this.size) this.#stopTimer();
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

  /** One timer for all waits: one a message would cost more than the message. It counts looks instead of reading a clock, so that the
   *  time for which a rank's computing blocks all of them is nobody's silence. */
  #look(): void {
    const waits = this.#waits.all();
    if (waits.length === 0) this.#stopTimer();
    const most = this.#timeoutMs / this.#lookEveryMs;
    let long = false;
    for (const wait of waits)
      if (++wait.looks > most) {
        const chain = chainFrom(wait, [...waits, ...[...this.#noted.values()].flat()]);
        const silent = chain[chain.length - 1].from;
        const seconds = `${(this.#timeoutMs / 1000).toFixed(1)} s`;
        const circle = chain.some(({ to }) => to === silent);
        const who = circle
          ? `ranks have waited for each other for ${seconds}`
          : `rank ${silent} has not answered for ${seconds}`;
        const links = chain.map(({ from, to, call }) => `rank ${to} waits for rank ${from} in ${named(call)}`);
        this.fail(new CommunicationError(`${who}: ${links.join(", ")}; ${sameCalls}`, { rank: silent }));
        return;
      } else if (wait.looks === Math.ceil(most / 2)) long = true;
    if (long) this.onLongWait?.(waits.map(({ from, to, call, part }) => ({ from, to, call, part })));
  }

  #stopTimer(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

/** The waits that lead from the first to a rank that waits for nobody, or else round a circle. */
function chainFrom(first: Edge, waits: readonly Edge[]): Edge[] {
  const chains = [[first]];
  const seen = new Set<number>();
  let circle: Edge[] = [first];
  for (const chain of chains) {
    const { from } = chain[chain.length - 1];
    if (seen.has(from)) {
      if (chain.some(({ to }) => to === from)) circle = chain;
      continue;
    }
    seen.add(from);
    const next = waits.filter(({ to }) => to === from);
    if (next.length === 0) return chain;
    for (const edge of next) chains.push([...chain, edge]);
  }
  return circle;
}

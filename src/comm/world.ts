// What ranks of one process share: messages under way, who waits for whom, and the failure that ends them all. A message is a parcel
// of any kind: tensors, memory and collectives are not its business.

import { type Call, CommunicationError } from "./link.ts";

/** Who sends to whom in which call. */
interface Edge {
  from: number;
  to: number;
  call: Call;
}

/** A message's address: no other has the same box while it is under way. */
interface Address extends Edge {
  box: string;
}

interface Wait<P> extends Edge {
  /** how often the timer has found it waiting */
  looks: number;
  resolve: (parcel: P | undefined) => void;
  reject: (error: CommunicationError) => void;
}

const sameCalls = "every rank must make the same calls in the same order";
const named = ({ text, key }: Call) => `${text} (${key})`;

export class World<P extends Disposable> {
  readonly size: number;
  /** called once, when the first failure is known */
  onFailure: (() => void) | undefined;
  readonly #timeoutMs: number;
  readonly #lookEveryMs: number;
  readonly #messages = new Map<string, Edge & { parcel: P | undefined }>();
  readonly #waits = new Map<string, Wait<P>>();
  /** calls that some ranks have entered and others not yet */
  readonly #entered = new Map<string, { call: Call; rank: number; missing: number }>();
  readonly #ended = new Set<number>();
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
    const first = this.#entered.get(call.key);
    if (!first) this.#entered.set(call.key, { call, rank, missing: call.members - 1 });
    else if (first.call.text !== call.text) throw this.#disagree(first, { rank, call });
    else if (--first.missing === 0) this.#entered.delete(call.key);
  }

  /** Takes over the parcel. */
  send({ from, to, call, box }: Address, parcel: P | undefined): void {
    const wait = this.#waits.get(box);
    if (wait && wait.call.text !== call.text) this.#disagree({ rank: from, call }, { rank: to, call: wait.call });
    if (this.#ended.has(to)) this.#tooFew(to, `rank ${from} sends to it in ${named(call)}`);
    if (this.#messages.has(box)) this.#twice(from, `sends rank ${to} two messages at once in ${named(call)}`);
    if (this.#failure) {
      parcel?.[Symbol.dispose]();
      throw this.#failure;
    }
    if (!wait) this.#messages.set(box, { from, to, call, parcel });
    else {
      this.#waits.delete(box);
      wait.resolve(parcel);
    }
  }

  receive({ from, to, call, box }: Address): Promise<P | undefined> {
    const sent = this.#messages.get(box);
    if (sent && sent.call.text !== call.text) this.#disagree({ rank: from, call: sent.call }, { rank: to, call });
    if (!sent && this.#ended.has(from)) this.#tooFew(from, `rank ${to} waits for it in ${named(call)}`);
    if (this.#waits.has(box)) this.#twice(to, `waits twice for one message of rank ${from} in ${named(call)}`);
    if (this.#failure) return Promise.reject(this.#failure);
    if (sent) {
      this.#messages.delete(box);
      return Promise.resolve(sent.parcel);
    }
    return new Promise((resolve, reject) => {
      this.#waits.set(box, { from, to, call, looks: 0, resolve, reject });
      this.#timer ??= setInterval(() => this.#look(), this.#lookEveryMs);
    });
  }

  /** The rank's program is over. What others still send it, or wait for from it, will never meet. */
  end(rank: number): void {
    this.#ended.add(rank);
    for (const { from, to, call } of this.#waits.values()) {
      if (from === rank) this.#tooFew(rank, `rank ${to} waits for it in ${named(call)}`);
      if (to === rank) this.#tooFew(rank, `its own ${named(call)} still waits for rank ${from}`);
    }
    for (const { from, to, call } of this.#messages.values())
      if (to === rank) this.#tooFew(rank, `rank ${from} has sent it something in ${named(call)}`);
    if (this.#ended.size === this.size) this.#stopTimer();
  }

  /** The first failure ends every wait, now and later; another one changes nothing. */
  fail(failure: CommunicationError): void {
    if (this.#failure) return;
    this.#failure = failure;
    for (const { reject } of this.#waits.values()) reject(failure);
    this.#waits.clear();
    for (const { parcel } of this.#messages.values()) parcel?.[Symbol.dispose]();
    this.#messages.clear();
    this.#stopTimer();
    this.onFailure?.();
  }

  #disagree(a: { rank: number; call: Call }, b: { rank: number; call: Call }): CommunicationError {
    const failure = new CommunicationError(
      `ranks disagree at ${a.call.key}: rank ${a.rank} calls ${a.call.text}, rank ${b.rank} calls ${b.call.text}; ${sameCalls}`,
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
    if (this.#waits.size === 0) this.#stopTimer();
    for (const wait of this.#waits.values())
      if (++wait.looks > this.#timeoutMs / this.#lookEveryMs) {
        const chain = chainFrom(wait, [...this.#waits.values()]);
        const silent = chain[chain.length - 1].from;
        const seconds = `${(this.#timeoutMs / 1000).toFixed(1)} s`;
        const circle = chain.some(({ to }) => to === silent);
        const who = circle
          ? `ranks have waited for each other for ${seconds}`
          : `rank ${silent} has not answered for ${seconds}`;
        const links = chain.map(({ from, to, call }) => `rank ${to} waits for rank ${from} in ${named(call)}`);
        this.fail(new CommunicationError(`${who}: ${links.join(", ")}; ${sameCalls}`, { rank: silent }));
        return;
      }
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

// Who is in a room on NATS, as one of its members sees it. Pure: entries of the key-value store and messages are handed in opened, the clock
// as a function.
//
// An entry proves that somebody with the secret made it, not when: whoever can write to the store may put an old one there again. So a
// member counts only once it has said something to this one, under a name that did not exist before this one came; and what either says is
// numbered, so that nothing is taken twice.

import { type Plan, ProtocolError, parseToRoom, type ToRoom } from "./protocol.ts";

type Join = Extract<ToRoom, { kind: "join" }>;

/** What a member keeps in the store, JSON. */
export interface Entry {
  /** random, of one connection */
  id: string;
  /** the revision under which it first entered the store: grows with every joining, never given twice */
  number: number;
  /** grows with every entry of the same id */
  sequence: number;
  /** whether it knows what the room runs, and so can lead */
  planned: boolean;
  /** the same as a member of another room says when it joins, without the secret */
  join: Join;
  /** its id before its connection broke */
  before?: string;
}

export interface Peer extends Entry {
  heardMs: number;
}

/** What outlives a connection. */
export interface Memory {
  /** what the room runs, once it is known */
  plan: Plan | undefined;
  /** by the clock since 1970: from then on nobody comes in who was not there before */
  expiresMs: number | undefined;
  /** the last that was heard of */
  generation: number;
  /** id of the connection before */
  before: string | undefined;
  /** this member made the room: nobody else may be there when it first comes */
  founds: boolean;
}

export interface Refusal {
  reason: string;
  /** coming again will not help */
  final: boolean;
}

interface Record {
  entry: Entry | undefined;
  /** it has spoken to this member since it was last silent or left */
  answered: boolean;
  firstMs: number;
  heardMs: number;
  /** of the last message to this member */
  said: number;
  /** why it is not there any more, where it is known */
  reason?: string;
}

export const idPattern = /^[\w-]{22}$/;
/** Ids ever seen that are kept, to know what was said before. */
const mostRecords = 1024;

export const entryText = ({ join, ...entry }: Entry): string =>
  JSON.stringify({ ...entry, join: JSON.stringify({ ...join, secret: "" }) });

/** @throws ProtocolError for what no member puts there */
export function parseEntry(value: unknown): Entry {
  const { id, number, sequence, planned, join, before } = Object(value) as { [field: string]: unknown };
  const parsed = parseToRoom(typeof join === "string" ? join : "");
  const isCount = (count: unknown): count is number => Number.isSafeInteger(count) && (count as number) >= 0;
  const isId = (text: unknown): text is string => typeof text === "string" && idPattern.test(text);
  if (parsed.kind !== "join" || !isId(id) || !isCount(number) || !isCount(sequence) || typeof planned !== "boolean")
    throw new ProtocolError("an entry is none of a member");
  return { id, number, sequence, planned, join: parsed, ...(isId(before) && { before }) };
}

export class Roster {
  readonly #silentMs: number;
  /** how long a member is waited for that is in the store and has said nothing */
  readonly #answerMs: number;
  readonly #nowMs: () => number;
  readonly #records = new Map<string, Record>();

  constructor({ silentMs, nowMs }: { silentMs: number; nowMs: () => number }) {
    this.#silentMs = silentMs;
    this.#answerMs = Math.min(3000, silentMs / 2);
    this.#nowMs = nowMs;
  }

  /** Those who are there, in the order of joining. */
  get living(): Peer[] {
    const peers = [...this.#records.values()].flatMap(({ entry, answered, heardMs }) =>
      entry && entry.number > 0 && answered ? [{ ...entry, heardMs }] : [],
    );
    const former = new Set(peers.map(({ before }) => before));
    return peers.filter(({ id }) => !former.has(id)).sort((a, b) => a.number - b.number);
  }

  /** An entry of the store.
   *  @returns whether the member shall be told that this one is there, so that it answers */
  put(entry: Entry): boolean {
    const record = this.#record(entry.id);
    if (!record || (record.entry && entry.sequence <= record.entry.sequence)) return false;
    record.entry = entry;
    if (record.answered) record.heardMs = this.#nowMs();
    return !record.answered;
  }

  /** A message of a member to this one, by its number.
   *  @returns false for one that was seen before */
  heard(id: string, sequence: number): boolean {
    const record = this.#record(id);
    if (!record || sequence <= record.said) return false;
    record.said = sequence;
    record.answered = true;
    record.heardMs = this.#nowMs();
    return true;
  }

  get(id: string): Peer | undefined {
    const record = this.#records.get(id);
    return record?.answered && record.entry ? { ...record.entry, heardMs: record.heardMs } : undefined;
  }

  drop(id: string, reason: string): void {
    const record = this.#records.get(id);
    if (record) Object.assign(record, { answered: false, reason });
  }

  /** Why one is not there any more. */
  reasonOf(id: string): string {
    return this.#records.get(id)?.reason ?? "has come again";
  }

  /** This member could not have heard anybody: its machine slept, say. */
  excuse(): void {
    for (const record of this.#records.values()) record.heardMs = this.#nowMs();
  }

  /** Drops those that have been silent for too long. */
  expire(): void {
    const silence = `has not been heard of for ${this.#silentMs / 1000} s`;
    for (const { id, heardMs } of this.living) if (this.#nowMs() - heardMs >= this.#silentMs) this.drop(id, silence);
  }

  /** The id of the member that assigns ranks: the smallest number among those who know the plan, `own` included. Undefined while a smaller
   *  one may be there. */
  leader(own: Entry): string | undefined {
    const able = [own, ...this.living].filter(({ planned, number }) => planned && number > 0);
    const first = able.reduce<Entry | undefined>(
      (least, each) => (least && least.number < each.number ? least : each),
      undefined,
    );
    const awaited = this.#awaited().some(({ planned, number }) => planned && (!first || number < first.number));
    return awaited ? undefined : first?.id;
  }

  /** Why a member that has just come cannot stay; undefined while it can, or may.
   *  @param unreadable whether something in the store could not be opened */
  refusal({ plan, founds }: Memory, unreadable: boolean): Refusal | undefined {
    const planned = this.living.some((each) => each.planned);
    if (founds && planned) return { reason: "there is such a room already; use another name, or join it", final: true };
    if (plan || planned || this.#awaited().length > 0) return undefined;
    // Whatever is there was made with another secret, or by somebody without one.
    if (unreadable) return { reason: "the secret is wrong; use the whole link, with what follows its #", final: true };
    return { reason: "nobody is there; open the room first", final: false };
  }

  /** Those that have not answered yet, and those whose answer came before the entry that has their number. */
  #awaited(): Entry[] {
    const sinceMs = this.#nowMs() - this.#answerMs;
    return [...this.#records.values()].flatMap(({ entry, answered, firstMs, said }) =>
      entry && firstMs > sinceMs && (answered ? entry.number === 0 : said === 0) ? [entry] : [],
    );
  }

  #record(id: string): Record | undefined {
    const nowMs = this.#nowMs();
    let record = this.#records.get(id);
    if (!record) {
      // Only who has the secret gets here. Forgotten are those that went first.
      if (this.#records.size >= mostRecords) {
        const old = [...this.#records].find(([, { answered }]) => !answered);
        if (!old) return undefined;
        this.#records.delete(old[0]);
      }
      record = { entry: undefined, answered: false, firstMs: nowMs, heardMs: nowMs, said: 0 };
      this.#records.set(id, record);
    }
    return record;
  }
}

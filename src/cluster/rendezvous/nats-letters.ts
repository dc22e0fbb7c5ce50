// What members of a room on NATS say to each other: sealed messages from one connection to another, in order. A flood of what cannot be opened is
// cut off, and noticed by nobody but who is flooded.

import type { Msg, NatsConnection } from "@nats-io/nats-core";
import { idPattern } from "./nats-roster.ts";
import type { Seal } from "./nats-seal.ts";
import { bounds } from "./protocol.ts";

/** `ask`: to who leads. `tell`: from it. `peer`: of one rank to another. */
const kinds = ["hello", "bye", "attend", "ask", "tell", "peer", "propose"] as const;

export interface Letter {
  kind: (typeof kinds)[number];
  /** JSON: a ToRoom, a FromRoom or a Plan */
  text: string;
  /** of a start: connections by rank */
  ids: readonly string[];
  /** of a welcome: when the room's link expires, by the clock since 1970 */
  expiresMs?: number;
}

interface Received extends Letter {
  from: string;
  /** grows with every letter of the same sender */
  sequence: number;
}

/** A sealed letter: the longest text, escaped as JSON inside JSON. */
const mostBytes = 2 * bounds.answerBytes;
/** Letters that wait to be opened, and bytes of them: more than all members of a mesh of 64 say at once. */
const [mostWaiting, mostWaitingBytes] = [4096, 1 << 25];

const utf8 = new TextEncoder();
const decoder = new TextDecoder();

export class Letters {
  readonly #connection: NatsConnection;
  readonly #seal: Seal;
  readonly #id: string;
  readonly #subject: string;
  readonly #take: (letter: Received) => void;
  readonly #lost: (reason: string) => void;
  #sequence = 0;
  #waiting = 0;
  #waitingBytes = 0;
  #in: Promise<void> = Promise.resolve();
  #out: Promise<void> = Promise.resolve();

  constructor(options: {
    connection: NatsConnection;
    seal: Seal;
    room: string;
    id: string;
    take: (letter: Received) => void;
    lost: (reason: string) => void;
  }) {
    const { connection, seal, room, id, take, lost } = options;
    this.#connection = connection;
    this.#seal = seal;
    this.#id = id;
    this.#subject = `shardgrad.${room}.to`;
    this.#take = take;
    this.#lost = lost;
    connection.subscribe(`${this.#subject}.${id}`, { callback: (_, message) => this.#arrive(message) });
  }

  /** Resolves when all has been handed to the connection. */
  get sent(): Promise<void> {
    return this.#out;
  }

  send(to: string, { kind, text = "", ids = [], expiresMs }: Pick<Letter, "kind"> & Partial<Letter>): void {
    const letter = { kind, text, ids, expiresMs, from: this.#id, sequence: ++this.#sequence };
    if (to === this.#id) {
      // Like the others', later: nobody is called back before they return.
      this.#in = this.#in.then(() => this.#take(letter));
      return;
    }
    const subject = `${this.#subject}.${to}`;
    const bytes = utf8.encode(JSON.stringify(letter));
    this.#out = this.#out
      .then(async () => this.#connection.publish(subject, await this.#seal.close(bytes, subject)))
      .catch((error: Error) => this.#lost(error.message));
  }

  #arrive({ data, subject }: Msg): void {
    const { length } = data;
    if (length > mostBytes || this.#waiting >= mostWaiting || this.#waitingBytes + length > mostWaitingBytes) return;
    this.#waiting++;
    this.#waitingBytes += length;
    this.#in = this.#in.then(async () => {
      this.#waiting--;
      this.#waitingBytes -= length;
      const opened = await this.#seal.open(data, subject);
      const letter = opened && letterOf(opened);
      if (letter) this.#take(letter);
    });
  }
}

/** Of one connection: 128 random bits. */
export const newId = (): string =>
  btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(16))))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");

/** @returns undefined for what no member says */
function letterOf(bytes: Uint8Array): Received | undefined {
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(bytes));
  } catch {
    return undefined;
  }
  const { kind, from, sequence, text, ids, expiresMs } = Object(value) as { [field: string]: unknown };
  const known = kinds.find((each) => each === kind);
  const isId = (id: unknown): id is string => typeof id === "string" && idPattern.test(id);
  if (!known || !isId(from) || !Number.isSafeInteger(sequence) || typeof text !== "string") return undefined;
  if (!Array.isArray(ids) || ids.length > bounds.members || !ids.every(isId)) return undefined;
  if (expiresMs !== undefined && typeof expiresMs !== "number") return undefined;
  return { kind: known, from, sequence: sequence as number, text, ids, expiresMs };
}

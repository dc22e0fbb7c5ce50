// What members and a room say to each other: JSON texts over a WebSocket, each way checked field by field and within bounds, since at
// either end may be a stranger. Errors name the field, never what stood in it.

import { type IceOptions, parseIce } from "../../comm/ice.ts";

/** Lengths in UTF-16 units unless they say bytes. */
export const bounds = {
  /** of a message to a room: the longest honest one, a signal, is a quarter of it */
  messageBytes: 65_536,
  /** of a message from a room: the list of all members beside a plan, each character escaped or 3 bytes */
  answerBytes: 262_144,
  secret: 128,
  /** guessing: 16 characters of base64 are 96 bits */
  shortestSecret: 16,
  name: 40,
  adapter: 120,
  reason: 240,
  layout: 16,
  program: 2048,
  about: 400,
  options: 16_384,
  /** session descriptions of data channels are below 2 KB */
  signal: 16_384,
  /** a mesh of WebRTC ranks has a channel for every pair that talks */
  ranks: 64,
  /** some who watch beside them */
  members: 80,
  whole: Number.MAX_SAFE_INTEGER,
} as const;

/** What no honest end sends. */
export class ProtocolError extends Error {
  override name = "ProtocolError";
}

/** What a room will run: the creator says it, and members agree to it. */
export interface Plan {
  layout: string;
  /** mesh dims; their product is the number of ranks */
  dims: readonly number[];
  /** the module that ranks run */
  program: string;
  /** the program's, JSON */
  options: string;
  /** in words, for who is asked to take part: what will run, and for how long */
  about: string;
  /** by which ranks find ways to each other; its passwords are for members alone, and not for showing */
  ice?: IceOptions;
}

export const roles = ["rank", "watcher"] as const;
/** here: has not agreed, or not again. agreed: waits for the next start. preparing: was chosen, and is asked whether it is ready. */
export const states = ["here", "agreed", "preparing", "running"] as const;

export interface Member {
  /** counts joinings of this room, from 1; never given twice */
  number: number;
  name: string;
  adapter: string;
  role: (typeof roles)[number];
  state: (typeof states)[number];
  /** while it is preparing or running */
  rank?: number;
}

type Fields = Readonly<Record<string, unknown>>;

/** Control characters would move a terminal's cursor, and marks of direction turn a name around. */
const unprintable = /[\p{C}\p{Zl}\p{Zp}]/u;

/** A text as a room takes it for a name: printable, and cut to so many UTF-16 units. */
export function printable(text: string, most: number): string {
  const shown = text.replace(new RegExp(unprintable, "gu"), " ").trim();
  return shown.slice(0, most).replace(/[\ud800-\udbff]$/, "");
}

function text(fields: Fields, field: string, { least = 0, most }: { least?: number; most: number }): string {
  const value = fields[field];
  if (typeof value !== "string") throw new ProtocolError(`${field} is no text`);
  if (value.length < least || value.length > most)
    throw new ProtocolError(`${field} has ${value.length} characters, need ${least} to ${most}`);
  return value;
}

function words(fields: Fields, field: string, range: { least?: number; most: number }): string {
  const value = text(fields, field, range);
  if (unprintable.test(value)) throw new ProtocolError(`${field} has characters that cannot be printed`);
  return value;
}

/** JSON that is handed on as the text it is: nobody here looks inside. */
function json(fields: Fields, field: string, most: number): string {
  const value = text(fields, field, { least: 1, most });
  try {
    JSON.parse(value);
  } catch {
    throw new ProtocolError(`${field} is not JSON`);
  }
  return value;
}

function whole(fields: Fields, field: string, { least = 0, most }: { least?: number; most: number }): number {
  const value = fields[field];
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < least || value > most)
    throw new ProtocolError(`${field} is no whole number from ${least} to ${most}`);
  return value;
}

function list<T>(fields: Fields, field: string, each: (value: unknown) => T): T[] {
  const value = fields[field];
  if (!Array.isArray(value)) throw new ProtocolError(`${field} is no list`);
  if (value.length > bounds.members) throw new ProtocolError(`${field} has more than ${bounds.members} entries`);
  return value.map(each);
}

function oneOf<T extends string>(fields: Fields, field: string, choices: readonly T[]): T {
  const choice = choices.find((each) => each === fields[field]);
  if (choice === undefined) throw new ProtocolError(`${field} is none of ${choices.join(", ")}`);
  return choice;
}

function flag(fields: Fields, field: string): boolean {
  const value = fields[field];
  if (typeof value !== "boolean") throw new ProtocolError(`${field} is neither true nor false`);
  return value;
}

function fieldsOf(value: unknown, what: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new ProtocolError(`${what} is no object`);
  return value as Fields;
}

const number = (fields: Fields, field: string, least = 0) => whole(fields, field, { least, most: bounds.whole });
const rank = (fields: Fields, field: string) => whole(fields, field, { most: bounds.ranks - 1 });
const reason = (fields: Fields) => words(fields, "reason", { most: bounds.reason });

/** @throws ProtocolError for a plan that no room runs */
export function parsePlan(value: unknown): Plan {
  const fields = fieldsOf(value, "plan");
  const dims = list(fields, "dims", (extent) => whole({ extent }, "extent", { least: 1, most: bounds.ranks }));
  const size = sizeOfPlan({ dims });
  if (dims.length === 0 || dims.length > 3 || size > bounds.ranks)
    throw new ProtocolError(
      `dims say ${size} ranks on ${dims.length} axes, need 1 to ${bounds.ranks} ranks on 1 to 3 axes`,
    );
  return {
    layout: words(fields, "layout", { least: 1, most: bounds.layout }),
    dims,
    program: words(fields, "program", { least: 1, most: bounds.program }),
    options: json(fields, "options", bounds.options),
    about: words(fields, "about", { most: bounds.about }),
    ...(fields["ice"] !== undefined && { ice: ice(fields["ice"]) }),
  };
}

function ice(value: unknown): IceOptions {
  try {
    return parseIce(value);
  } catch (error) {
    throw new ProtocolError(`ice cannot be: ${(error as Error).message}`);
  }
}

/** Number of ranks. */
export const sizeOfPlan = ({ dims }: Pick<Plan, "dims">): number => dims.reduce((size, extent) => size * extent, 1);

export const samePlan = (a: Plan, b: Plan): boolean =>
  a.layout === b.layout &&
  a.dims.join("x") === b.dims.join("x") &&
  a.program === b.program &&
  a.options === b.options &&
  a.about === b.about &&
  JSON.stringify(a.ice) === JSON.stringify(b.ice);

function parseMember(value: unknown): Member {
  const fields = fieldsOf(value, "member");
  return {
    number: number(fields, "number", 1),
    ...who(fields),
    state: oneOf(fields, "state", states),
    ...("rank" in fields && { rank: rank(fields, "rank") }),
  };
}

const who = (fields: Fields) => ({
  name: words(fields, "name", { least: 1, most: bounds.name }),
  adapter: words(fields, "adapter", { most: bounds.adapter }),
  role: oneOf(fields, "role", roles),
});

/** A table of what one end says: each kind with the check of its fields. What a check does not take is dropped. */
type Table = Readonly<Record<string, (fields: Fields) => object>>;
type MessageOf<T extends Table> = { [K in keyof T]: { kind: K } & ReturnType<T[K]> }[keyof T];

const toRoom = {
  /** the first message of a connection; `running`: of which generation, from a member that lost its connection while its mesh went on, else 0 */
  join: (fields) => ({
    secret: text(fields, "secret", { most: bounds.secret }),
    ...who(fields),
    running: number(fields, "running"),
  }),
  /** to what the plan of that number runs; a running member has ended its run with it */
  agree: (fields) => ({ plan: number(fields, "plan", 1) }),
  ready: (fields) => ({ generation: number(fields, "generation", 1) }),
  /** the run has ended on this member, and so on all */
  over: (fields) => ({ generation: number(fields, "generation", 1), reason: reason(fields) }),
  /** `sequence` grows with every signal of a connection: one that was seen before is not relayed */
  signal: (fields) => ({
    generation: number(fields, "generation", 1),
    to: rank(fields, "to"),
    sequence: number(fields, "sequence", 1),
    data: text(fields, "data", { least: 1, most: bounds.signal }),
  }),
  pong: () => ({}),
  leave: () => ({}),
} satisfies Table;

const fromRoom = {
  welcome: (fields) => ({
    number: number(fields, "number", 1),
    members: list(fields, "members", parseMember),
    ...numberedPlan(fields),
    /** between two signs of life */
    pingMs: whole(fields, "pingMs", { least: 1, most: 600_000 }),
  }),
  /** those that are new, or in another state */
  members: (fields) => ({ members: list(fields, "members", parseMember) }),
  left: (fields) => ({ number: number(fields, "number", 1), reason: reason(fields) }),
  plan: (fields) => numberedPlan(fields),
  /** are you ready to start as this rank? Asked again while the answer is missing. */
  prepare: (fields) => ({ generation: number(fields, "generation", 1), rank: rank(fields, "rank") }),
  /** `ranks`: members' numbers in the order of ranks */
  start: (fields) => ({
    generation: number(fields, "generation", 1),
    rank: rank(fields, "rank"),
    ranks: list(fields, "ranks", (value) => number({ value }, "value", 1)),
  }),
  /** the run has ended, or did not begin for this member */
  over: (fields) => ({ generation: number(fields, "generation", 1), reason: reason(fields) }),
  signal: (fields) => ({
    generation: number(fields, "generation", 1),
    from: rank(fields, "from"),
    data: text(fields, "data", { least: 1, most: bounds.signal }),
  }),
  ping: () => ({}),
  /** the connection ends; when it is `final`, trying again will not help */
  dropped: (fields) => ({ reason: reason(fields), final: flag(fields, "final") }),
} satisfies Table;

function numberedPlan(fields: Fields): { plan: Plan; planNumber: number } {
  return { plan: parsePlan(fields["plan"]), planNumber: number(fields, "planNumber", 1) };
}

export type ToRoom = MessageOf<typeof toRoom>;
export type FromRoom = MessageOf<typeof fromRoom>;

function parse<T extends Table>(table: T, message: string): MessageOf<T> {
  let value: unknown;
  try {
    value = JSON.parse(message);
  } catch {
    throw new ProtocolError("a message is not JSON");
  }
  const fields = fieldsOf(value, "a message");
  const { kind } = fields;
  if (typeof kind !== "string" || !Object.hasOwn(table, kind))
    throw new ProtocolError(`a message is of no known kind; need ${Object.keys(table).join(", ")}`);
  return { kind, ...table[kind](fields) } as MessageOf<T>;
}

/** @throws ProtocolError for what no member sends */
export function parseToRoom(message: string): ToRoom {
  const { messageBytes } = bounds;
  if (message.length > messageBytes)
    throw new ProtocolError(`a message has ${message.length} characters, at most ${messageBytes}`);
  return parse(toRoom, message);
}

/** @throws ProtocolError for what no room sends */
export const parseFromRoom = (message: string): FromRoom => parse(fromRoom, message);

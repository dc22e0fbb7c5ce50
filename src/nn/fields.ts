// Reads JSON objects field by field and refuses, in one sentence, what a reader did not expect.
// Knows no model: config.ts says which fields there are.

import { UserError } from "../backend/errors.ts";

/** Largest size a field may have: what an i32 on the device can count. */
const maxSize = 2 ** 31 - 1;

/** The nearest of `words` by edit distance, or undefined when none is close enough to be a slip of the pen. */
export function nearest(word: string, words: Iterable<string>): string | undefined {
  const folded = word.toLowerCase().slice(0, 64);
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(folded.length / 3)) + 1;
  for (const candidate of words) {
    const distance = editDistance(folded, candidate.toLowerCase());
    // Of a short word, or of none, half must be right.
    if (2 * distance > Math.max(folded.length, candidate.length)) continue;
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/** Insertions, deletions and substitutions that make `b` of `a` (Levenshtein 1966). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length];
}

/** A value as a person would write it, cut short. */
export function show(value: unknown): string {
  if (value === undefined) return "nothing";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object" && value !== null) return "an object";
  const text = typeof value === "string" ? JSON.stringify(value) : String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

/** The fields of one JSON object. Every reader throws a UserError that names the field. Without a `fallback` a field must be there;
 *  null counts as absent, as Hugging Face writes it. */
export class Fields {
  readonly #values: Map<string, unknown>;
  readonly #what: string;
  /** @param what how messages call the object, e.g. "model config" */
  constructor(json: unknown, what: string) {
    if (typeof json !== "object" || json === null || Array.isArray(json)) {
      throw new UserError(`${what}: got ${show(json)}, need a JSON object with named fields`);
    }
    this.#values = new Map(Object.entries(json));
    this.#what = what;
  }

  get(name: string): unknown {
    return this.#values.get(name) ?? undefined;
  }

  /** A UserError about one field. */
  refuse(name: string, needed: string): UserError {
    return new UserError(`${this.#what}: got ${name} ${show(this.#values.get(name))}, need ${needed}`);
  }

  /** @throws UserError for a field that is in neither list, with the nearest known name */
  only(known: readonly string[], ignored: readonly string[] = []): void {
    const all = new Set([...known, ...ignored]);
    for (const name of this.#values.keys()) {
      if (all.has(name)) continue;
      const near = nearest(name, known);
      throw new UserError(
        `${this.#what}: unknown field ${show(name)}; ${near ? `did you mean "${near}"?` : `its fields are ${known.join(", ")}`}`,
      );
    }
  }

  number(
    name: string,
    { fallback, needed, ok }: { fallback?: number; needed: string; ok(value: number): boolean },
  ): number {
    const value = this.get(name) ?? fallback;
    if (typeof value !== "number" || !Number.isFinite(value) || !ok(value)) throw this.refuse(name, needed);
    return value;
  }

  /** A whole number from 1 to 2^31 - 1. */
  size(name: string, fallback?: number): number {
    const ok = (value: number) => Number.isInteger(value) && value >= 1 && value <= maxSize;
    return this.number(name, { fallback, needed: `a whole number from 1 to ${maxSize}`, ok });
  }

  /** A number above 0. */
  positive(name: string, fallback?: number): number {
    return this.number(name, { fallback, needed: "a number above 0", ok: (value) => value > 0 });
  }

  /** A number from 0 up to, not including, 1. */
  fraction(name: string, fallback?: number): number {
    return this.number(name, {
      fallback,
      needed: "a number from 0 to below 1",
      ok: (value) => value >= 0 && value < 1,
    });
  }

  boolean(name: string, fallback?: boolean): boolean {
    const value = this.get(name) ?? fallback;
    if (typeof value !== "boolean") throw this.refuse(name, "true or false");
    return value;
  }

  choice<T extends string>(name: string, { choices, fallback }: { choices: readonly T[]; fallback?: T }): T {
    const value = this.get(name) ?? fallback;
    const found = choices.find((choice) => choice === value);
    if (found === undefined) {
      const near = typeof value === "string" ? nearest(value, choices) : undefined;
      throw this.refuse(
        name,
        `${choices.map((choice) => `"${choice}"`).join(" or ")}${near ? `; did you mean "${near}"?` : ""}`,
      );
    }
    return found;
  }

  /** For fields that would change results: only the values that leave them as they are here. */
  fixed(allowed: Readonly<Record<string, unknown>>): void {
    for (const [name, only] of Object.entries(allowed)) {
      const value = this.get(name);
      if (value !== undefined && value !== only) {
        throw this.refuse(
          name,
          only === undefined ? "null: it is not supported" : `${show(only)}: nothing else is supported`,
        );
      }
    }
  }
}

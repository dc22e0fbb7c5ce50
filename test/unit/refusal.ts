// Asserts that a user's mistake becomes one clear sentence.

import { is, match, ok, unreachable } from "uvu/assert";
import { UserError } from "../../src/backend/errors.ts";

/** @param pattern what the sentence must say */
export function refuses(work: () => unknown, pattern: RegExp): void {
  try {
    work();
  } catch (error) {
    ok(error instanceof UserError, `got ${error}, need a UserError`);
    match(error.message, pattern);
    is(error.message.includes("\n"), false, "one sentence");
    return;
  }
  unreachable(`nothing was refused; need ${pattern}`);
}

/** The result of `work`, or undefined when it threw a UserError; anything else it throws goes through. */
export function unlessRefused<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (error instanceof UserError) return undefined;
    throw error;
  }
}

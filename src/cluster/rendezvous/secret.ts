// A room's secret: who has it may join, and no one else. Kept as a digest, compared in constant time, in no log and no error.

import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { UserError } from "../../backend/errors.ts";
import { bounds } from "./protocol.ts";

const digest = (text: string): Buffer => createHash("sha256").update(text).digest();

/** 128 bits, as a link carries them. */
export const newSecret = (): string => randomBytes(16).toString("base64url");

export class Secret {
  readonly #digest: Buffer;
  readonly #expiresMs: number;

  /** @throws UserError for what a guesser would find, or what no link can carry */
  constructor(secret: string, expiresMs = Number.POSITIVE_INFINITY) {
    const { shortestSecret: least, secret: most } = bounds;
    if (secret.length < least || secret.length > most || !/^[\w.~-]+$/.test(secret))
      throw new UserError(
        `the secret has ${secret.length} characters, need ${least} to ${most} of a-z, A-Z, 0-9 and -._~; leave it out to get one`,
      );
    this.#digest = digest(secret);
    this.#expiresMs = expiresMs;
  }

  /** Why somebody with this one does not get in; undefined: gets in. That a link has expired only hears who had it. */
  refusal(given: string, nowMs: number): string | undefined {
    if (given === "") return "no secret was given; use the whole link, with what follows its #";
    if (!timingSafeEqual(digest(given), this.#digest))
      return "the secret is wrong; use the whole link, with what follows its #";
    return nowMs >= this.#expiresMs ? "the link has expired; ask for a new one" : undefined;
  }
}

// The text that a room trains on: a rank's own file, or what the room gives, and in each case what its plan says.

import { UserError } from "../backend/errors.ts";
import { RendezvousError } from "./rendezvous/connection.ts";
import type { Start } from "./rendezvous/membership.ts";

export interface PlannedText {
  /** where the room's server has it, or its name among what the room keeps: nobody guesses it, and only members are told */
  path: string;
  sha256: string;
  bytes: number;
}

/** Texts beyond this are not fetched from a stranger. */
const maxTextBytes = 256 * 2 ** 20;

/** The last text of a room, by its path, which no other room has: a run that begins again does not fetch it again. */
const had = new Map<string, Uint8Array>();

/** Whether it can be: it comes from whoever opened the room. */
export function isPlannedText(text: unknown): text is PlannedText {
  const { path, sha256, bytes } = Object(text) as { [field: string]: unknown };
  return (
    typeof path === "string" &&
    // Of the room's own server: what begins with // would be another's.
    /^(\/[\w-]+)+$/.test(path) &&
    typeof sha256 === "string" &&
    /^[0-9a-f]{64}$/.test(sha256) &&
    Number.isSafeInteger(bytes) &&
    (bytes as number) > 0 &&
    (bytes as number) <= maxTextBytes
  );
}

/** @param given a rank's own
 *  @param signal stops waiting for it, with its reason
 *  @throws UserError when it cannot be had, or is another than the plan's; the signal's reason */
export async function textOfRoom(options: {
  start: Pick<Start, "objects">;
  /** of the room */
  url: string;
  wanted: PlannedText;
  given?: Uint8Array;
  signal?: AbortSignal;
  note?: (text: string) => void;
}): Promise<Uint8Array> {
  const { start, url, wanted, signal, note } = options;
  signal?.throwIfAborted();
  let text = options.given ?? had.get(wanted.path);
  if (!text) {
    note?.("fetching the text");
    text = start.objects ? await keptText(start.objects, wanted) : await fetchedText(url, { wanted, signal });
  }
  await requireText(text, wanted);
  had.clear();
  had.set(wanted.path, text);
  return text;
}

/** What a room on NATS keeps. */
async function keptText(
  open: NonNullable<Start["objects"]>,
  { path, sha256, bytes }: PlannedText,
): Promise<Uint8Array> {
  try {
    const objects = await open();
    return await objects.get(path, { mostBytes: bytes });
  } catch (error) {
    if (!(error instanceof RendezvousError)) throw error;
    const advice = `join with --data FILE if you have the text (its SHA-256 is ${sha256})`;
    throw new UserError(`the room's text cannot be had: ${error.message}; ${advice}`);
  }
}

async function fetchedText(
  url: string,
  { wanted: { path, bytes }, signal }: { wanted: PlannedText; signal?: AbortSignal },
): Promise<Uint8Array> {
  const response = await fetch(new URL(path, url.replace(/^ws/, "http")), { redirect: "error", signal }).catch(
    (error: Error & { cause?: Error }) => {
      signal?.throwIfAborted();
      throw new UserError(`the room's server does not give its text: ${error.cause?.message ?? error.message}`);
    },
  );
  if (!response.ok || !response.body)
    throw new UserError(`the room's server answered ${response.status} where its text should be`);
  const text = new Uint8Array(bytes);
  let at = 0;
  for (const reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) return text.subarray(0, at);
    if (at + value.length > bytes) {
      await reader.cancel();
      throw new UserError(`the room's server gives more than the ${bytes} bytes that its plan names as the text`);
    }
    text.set(value, at);
    at += value.length;
  }
}

/** @throws UserError for another text than the plan's */
async function requireText(text: Uint8Array, { sha256, bytes }: PlannedText): Promise<void> {
  // Pages that did not come over https, or from this machine, are given no digests.
  const digest = globalThis.crypto?.subtle && (await crypto.subtle.digest("SHA-256", new Uint8Array(text)));
  const got = digest && [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  if (text.length === bytes && (!got || got === sha256)) return;
  const what = `${text.length} bytes${got ? ` with SHA-256 ${got}` : ""}`;
  throw new UserError(
    `the text is not the one that the room's plan names: got ${what}, need ${bytes} bytes with SHA-256 ${sha256}; use the same file, or none: the room gives it`,
  );
}

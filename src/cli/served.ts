// What commands that serve have in common: ports, and what browsers keep from addresses without https.

import { UserError } from "../backend/errors.ts";

/** @throws UserError for what is no port */
export function portNumber(text: string, { fallback }: { fallback: number }): number {
  if (/^\d{1,5}$/.test(text) && Number(text) < 65_536) return Number(text);
  throw new UserError(`got --port ${text === "" ? '""' : text}, need 0 to 65535; the default is ${fallback}`);
}

/** Browsers give GPUs and shared memory to pages that came over https or from the machine itself: a line where they will not. */
export function insecureNote(url: string): string | undefined {
  const { hostname, protocol, origin } = new URL(url);
  const local = hostname === "localhost" || hostname === "[::1]" || hostname.startsWith("127.");
  if (protocol !== "http:" || local) return undefined;
  return `pages from ${origin} get no GPU and one thread, since it is not https; a proxy and --public change that`;
}

// Where a server is: its address as others write it, and what went wrong when it could not be had.

import { networkInterfaces } from "node:os";
import { UserError } from "../../backend/errors.ts";

/** Whether a page of this origin is the server's own, who was asked as `host`. By a name of its own a stranger's page could lead here:
 *  addresses and localhost are nobody's. */
export function isOwnOrigin(
  origin: string,
  { host, listensAt }: { host: string | undefined; listensAt: string },
): boolean {
  if (!URL.canParse(origin)) return false;
  const { host: named, hostname } = new URL(origin);
  return named === host && (hostname === listensAt || /^(localhost|[\d.]+|\[.*\])$/.test(hostname));
}

/** Under which name others reach a server that listens at `host`. */
export function reachable(host: string): string {
  if (host !== "0.0.0.0" && host !== "::") return host;
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return all.find(({ family, internal }) => family === "IPv4" && !internal)?.address ?? "127.0.0.1";
}

/** @throws UserError for what is no address of a whole server */
export function publicOrigin(url: string | undefined): string {
  if (url === undefined) return "";
  const {
    protocol = "",
    pathname,
    search,
    hash,
    origin = "",
  } = URL.canParse(url) ? new URL(url) : ({} as Partial<URL>);
  if (/^https?:$/.test(protocol) && pathname === "/" && !search && !hash) return origin;
  throw new UserError("the public address needs the form https://HOST or https://HOST:PORT, with no path behind it");
}

export function notListening({ code, message }: NodeJS.ErrnoException, { host, port }: { host: string; port: number }) {
  if (code === "EADDRINUSE") return new UserError(`port ${port} of ${host} is taken; use another --port, or 0 for any`);
  if (code === "EACCES") return new UserError(`port ${port} of ${host} is not for this user; use a --port from 1024`);
  return new UserError(`cannot listen at ${host}, port ${port}: ${message}; use another --host or --port`);
}

// STUN and TURN servers as commands are given them. Passwords come from a file or the environment: what stands on a command line, everyone
// on the machine can read.

import { type Command, Option } from "commander";
import { UserError } from "../backend/errors.ts";
import { type IceOptions, type IceServer, iceBounds, iceUrls, isIceUrl, isTurn, parseIce } from "../comm/ice.ts";
import { readInput } from "./files.ts";

export interface IceFlags {
  ice?: string[];
  icePolicy?: IceOptions["iceTransportPolicy"];
  turnPassword?: string;
}

const password = "SHARDGRAD_TURN_PASSWORD";

export const addIceOptions = (command: Command): Command =>
  command
    .option(
      "--ice <server>",
      "a STUN or TURN server for channels between machines: stun:HOST:PORT or turn:NAME@HOST:PORT; may be repeated",
      (server: string, before: string[] = []) => [...before, server],
    )
    .addOption(
      new Option(
        "--ice-policy <name>",
        "relay sends everything by way of TURN servers (default: all, whatever way is found)",
      ).choices(["all", "relay"]),
    )
    .option("--turn-password <file>", `TURN's password is its first line (default: the variable ${password})`);

/** undefined where none of the flags was given
 *  @throws UserError, which shows no password */
export async function iceOf({ ice = [], icePolicy, turnPassword }: IceFlags): Promise<IceOptions | undefined> {
  if (ice.length === 0 && icePolicy === undefined && turnPassword === undefined) return undefined;
  if (ice.length > iceBounds.servers)
    throw new UserError(`got --ice ${ice.length} times, need at most ${iceBounds.servers} servers`);
  const servers = ice.map(parsed);
  const turn = servers.find(({ urls }) => isTurn(urls));
  if (!turn && turnPassword !== undefined)
    throw new UserError("got --turn-password and no TURN server; add --ice turn:NAME@HOST:PORT");
  const credential = turn && (await readPassword(turn.urls, turnPassword));
  const iceServers = servers.map((server) => (isTurn(server.urls) ? { ...server, credential } : server));
  try {
    return parseIce({ iceServers, iceTransportPolicy: icePolicy });
  } catch (error) {
    throw new UserError(
      `got --ice ${ice.length > 0 ? iceUrls({ iceServers }).join(", ") : ""}: ${(error as Error).message}`,
    );
  }
}

/** @throws UserError where relays alone are asked for, and there are none */
export function requireRelay(ice: IceOptions | undefined): void {
  if (ice?.iceTransportPolicy === "relay" && !iceUrls(ice).some(isTurn))
    throw new UserError("got --ice-policy relay and no TURN server; add --ice turn:NAME@HOST:PORT");
}

function parsed(server: string): IceServer & { urls: string } {
  const [, scheme = "", name, place = ""] = /^(\w+:)(?:(.*)@)?(.*)$/s.exec(server) ?? [];
  const urls = `${scheme}${place}`;
  const need = "need stun:HOST:PORT or turn:NAME@HOST:PORT";
  if (name?.includes(":"))
    throw new UserError(
      `got --ice ${scheme}...@${place} with a password, or a colon, in front of the @; ${need}: the password comes from ${password} or --turn-password FILE, and a colon in a name is written %3A`,
    );
  if (!isIceUrl(urls)) throw new UserError(`got --ice ${server === "" ? '""' : server}, ${need}`);
  if (isTurn(urls) !== Boolean(name)) {
    const which = isTurn(urls) ? "a TURN server without a name" : "a STUN server with a name";
    throw new UserError(`got --ice ${server}, ${which}; ${need}`);
  }
  return name ? { urls, username: decoded(name, server) } : { urls };
}

function decoded(name: string, server: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    throw new UserError(`got --ice ${server}, whose name is not encoded as in URLs; a % in it is written %25`);
  }
}

async function readPassword(server: string, file: string | undefined): Promise<string> {
  const text =
    file === undefined
      ? process.env[password]
      : new TextDecoder().decode(await readInput(file, "TURN's password")).split(/\r?\n/)[0];
  if (text) return text;
  throw new UserError(
    file === undefined
      ? `${server} wants a password: put it into ${password}, or into a file for --turn-password`
      : `${file}: its first line is empty, need TURN's password`,
  );
}

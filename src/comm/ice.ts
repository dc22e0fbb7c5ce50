// STUN and TURN servers: what one may look like, wherever it comes from, what of it may be shown, and what to say when they did not help.

/** STUN servers tell a rank its public address; TURN servers, which want a name and a password, relay what has no direct path. */
export interface IceServer {
  /** stun:HOST:PORT, turn:HOST:PORT or turns:HOST:PORT, these with ?transport=udp or tcp. Node takes turn over UDP alone. */
  readonly urls: string | readonly string[];
  readonly username?: string;
  readonly credential?: string;
}

export interface IceOptions {
  /** none by default: enough for ranks of one network */
  iceServers?: readonly IceServer[];
  /** "relay": by way of TURN servers alone, so that no rank tells another its address; "all" by default */
  iceTransportPolicy?: "all" | "relay";
}

/** They may come from strangers. Browsers warn from five servers on: each is asked from each address of the machine. */
export const iceBounds = { servers: 8, urls: 4, url: 256, username: 512, credential: 512 } as const;

const form = /^(stun|turns?):([a-z0-9._-]+|\[[0-9a-f:.]+\])(:\d{1,5})?$/i;
const transport = /\?transport=(udp|tcp)$/;
/** What crosses in one byte. */
const plain = /^[\x20-\x7e]+$/;

export const isTurn = (url: string): boolean => /^turns?:/i.test(url);

/** Whether it has the form of a server's URL; names and passwords have fields of their own. */
export function isIceUrl(url: string): boolean {
  const bare = isTurn(url) ? url.replace(transport, "") : url;
  const found = url.length <= iceBounds.url ? form.exec(bare) : null;
  if (!found) return false;
  const port = Number(found[3]?.slice(1) ?? 3478);
  return port >= 1 && port < 65_536;
}

/** The options, and nothing else that was with them.
 *  @throws SyntaxError naming the field, and nothing that stood in it: names and passwords are not for logs */
export function parseIce(value: unknown): IceOptions {
  const { iceServers = [], iceTransportPolicy } = fieldsOf(value, "they are");
  if (!Array.isArray(iceServers)) throw new SyntaxError("ICE servers are no list");
  if (iceServers.length > iceBounds.servers)
    throw new SyntaxError(`there are ${iceServers.length} ICE servers, need at most ${iceBounds.servers}`);
  if (iceTransportPolicy !== undefined && iceTransportPolicy !== "all" && iceTransportPolicy !== "relay")
    throw new SyntaxError("the policy of ICE is neither all nor relay");
  return {
    ...(iceServers.length > 0 && { iceServers: iceServers.map(parseServer) }),
    ...(iceTransportPolicy && { iceTransportPolicy }),
  };
}

function parseServer(value: unknown): IceServer {
  const { urls: one, username, credential } = fieldsOf(value, "one is");
  const urls: unknown[] = [one].flat();
  if (urls.length === 0 || urls.length > iceBounds.urls)
    throw new SyntaxError(`an ICE server has ${urls.length} URLs, need 1 to ${iceBounds.urls}`);
  if (!urls.every((url): url is string => typeof url === "string" && isIceUrl(url)))
    throw new SyntaxError("an ICE server's URL is none; use stun:HOST:PORT, or turn:HOST:PORT with name and password");
  const named = { username, credential };
  for (const field of ["username", "credential"] as const) {
    const text = named[field];
    if (text === undefined) {
      if (urls.some(isTurn)) throw new SyntaxError(`a TURN server has no ${field}; it wants username and credential`);
    } else if (typeof text !== "string" || text.length > iceBounds[field] || !plain.test(text))
      throw new SyntaxError(`an ICE server's ${field} needs 1 to ${iceBounds[field]} characters of ASCII`);
  }
  return { urls, ...(username !== undefined && named) } as IceServer;
}

function fieldsOf(value: unknown, what: string): Record<string, unknown> {
  if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  throw new SyntaxError(`of ICE servers, ${what} no object`);
}

/** All URLs: what of servers may be shown. */
export const iceUrls = ({ iceServers = [] }: IceOptions): string[] => iceServers.flatMap(({ urls }) => urls);

/** What two ranks learned of ways between them: kinds of candidates (host, srflx, prflx, relay) of either side, and what servers refused. */
export interface SeenWays {
  own: Set<string>;
  other: Set<string>;
  refusals: Set<string>;
}

/** What to try when rank and peer found no way, in words. */
export function iceAdvice(
  ice: IceOptions,
  { rank, peer, seen: { own, other, refusals } }: { rank: number; peer: number; seen: SeenWays },
): string {
  const urls = iceUrls(ice);
  const turn = urls.filter(isTurn).join(", ");
  if (turn !== "") {
    const lacking = [...(own.has("relay") ? [] : [rank]), ...(other.has("relay") ? [] : [peer])].sort((a, b) => a - b);
    const refused = refusals.size > 0 ? ` (${[...refusals].join(", ")})` : "";
    return lacking.length > 0
      ? `${turn} gave ${lacking.map((each) => `rank ${each}`).join(" and ")} no address${refused}: see that it is reached from there, over UDP unless it is a page, and that it takes the name and the password`
      : `${turn} gave both an address, and let nothing through between them: see that its rules allow both as peers`;
  }
  const relay = "a TURN server, which relays where nothing direct gets through";
  return urls.length > 0
    ? `give iceServers (--ice) ${relay}`
    : `open the firewall between them, or give iceServers (--ice) a STUN server, or ${relay}`;
}

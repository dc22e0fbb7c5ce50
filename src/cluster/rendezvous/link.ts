// A room's link: where it is and, after the #, its secret. What follows a # is sent to no server, so it is in no log.

import { UserError } from "../../backend/errors.ts";
import { isNatsUrl } from "./nats-address.ts";

export const joinLink = ({ url, secret }: { url: string; secret: string }): string => `${url}#${secret}`;

/** The parts of a link as `serve` prints it.
 *  @throws UserError for what is no such link */
export function parseLink(link: string): { url: string; secret: string } {
  const url = URL.canParse(link) ? new URL(link) : undefined;
  if (!url || !(/^(http|ws)s?:$/.test(url.protocol) || isNatsUrl(link)))
    throw new UserError(
      "the link is neither an http nor a nats address; use the whole link that `shardgrad serve` printed",
    );
  const secret = url.hash.slice(1);
  if (secret === "")
    throw new UserError("the link has no secret; use the whole link, with what follows its # (quote it in a shell)");
  url.hash = "";
  return { url: url.href, secret };
}

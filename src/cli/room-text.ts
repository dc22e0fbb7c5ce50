// A room in words: what it runs, who is there.

import type { Member, Plan } from "../cluster/rendezvous/protocol.ts";
import { iceUrls } from "../comm/ice.ts";

export const planLines = ({ about, program, layout, dims, options, ice }: Plan): string[] => [
  ...(about === "" ? [] : [about]),
  `program  ${program}`,
  `mesh     ${layout} on ${dims.join(" x ")} ranks`,
  `options  ${options}`,
  ...(ice
    ? [`ice      ${iceUrls(ice).join(", ")}${ice.iceTransportPolicy === "relay" ? ", by relays alone" : ""}`]
    : []),
];

/** "3 of 8 ranks are there: Ada (llvmpipe), Ben, Cleo" */
export function membersText(members: readonly Member[], size: number): string {
  const ranks = members.filter(({ role }) => role === "rank");
  const names = ranks.map(({ name, adapter }) => (adapter === "" ? name : `${name} (${adapter})`));
  return `${ranks.length} of ${size} ranks are there${names.length > 0 ? `: ${names.join(", ")}` : ""}`;
}

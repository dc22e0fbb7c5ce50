// A room in words: what it runs, who is there.

import type { Member, Plan } from "../cluster/rendezvous/protocol.ts";

export const planLines = ({ about, program, layout, dims, options }: Plan): string[] => [
  ...(about === "" ? [] : [about]),
  `program  ${program}`,
  `mesh     ${layout} on ${dims.join(" x ")} ranks`,
  `options  ${options}`,
];

/** "3 of 8 ranks are there: Ada (llvmpipe), Ben, Cleo" */
export function membersText(members: readonly Member[], size: number): string {
  const ranks = members.filter(({ role }) => role === "rank");
  const names = ranks.map(({ name, adapter }) => (adapter === "" ? name : `${name} (${adapter})`));
  return `${ranks.length} of ${size} ranks are there${names.length > 0 ? `: ${names.join(", ")}` : ""}`;
}

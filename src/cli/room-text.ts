// A room in words: what it runs, who is there.

import type { Member, Plan } from "../cluster/rendezvous/protocol.ts";
import { planned } from "../cluster/take-part.ts";
import { iceUrls } from "../comm/ice.ts";
import { stepRun } from "../plan/figures.ts";
import { countText } from "./output.ts";
import { wireText } from "./wire.ts";

/** @param whole options as they are, instead of the sizes that a person reads */
export function planLines(plan: Plan, { whole = false }: { whole?: boolean } = {}): string[] {
  const { about, program, layout, dims, options, ice } = plan;
  return [
    ...(about === "" ? [] : [about]),
    `program  ${program}`,
    `mesh     ${layout} on ${dims.join(" x ")} ranks`,
    `options  ${(whole ? undefined : trainingText(plan)) ?? options}`,
    ...(ice
      ? [`ice      ${iceUrls(ice).join(", ")}${ice.iceTransportPolicy === "relay" ? ", by relays alone" : ""}`]
      : []),
  ];
}

/** "gpt2 of 4 layers, width 128, 4 heads, ffn 512, vocabulary 65; 200 steps of 12 x 64 tokens; f32"; undefined for another program, and
 *  for options that this version cannot run: who is asked then sees them as they are. */
function trainingText(plan: Plan): string | undefined {
  let part: ReturnType<typeof planned>;
  try {
    part = planned(plan);
  } catch {
    return undefined;
  }
  const { config, training } = part;
  const { parameters } = training;
  const { arch, layers, width, heads, ffn, vocab, batch, accumulate, context, dtype, wire } = stepRun({
    config,
    parameters,
  });
  const tokens = `${accumulate > 1 ? `${accumulate} x ` : ""}${batch} x ${context} tokens`;
  return `${arch} of ${countOf(layers, "layer")}, width ${width}, ${countOf(heads, "head")}, ffn ${ffn}, vocabulary ${vocab}; ${countOf(parameters.steps, "step")} of ${tokens}; ${dtype}${wireText(wire)}`;
}

const countOf = (count: number, one: string): string => `${countText(count)} ${one}${count === 1 ? "" : "s"}`;

/** "3 of 8 ranks are there: Ada (llvmpipe), Ben, Cleo" */
export function membersText(members: readonly Member[], size: number): string {
  const ranks = members.filter(({ role }) => role === "rank");
  const names = ranks.map(({ name, adapter }) => (adapter === "" ? name : `${name} (${adapter})`));
  return `${ranks.length} of ${size} ranks are there${names.length > 0 ? `: ${names.join(", ")}` : ""}`;
}

// Sentences about frames, ranks and blocks, for eyes and for screen readers alike.

import type { Form, MeshShape, ProductMessage, WatchedRank } from "shardgrad/parallel";
import { count } from "../kit/format.ts";
import { type BlockedMatrix, type BlockName, blockText, type Operand, ranksWith } from "./blocks.ts";
import type { Frame } from "./frames.ts";

export const formTexts: Readonly<Record<Form, { text: string; about: string }>> = {
  AB: { text: "A B", about: "A times B: the product of a layer's forward pass" },
  ABT: { text: "A Bᵀ", about: "A times the transpose of B: the gradient of what a layer takes in" },
  ATB: { text: "Aᵀ B", about: "The transpose of A times B: the gradient of a layer's weight" },
};

/** "0, 1 and 5", the rest counted where there are many. */
export function listText(numbers: readonly number[], most = 8): string {
  const shown = numbers.slice(0, most).map(String);
  const more = numbers.length - shown.length;
  if (more > 0) return `${shown.join(", ")} and ${more} more`;
  return shown.length < 2 ? shown.join("") : `${shown.slice(0, -1).join(", ")} and ${shown.at(-1)}`;
}

const ranksText = (ranks: readonly number[]): string => `rank${ranks.length === 1 ? "" : "s"} ${listText(ranks)}`;

export function rankText(rank: number, { q, d, layout }: MeshShape): string {
  if (layout === "1d") return `rank ${rank}`;
  const plane = d > 1 ? `, plane ${Math.floor(rank / q ** 2)}` : "";
  return `rank ${rank} (row ${Math.floor(rank / q) % q}, column ${rank % q}${plane})`;
}

/** What a frame shows, in a few words. */
export function frameTitle(frame: Frame, { form, shape }: { form: Form; shape: MeshShape }): string {
  const { kind, t, messages, round, rounds } = frame;
  const grid = shape.layout !== "1d";
  if (kind === "rest") return "At rest";
  if (kind === "multiply") return grid ? `t = ${t}: every rank multiplies` : "Every rank multiplies";
  const turn = rounds > 1 ? `, round ${round + 1} of ${rounds}` : "";
  const [{ op, along }] = messages;
  if (op === "allReduce") return `Planes sum C${turn}`;
  if (op === "allGather") return `A is gathered${turn}`;
  if (op === "reduceScatter") return `Terms of C are summed${turn}`;
  if (op === "reduce")
    return `t = ${t}: ${form === "ABT" ? `block column ${t}` : `block row ${t}`} of C is summed along ${along}s${turn}`;
  const moved = new Set(messages.map(({ operand }) => operand));
  const what = [moved.has("a") && "A along rows", moved.has("b") && "B down columns"].filter(Boolean);
  return `t = ${t}: ${what.join(", ")}${turn}`;
}

/** What happens in a frame and why, in a sentence or two. */
export function frameText(frame: Frame, { form, shape }: { form: Form; shape: MeshShape }): string {
  const { kind, t, messages, rounds } = frame;
  const line = shape.layout === "1d";
  if (kind === "rest")
    return line
      ? "Each rank holds its part of A, of B and of C, and nothing else. Nothing has moved yet."
      : `Each rank holds one block of A, of B and of C.${shape.d > 1 && form !== "ATB" ? " Every plane has rows of A of its own, and a copy of B." : ""} Nothing has moved yet.`;
  if (kind === "multiply") return multiplyText({ form, t, line });
  const [{ op }] = messages;
  const words = messages.reduce((sum, message) => sum + message.words, 0);
  const traffic = `${count(messages.length)} message${messages.length === 1 ? "" : "s"}, ${count(words)} words in all.`;
  switch (op) {
    case "allGather":
      return `${rounds > 1 ? "Around the ring, each rank passes on the part of A that came to it last." : "Each rank sends its part of A to all others."} ${traffic}`;
    case "reduceScatter":
      return `${rounds > 1 ? "Around the ring, each rank adds its own term to the one that came, and passes the sum on." : "Each rank sends every other its term of that rank's part of C."} ${traffic}`;
    case "reduce":
      return `Each rank has computed a term of a block that is another's: they travel ${form === "ABT" ? "along the row" : "down the column"} to the rank whose block it is. ${traffic}`;
    case "allReduce":
      return `Each plane has summed over rows of its own: ranks above each other exchange their blocks of C and add. ${traffic}`;
    default: {
      const moved = new Set(messages.map(({ operand }) => operand));
      const what = [
        moved.has("a") && `Block column ${t} of A is sent along each row`,
        moved.has("b") && `${moved.has("a") ? "block" : "Block"} row ${t} of B down each column`,
      ].filter(Boolean);
      return `${what.join(", ")}. ${traffic}`;
    }
  }
}

function multiplyText({ form, t, line }: { form: Form; t: number; line: boolean }): string {
  if (line)
    return form === "ABT"
      ? "Each rank multiplies its columns of A and B: a term of all of C."
      : "Each rank multiplies all of A with its own columns of B.";
  switch (form) {
    case "AB":
      return `Rank (i, j) adds A(i,${t}) B(${t},j) to its block of C.`;
    case "ABT":
      return `Rank (i, j) multiplies its block of A with the transpose of B(${t},j): a term of C(i,${t}).`;
    case "ATB":
      return `Rank (i, j) multiplies the transpose of A(i,${t}) with its block of B: a term of C(${t},j).`;
  }
}

/** Where a block is from, and where it goes. */
export function blockWords(
  block: BlockName,
  { matrix, watched, shape }: { matrix: BlockedMatrix; watched: readonly WatchedRank[]; shape: MeshShape },
): { what: string; where: string; goes: string } {
  const { operand, row, col } = block;
  const { height, width, extents } = matrix;
  const holders = ranksWith(block, watched);
  const what = `${blockText(block, matrix)}: ${span("rows", { at: row, by: height, extent: extents[0] })}, ${span("columns", { at: col, by: width, extent: extents[1] })}; ${count(height * width)} words.`;
  const copies = holders.length > 1 ? `, a copy on each of ${holders.length} planes` : "";
  const home = holders.length > 1 ? ranksText(holders) : rankText(holders[0], shape);
  const where = operand === "c" ? `Ends on ${home}${copies}.` : `Lives on ${home}${copies}.`;
  return { what, where, goes: journey(operand, { holders, watched }) };
}

/** "rows 0 to 15", with what of it is padding. */
function span(name: string, { at, by, extent }: { at: number; by: number; extent: number }): string {
  const padding = Math.max(0, Math.min(by, (at + 1) * by - extent));
  const range = `${name} ${at * by} to ${(at + 1) * by - 1}`;
  return padding > 0 ? `${range}, the last ${padding} of them padding` : range;
}

function journey(
  operand: Operand,
  { holders, watched }: { holders: readonly number[]; watched: readonly WatchedRank[] },
): string {
  const own = watched
    .flatMap(({ messages }) => messages)
    .filter((message) => message.operand === operand && holders.includes(message.owner));
  const planes = own.filter(({ op }) => op === "allReduce");
  const rest = own.filter(({ op }) => op !== "allReduce");
  if (operand === "c") {
    const terms = rest.length > 0 && `Its terms come from ${ranksText(ordered(rest, "from"))}, and are summed.`;
    const sum = planes.length > 0 && `Then it is summed over planes: ${ranksText(ordered(planes, "from"))} exchange.`;
    return [terms, sum].filter(Boolean).join(" ") || "It is summed where it stays, and goes nowhere.";
  }
  if (rest.length === 0) return "It goes nowhere: the product needs it where it is.";
  const [{ along, step }] = rest;
  const way = along === "row" ? "along its row" : along === "column" ? "down its column" : "to all of the line";
  const when = along === "line" ? "" : `At t = ${step} it`;
  return `${when || "It"} is sent ${way}, to ${ranksText(ordered(rest, "to"))}.`;
}

const ordered = (messages: readonly ProductMessage[], end: "from" | "to"): number[] =>
  [...new Set(messages.map((message) => message[end]))].sort((a, b) => a - b);

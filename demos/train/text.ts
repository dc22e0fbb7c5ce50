// The text that a run learns from: this project's sources, or what the user gives.

import { textFromBytes, UserError } from "shardgrad";
import type { KeptText } from "./keep.ts";
import { sourcesName } from "./settings.ts";

/** Characters: a vocabulary and tokens are made of them in memory. */
const mostOfOwn = 20_000_000;
const openingLength = 3000;

/** @throws UserError for what is too long, or has nothing to learn */
export function takeText(name: string, text: string): KeptText {
  // As the library's own sources are joined: a line ends with one character.
  const plain = text.replaceAll("\r\n", "\n");
  if (plain.length > mostOfOwn)
    throw new UserError(
      `got ${plain.length.toLocaleString("en-US")} characters, need at most ${mostOfOwn.toLocaleString("en-US")}; use a part of the text`,
    );
  const different = new Set(plain).size;
  if (different < 2)
    throw new UserError(
      `got a text of ${different} different ${different === 1 ? "character" : "characters"}, need at least two; use a real text`,
    );
  const facts = { name, characters: plain.length, different, opening: plain.slice(0, openingLength) };
  return { facts, text: plain };
}

export async function takeFile(file: File): Promise<KeptText> {
  return takeText(file.name, textFromBytes(new Uint8Array(await file.arrayBuffer()), file.name));
}

let sources: Promise<KeptText> | undefined;

/** The sources of this project, from where the page was built. */
export function takeSources(): Promise<KeptText> {
  sources ??= fetch(new URL("../sources.txt", location.href)).then(async (response) => {
    if (!response.ok)
      throw new Error(
        `this project's sources did not come: the server answered ${response.status}; use a text of your own`,
      );
    return takeText(sourcesName, await response.text());
  });
  sources.catch(() => (sources = undefined));
  return sources;
}

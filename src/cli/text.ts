// The text a run trains on: a file of the user's, or this package's own sources.

import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { UserError } from "../backend/errors.ts";
import { requireVariety, textFromBytes } from "../train/corpus.ts";
import { readInput } from "./files.ts";

/** The package's folder: the command runs from its dist/cli.js. */
export const packageFolder = fileURLToPath(new URL("..", import.meta.url));

export interface TrainingText {
  /** how reports call it */
  name: string;
  text: string;
}

/** @throws UserError when the file is missing, empty, binary or one character over and over */
export async function readText(path: string | undefined): Promise<TrainingText> {
  if (path === undefined) return ownSources();
  const text = textFromBytes(await readInput(path, "a text file to train on"), path);
  requireVariety(text, path);
  // A report may be shown to others: where the file lies is not their affair.
  return { name: basename(path), text };
}

/** src/**\/*.ts and shaders/*.wgsl, each folder's entries in code unit order: the same text on every machine. */
async function ownSources(): Promise<TrainingText> {
  const files = [...(await filesBelow("src", ".ts")), ...(await filesBelow("shaders", ".wgsl"))];
  if (files.length === 0) throw new UserError("this package has no sources beside it to train on; use --data FILE");
  const texts = await Promise.all(files.map((file) => readFile(join(packageFolder, file), "utf8")));
  return {
    name: `this package's own sources (${files.length} files)`,
    text: texts.join("\n").replaceAll("\r\n", "\n"),
  };
}

async function filesBelow(folder: string, extension: string): Promise<string[]> {
  const entries = await readdir(join(packageFolder, folder), { withFileTypes: true }).catch(() => []);
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  const files: string[] = [];
  for (const entry of entries) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) files.push(...(await filesBelow(path, extension)));
    else if (path.endsWith(extension)) files.push(path);
  }
  return files;
}

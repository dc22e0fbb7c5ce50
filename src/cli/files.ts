// Reads what commands are given and writes what they make: every failure is a sentence, no file is half written.

import { mkdir, readFile, readlink, realpath, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { UserError } from "../backend/errors.ts";

/** Longest text V8 holds in one string, with room for its tokens. */
const maxInputBytes = 500_000_000;

const reasons: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  EISDIR: "it is a folder",
  EACCES: "permission denied",
  EPERM: "permission denied",
  ENOTDIR: "a part of its path is no folder",
  ENOSPC: "the disk is full",
  ELOOP: "its links lead in a circle",
  EROFS: "the file system is read-only",
};

/** What the system said, in words. */
export function reason(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return (code && reasons[code]) ?? message;
}

function requireName(path: string, what: string): void {
  if (path === "") throw new UserError(`got "" as a file's name, need ${what}`);
}

/** @throws UserError naming `path` and `what` it was to be */
export async function readInput(
  path: string,
  what: string,
  { mostBytes = maxInputBytes, advice = "use a part of it" } = {},
): Promise<Uint8Array> {
  requireName(path, what);
  try {
    const { size } = await stat(path);
    if (size > mostBytes) throw new UserError(`${path}: got ${size} bytes, need at most ${mostBytes}; ${advice}`);
    return await readFile(path);
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`${path}: ${reason(error)}; need ${what}`);
  }
}

/** Runs `work`; a UserError of it says which file or folder it is about. */
export function named<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw error instanceof UserError ? new UserError(`${path}: ${error.message}`) : error;
  }
}

/** @throws UserError when `bytes` are not JSON */
export function parseJson(bytes: Uint8Array, path: string): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    const detail = error instanceof SyntaxError ? error.message : "it is not UTF-8";
    throw new UserError(`${path}: got something that is not JSON (${detail.replaceAll("\n", " ")}), need a JSON file`);
  }
}

/** Makes the folder of a file to be written, so that a run does not end with nowhere to put its result.
 *  @throws UserError when it cannot be written there */
export async function prepareOutput(path: string): Promise<void> {
  requireName(path, "a file that can be written");
  try {
    const { file, replaced } = await targetOf(path);
    // Opening a pipe waits for its reader, and what a device takes only writing tells.
    if (!replaced) return;
    await makeFolder(dirname(file));
    await writeFile(temporary(file), "");
    await rm(temporary(file));
  } catch (error) {
    throw new UserError(`${path}: ${reason(error)}; need a file that can be written`);
  }
}

/** The file behind links, be it there yet or not; whether it is replaced as a whole, as files are, and devices and pipes are not. */
async function targetOf(path: string): Promise<{ file: string; replaced: boolean }> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
  });
  if (found?.isDirectory()) throw Object.assign(new Error(), { code: "EISDIR" });
  if (found?.isFile()) return { file: await realpath(path), replaced: true };
  if (found) return { file: path, replaced: false };
  const link = await readlink(path).catch(() => undefined);
  if (link === undefined) return { file: resolve(path), replaced: true };
  return targetOf(resolve(await realpath(dirname(resolve(path))), link));
}

/** A folder with those above it. Node's own recursion never ends where the system makes none, as below /proc. */
async function makeFolder(path: string): Promise<void> {
  if (await stat(path).catch(() => undefined)) return;
  await makeFolder(dirname(path));
  await mkdir(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST") throw error;
  });
}

type Content = string | Uint8Array | Iterable<string>;

/** Writes all of a file or nothing: under another name first. What is no file, but a device or a pipe, is written straight into.
 *  @throws UserError when it cannot */
export async function writeWhole(path: string, content: Content): Promise<void> {
  try {
    const { file, replaced } = await targetOf(path);
    if (replaced) await replace(file, content);
    else await writeFile(path, content);
  } catch (error) {
    throw new UserError(`${path}: ${reason(error)}; need a file that can be written`);
  }
}

async function replace(file: string, content: Content): Promise<void> {
  try {
    await writeFile(temporary(file), content);
    await rename(temporary(file), file);
  } catch (error) {
    await rm(temporary(file), { force: true });
    throw error;
  }
}

const temporary = (path: string) => `${path}.${process.pid}.tmp`;

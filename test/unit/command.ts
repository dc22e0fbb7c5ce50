// Runs the built command line in a process of its own, in an empty folder.

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { equal, is, match } from "uvu/assert";
import { ensureBuilt } from "../../scripts/build.mjs";
import { root } from "../../scripts/project.mjs";

/** Removed when the tests end. */
export const folder = mkdtempSync(join(tmpdir(), "shardgrad-cli-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

export const fixture = (name: string) => join(root, "test/fixtures/pytorch", name);

export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

let built: Promise<void> | undefined;

/** @param watch is called with all of stdout after each piece of it */
export async function command(
  args: readonly string[],
  watch?: (stdout: string, child: ChildProcess) => void,
): Promise<Ended> {
  await (built ??= ensureBuilt());
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(root, "dist/cli.js"), ...args], {
      cwd: folder,
      // What a test measures is not what the user's own runs should take.
      env: { ...process.env, XDG_CACHE_HOME: folder },
    });
    const ended = { stdout: "", stderr: "" };
    child.stdout.on("data", (piece) => {
      ended.stdout += piece;
      watch?.(ended.stdout, child);
    });
    child.stderr.on("data", (piece) => (ended.stderr += piece));
    child.on("error", reject);
    child.on("close", (code) => resolve({ ...ended, code }));
  });
}

/** Exit code 2, nothing on stdout, one sentence on stderr. */
export async function refuses(args: readonly string[], pattern: RegExp): Promise<void> {
  const { code, stdout, stderr } = await command(args);
  match(stderr, pattern);
  equal({ code, stdout, lines: stderr.trimEnd().split("\n").length }, { code: 2, stdout: "", lines: 1 }, stderr);
  is(/ {4}at /.test(stderr), false, "no stack trace");
}

/** Every line of stdout as the JSON object it must be. */
export function events(stdout: string): Record<string, unknown>[] {
  is(stdout.endsWith("\n"), true);
  return stdout
    .trimEnd()
    .split("\n")
    .map((line) => {
      const event: unknown = JSON.parse(line);
      is(typeof event === "object" && event !== null && !Array.isArray(event), true, line);
      return event as Record<string, unknown>;
    });
}

// The core of `npm test`: runs one bundled uvu file in a process of its own and judges what it did. uvu itself exits 0 when a
// `before` hook throws and when a file forgets `.run()`; here a file passes only when every test it registered ran and passed.

import { spawn } from "node:child_process";

const hooks = new URL("./hooks.mjs", import.meta.url).href;

/** The totals uvu prints at the end of a run; undefined when it printed none. */
export function parseSummary(output) {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colour codes begin with one
  const plain = output.replace(/\u001b\[[0-9;]*m/g, "");
  const summaries = [...plain.matchAll(/^ {2}Total: +(\d+)\n {2}Passed: +(\d+)\n {2}Skipped: +(\d+)$/gm)];
  if (summaries.length === 0) return undefined;
  const [, total, passed, skipped] = summaries.at(-1).map(Number);
  return { total, passed, skipped };
}

/** Why a finished file does not count as passed; undefined when it does. */
function verdict({ summary, code, signal, timedOut, timeoutMs }) {
  if (timedOut) return `still running after ${timeoutMs / 1000} s (an endless loop, or a device never released)`;
  if (signal) return `killed by ${signal}`;
  if (summary === undefined)
    return `ended with code ${code} and no results${code === 0 ? " (is test.run() missing?)" : ""}`;
  if (summary.total === 0) return "registered no tests";
  if (summary.passed < summary.total) return `${summary.total - summary.passed} of ${summary.total} did not pass`;
  if (summary.skipped > 0) return `${summary.skipped} skipped: every test must run`;
  if (code !== 0) return `ended with code ${code}`;
  return undefined;
}

/** Runs one file.
 *  @param {{ file: string, env?: Record<string, string | undefined>, cwd?: string, within?: string[], timeoutMs: number }} spec
 *   `within`: what the file is started with
 *  @returns {Promise<{ passed: number, failed: number, reason: string | undefined, output: string, durationMs: number }>}
 *   `failed` is at least 1 when there is a reason */
export function runFile({ file, env = {}, cwd, within = [], timeoutMs }) {
  const started = performance.now();
  return new Promise((resolve) => {
    const [command, ...words] = [...within, process.execPath, "--enable-source-maps", "--import", hooks, file];
    const child = spawn(command, words, {
      cwd,
      // Of its own process group, so that a time-out also ends what it started (browsers, workers' children).
      detached: process.platform !== "win32",
      env: { ...process.env, NO_COLOR: "1", FORCE_COLOR: undefined, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      if (process.platform === "win32") child.kill("SIGKILL");
      else process.kill(-child.pid, "SIGKILL");
    }, timeoutMs);
    child.stdout.on("data", (chunk) => (output += chunk));
    child.stderr.on("data", (chunk) => (output += chunk));
    child.on("error", (error) => (output += error.message));
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      const summary = parseSummary(output);
      const reason = verdict({ summary, code, signal, timedOut, timeoutMs });
      const passed = summary?.passed ?? 0;
      const notPassed = summary ? summary.total - summary.passed + summary.skipped : 0;
      const failed = reason === undefined ? 0 : Math.max(1, notPassed);
      resolve({ passed, failed, reason, output, durationMs: performance.now() - started });
    });
  });
}

/** Runs `work` on every item, at most `width` at a time, started in order. */
export async function inParallel(items, { width, work }) {
  const queue = [...items];
  const worker = async () => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: width }, worker));
}

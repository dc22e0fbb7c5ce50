// What every script shares: where the project is, its dependencies, commands whose output shows only when they fail.
// Imports nothing but Node's own modules, so that it runs before anything is installed.

import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

export const root = fileURLToPath(new URL("..", import.meta.url));

/** A failure that one sentence explains: shown without a stack trace. */
export class SetupError extends Error {}

/** @throws SetupError below Node 20 */
export function requireNode() {
  const major = Number(process.versions.node.split(".")[0]);
  if (major < 20) {
    throw new SetupError(
      `shardgrad needs Node 20 or later and this is ${process.version}; install it from https://nodejs.org`,
    );
  }
}

/** What follows `command --`, as parseArgs has it; undefined where it asks for help, which is printed.
 *  @throws SetupError for options that there are not */
export function commandOf({ command, help, options }) {
  try {
    const all = { ...options, help: { type: "boolean", short: "h", default: false } };
    const parsed = parseArgs({ allowPositionals: true, options: all });
    if (!parsed.values.help) return parsed;
  } catch (error) {
    throw new SetupError(`${error.message.split(". ")[0]}; ${command} -- --help lists the options`);
  }
  process.stdout.write(help);
  return undefined;
}

/** Runs `main` and ends the process: a SetupError becomes its sentence. */
export async function script(main) {
  try {
    process.exitCode = (await main()) ?? 0;
  } catch (error) {
    console.error(error instanceof SetupError ? error.message : error);
    process.exitCode = 1;
  }
}

/** One line a step, on stderr: stdout belongs to what the script runs. */
export const say = (line) => process.stderr.write(`${line}\n`);

/** Runs a command to its end, output captured, nothing on its stdin.
 *  @returns {Promise<{ code: number, output: string }>} code 127 when there is no such command */
export function run(command, args, { env = process.env, cwd = root } = {}) {
  return new Promise((resolve) => {
    const windowsScript = process.platform === "win32" && command === "npm";
    const child = spawn(command, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"], shell: windowsScript });
    let output = "";
    child.stdout.on("data", (chunk) => (output += chunk));
    child.stderr.on("data", (chunk) => (output += chunk));
    child.on("error", (error) => resolve({ code: 127, output: String(error.message) }));
    child.on("close", (code) => resolve({ code: code ?? 1, output }));
  });
}

/** Runs a command that must succeed.
 *  @throws SetupError with its output and `failure`, the sentence that says what to do */
export async function must(command, args, { failure, env = process.env }) {
  const { code, output } = await run(command, args, { env });
  if (code !== 0) throw new SetupError(`${output.trim()}\n${failure}`);
  return output;
}

/** True when every package the lock file names (optional ones aside: they differ by platform) is installed at its version. */
export function dependenciesInstalled() {
  const installedLock = join(root, "node_modules/.package-lock.json");
  if (!existsSync(installedLock)) return false;
  const wanted = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")).packages;
  const installed = JSON.parse(readFileSync(installedLock, "utf8")).packages;
  return Object.entries(wanted).every(
    ([path, entry]) => path === "" || entry.optional || installed[path]?.version === entry.version,
  );
}

/** Installs the dependencies where they are missing or not those of package-lock.json. */
export async function installDependencies() {
  if (dependenciesInstalled()) return;
  say("installing dependencies (npm ci)");
  await must("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], {
    failure: "npm ci failed (its output is above); check the network and the disk, then run this again",
  });
}

/** Every file below a folder, as paths from the project's root; none where there is no such folder. */
export function filesBelow(folder, pattern = /./) {
  const start = join(root, folder);
  if (!existsSync(start)) return [];
  return readdirSync(start, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory()) return filesBelow(path, pattern);
      return pattern.test(path) ? [path] : [];
    });
}

/** The latest modification among files, in milliseconds; 0 for none. */
export const newest = (files) => Math.max(0, ...files.map((file) => statSync(join(root, file)).mtimeMs));

// The command line of `npm run bench`.

import { type ParseArgsConfig, parseArgs } from "node:util";
import type { Device } from "./ours.ts";
import { formOf, type Subject, shapeOf, type Task } from "./tasks.ts";

/** Bad usage: shown as its sentence, exit code 2. */
export class UsageError extends Error {}

const compared: readonly Subject[] = ["products", "attention", "norms", "step"];
const alone = ["mesh", "encode", "links", "simulate", "demo"] as const;

export interface Options {
  readonly help: boolean;
  readonly json: boolean;
  readonly save: boolean;
  readonly subjects: readonly Subject[];
  /** benchmarks of ours that nobody else has */
  readonly others: readonly (typeof alone)[number][];
  readonly filter: string;
  /** M x N x K */
  readonly shapes: readonly (readonly [number, number, number])[] | undefined;
  readonly devices: readonly Device[];
  /** of the cpu device, one group each */
  readonly threads: readonly number[];
  readonly where: readonly ("chromium" | "node")[];
  readonly peers: boolean;
  readonly repeats: number;
  /** of webgpu */
  readonly tune: boolean;
  readonly steps: number;
  readonly arch: "gpt2" | "llama";
}

export const usage = `npm run bench [-- SUBJECT... OPTIONS]

subjects     products attention norms step   beside other libraries, in Chromium, and in Node alone; all four by default
             mesh                            a training step on 2 x 2 x 2 ranks beside one rank, and on 64 ranks
             encode                          what a step costs the thread that encodes it, on Dawn's null device
             simulate                        real training steps in one process beside simulated ones, after calibrating
             links                           tensors from device to device over each link, beside a bare port and a bare copy
             demo                            the Train page while it trains: frames, long tasks, its step beside a bare worker's

--backend    webgpu, cpu or auto (both, the default)
--where      chromium, node or both (the default)
--threads    of the cpu backend and of WebAssembly peers, one run each; all of the machine's, then 1, by default
--alone      no other libraries
--no-tune    on webgpu the fixed choice of kernels, not the fastest measured here
--filter     only tasks with this in their subject, shape or form
--shapes     MxNxK,... in place of the products' shapes
--repeats    rounds of which the median counts, at least 9 (the default)
--steps      encode: steps a round (200)
--arch       encode: gpt2 (the default) or llama
--json       JSON lines on stdout
--save       results as markdown in bench/results/
`;

/** @param options.cores threads the machine runs at once
 *  @throws UsageError with what was got, what is needed and what to do */
export function parseOptions(words: readonly string[], { cores }: { cores: number }): Options {
  const { values, positionals } = parse(words);
  const all = [...compared, ...alone];
  for (const word of positionals)
    if (!all.includes(word as Subject)) throw new UsageError(`no benchmark is called ${word}; use ${all.join(", ")}`);
  const named = <T extends string>(names: readonly T[]) => names.filter((name) => positionals.includes(name));
  const one = <T extends string>(name: "backend" | "where" | "arch", choices: readonly T[]): T => {
    const value = choices.find((choice) => choice === values[name]);
    if (!value) throw new UsageError(`--${name} ${values[name]}; use one of ${choices.join(", ")}`);
    return value;
  };
  const backend = one("backend", ["auto", "webgpu", "cpu"]);
  const where = one("where", ["both", "chromium", "node"]);
  return {
    help: values.help,
    json: values.json,
    save: values.save,
    subjects: positionals.length === 0 ? compared : named(compared),
    others: named(alone),
    filter: values.filter,
    shapes: values.shapes?.split(",").map(shape),
    devices: backend === "auto" ? ["webgpu", "cpu"] : [backend],
    threads: values.threads === undefined ? [...new Set([cores, 1])] : values.threads.split(",").map(threadCount),
    where: where === "both" ? ["chromium", "node"] : [where],
    peers: !values.alone,
    repeats: wholeNumber("repeats", { text: values.repeats, least: 9 }),
    tune: !values["no-tune"],
    steps: wholeNumber("steps", { text: values.steps, least: 1 }),
    arch: one("arch", ["gpt2", "llama"]),
  };
}

/** parseArgs of Node with a sentence where it throws.
 *  @throws UsageError that ends with `advice` */
function flags<T extends ParseArgsConfig>(config: T, advice: string) {
  try {
    return parseArgs(config);
  } catch (error) {
    // Node's own message ends with advice about positional arguments that does not fit here.
    const [message] = (error as Error).message.split(". ");
    throw new UsageError(`${message}; ${advice}`);
  }
}

/** @throws UsageError below `least` */
function wholeNumber(name: string, { text, least }: { text: string; least: number }): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < least)
    throw new UsageError(`--${name} ${text}; use a whole number of at least ${least}`);
  return value;
}

const parse = (words: readonly string[]) =>
  flags(
    {
      args: [...words],
      allowPositionals: true,
      options: {
        help: { type: "boolean", short: "h", default: false },
        json: { type: "boolean", default: false },
        save: { type: "boolean", default: false },
        alone: { type: "boolean", default: false },
        "no-tune": { type: "boolean", default: false },
        backend: { type: "string", default: "auto" },
        where: { type: "string", default: "both" },
        threads: { type: "string" },
        filter: { type: "string", default: "" },
        shapes: { type: "string" },
        repeats: { type: "string", default: "9" },
        steps: { type: "string", default: "200" },
        arch: { type: "string", default: "gpt2" },
      },
    },
    "npm run bench -- --help lists the options",
  );

export const gpuUsage = `./run.sh [--quick] [--repeats 9] [--json]

Measures this machine's GPU beside PyTorch, where python3 has it, and writes the results beside this program.
--quick      small sizes
--repeats    samples of which the median counts, at least 9 (the default)
--no-tune    the fixed choice of kernels, not the fastest measured here
--json       JSON lines on stdout
`;

/** @throws UsageError with what was got, what is needed and what to do */
export function parseGpuOptions(words: readonly string[]) {
  const { values } = flags(
    {
      args: [...words],
      options: {
        help: { type: "boolean", short: "h", default: false },
        quick: { type: "boolean", default: false },
        "no-tune": { type: "boolean", default: false },
        json: { type: "boolean", default: false },
        repeats: { type: "string", default: "9" },
      },
    },
    "--help lists the options",
  );
  return { ...values, tune: !values["no-tune"], repeats: wholeNumber("repeats", { text: values.repeats, least: 9 }) };
}

function shape(text: string): [number, number, number] {
  const extents = text.split("x").map(Number);
  if (extents.length !== 3 || !extents.every((extent) => Number.isInteger(extent) && extent > 0))
    throw new UsageError(`--shapes ${text}; use MxNxK, such as 512x512x512, with commas between several`);
  return extents as [number, number, number];
}

function threadCount(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1 || count > 16)
    throw new UsageError(`--threads ${text}; use numbers from 1 to 16 with commas between several`);
  return count;
}

/** Tasks that match --filter.
 *  @throws UsageError when none does */
export function filtered(tasks: readonly Task[], filter: string): Task[] {
  const matching = tasks.filter((task) => `${task.subject} ${shapeOf(task)} ${formOf(task)}`.includes(filter));
  if (matching.length === 0 && tasks.length > 0)
    throw new UsageError(`no task has ${filter} in its subject, shape or form; leave --filter out to see them all`);
  return matching;
}

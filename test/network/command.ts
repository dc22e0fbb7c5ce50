// The built command as users run it, in a process of its own: what it says in JSON, and how it ends.

import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";

type Said = Record<string, unknown>;

/** More than anything here takes on a busy machine, and less than a test file is given. */
const patienceMs = 120_000;

export class Command {
  readonly events: Said[] = [];
  readonly ended: Promise<number | null>;
  #errors = "";
  #news = () => {};
  readonly #process: ChildProcess;

  /** @param within what it is started with, of another network say */
  constructor(words: readonly string[], { within = [], env = {} }: { within?: readonly string[]; env?: object } = {}) {
    const [program, ...rest] = [...within, process.execPath, "dist/cli.js", ...words, "--json"];
    this.#process = spawn(program, rest, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
    this.#process.stderr?.on("data", (bytes) => {
      this.#errors += bytes;
      this.#news();
    });
    const lines = createInterface({ input: this.#process.stdout! });
    lines.on("line", (line) => {
      this.events.push(JSON.parse(line));
      this.#news();
    });
    this.ended = new Promise((resolve) => this.#process.on("close", resolve));
    void this.ended.then(() => this.#news());
  }

  /** The first event that fits.
   *  @throws Error when it ends without */
  event(fits: (event: Said) => boolean): Promise<Said> {
    return this.#until(() => this.events.find(fits));
  }

  /** What it said to people, once that fits.
   *  @throws Error when it ends without */
  says(pattern: RegExp): Promise<RegExpExecArray> {
    return this.#until(() => pattern.exec(this.#errors) ?? undefined);
  }

  async #until<T>(found: () => T | undefined): Promise<T> {
    const deadline = performance.now() + patienceMs;
    for (;;) {
      const value = found();
      if (value !== undefined) return value;
      if (this.#process.exitCode !== null || this.#process.signalCode !== null)
        throw new Error(`the command ended: ${this.#errors}`);
      const leftMs = deadline - performance.now();
      if (leftMs <= 0)
        throw new Error(`the command has not said in ${patienceMs / 1000} s what is waited for: ${this.#errors}`);
      let timer: ReturnType<typeof setTimeout> | undefined;
      await new Promise<void>((resolve) => {
        this.#news = resolve;
        timer = setTimeout(resolve, leftMs);
      });
      clearTimeout(timer);
    }
  }

  /** Of every step, in the order of steps. */
  get losses(): unknown[] {
    return this.events.filter(({ event }) => event === "step").flatMap(({ loss, gradNorm }) => [loss, gradNorm]);
  }

  get errors(): string {
    return this.#errors;
  }

  /** As Ctrl-C does. */
  interrupt(): void {
    this.#process.kill("SIGINT");
  }

  kill(): void {
    this.#process.kill("SIGKILL");
  }
}

/** Until all have ended well.
 *  @throws Error with what all of them said when one ends otherwise, or some have not ended in 120 s: the others would wait for it */
export async function allEnd(commands: readonly Command[]): Promise<void> {
  const told = (what: string) => new Error([what, ...commands.map(({ errors }) => errors)].join("\n----\n"));
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(told(`some command has not ended in ${patienceMs / 1000} s`)), patienceMs);
  });
  const well = commands.map(async (each, i) => {
    const code = await each.ended;
    if (code !== 0) throw told(`command ${i} of those below ended with ${code}`);
  });
  try {
    await Promise.race([Promise.all(well), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** What a member of a room received in training steps. */
export const receivedBytes = ({ events }: Command): number =>
  events
    .filter(({ event }) => event === "step")
    .reduce((sum, { bytesReceived }) => sum + (bytesReceived as number[])[0], 0);

/** The commands of a test file, none of which outlives it. */
export class Commands {
  readonly #all: Command[] = [];

  start(words: readonly string[], options?: ConstructorParameters<typeof Command>[1]): Command {
    const command = new Command(words, options);
    this.#all.push(command);
    return command;
  }

  kill(): void {
    for (const command of this.#all.splice(0)) command.kill();
  }
}

/** A text that a small model learns something of. */
export const sheepAndGoats = Array.from({ length: 300 }, (_, i) => `${i % 7} sheep and ${(i * 3) % 5} goats; `).join(
  "",
);

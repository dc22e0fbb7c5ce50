// The built command as users run it, in a process of its own: what it says in JSON, and how it ends.

import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";

type Said = Record<string, unknown>;

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
    for (;;) {
      const value = found();
      if (value !== undefined) return value;
      if (this.#process.exitCode !== null || this.#process.signalCode !== null)
        throw new Error(`the command ended: ${this.#errors}`);
      await new Promise<void>((resolve) => {
        this.#news = resolve;
      });
    }
  }

  /** Of every step, in the order of steps. */
  get losses(): unknown[] {
    return this.events.filter(({ event }) => event === "step").flatMap(({ loss, gradNorm }) => [loss, gradNorm]);
  }

  get errors(): string {
    return this.#errors;
  }

  kill(): void {
    this.#process.kill("SIGKILL");
  }
}

// A command that goes on, in a process of its own: rooms, and ranks that join them.

import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";

/** As users run it: what it says in JSON, and how it ends. */
export class LongCommand {
  readonly events: Record<string, unknown>[] = [];
  readonly ended: Promise<number | null>;
  #errors = "";
  #news = () => {};
  readonly #process: ChildProcess;

  constructor(...words: string[]) {
    this.#process = spawn(process.execPath, ["bin/shardgrad.mjs", ...words, "--json"]);
    this.#process.stderr?.on("data", (bytes) => {
      this.#errors += bytes;
    });
    const lines = createInterface({ input: this.#process.stdout! });
    lines.on("line", (line) => {
      this.events.push(JSON.parse(line));
      this.#news();
    });
    this.ended = new Promise((resolve) => this.#process.on("close", resolve));
    void this.ended.then(() => this.#news());
  }

  /** The first event that fits. */
  async event(fits: (event: Record<string, unknown>) => boolean): Promise<Record<string, unknown>> {
    for (;;) {
      const found = this.events.find(fits);
      if (found) return found;
      if (this.#process.exitCode !== null) throw new Error(`the command ended: ${this.#errors}`);
      await new Promise<void>((resolve) => {
        this.#news = resolve;
      });
    }
  }

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

// A browser's window with tabs of which only one is in front: the others are hidden, as a person's are. Playwright tells every page that it
// is seen, so this speaks to Chromium itself (the Chrome DevTools Protocol).

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { WebSocket } from "ws";
import { browserArguments, chromiumPath } from "./page.ts";

interface Answer {
  readonly id?: number;
  readonly method?: string;
  readonly params?: { exceptionDetails?: { text: string; exception?: { description?: string } } };
  readonly error?: { message: string };
  readonly result?: unknown;
}

export class Window {
  readonly #process: ChildProcess;
  readonly #profile: string;
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  /** exceptions of all tabs */
  readonly troubles: string[] = [];
  #sent = 0;

  private constructor(process: ChildProcess, { profile, socket }: { profile: string; socket: WebSocket }) {
    this.#process = process;
    this.#profile = profile;
    this.#socket = socket;
    socket.on("message", (bytes) => this.#heard(JSON.parse(String(bytes))));
  }

  static async open(): Promise<Window> {
    const profile = mkdtempSync(join(tmpdir(), "shardgrad-window-"));
    const own = ["--headless", "--remote-debugging-port=0", `--user-data-dir=${profile}`];
    const process = spawn(chromiumPath(), [...browserArguments, ...own], { stdio: ["ignore", "ignore", "pipe"] });
    for await (const line of createInterface({ input: process.stderr! })) {
      const address = /DevTools listening on (ws:\S+)/.exec(line)?.[1];
      if (!address) continue;
      process.stderr!.resume();
      const socket = new WebSocket(address);
      await once(socket, "open");
      return new Window(process, { profile, socket });
    }
    throw new Error("Chromium ended before it could be spoken to");
  }

  /** In front of all others. */
  async openTab(address: string): Promise<Tab> {
    const { targetId } = await this.send<{ targetId: string }>("Target.createTarget", { url: "about:blank" });
    const attached = await this.send<{ sessionId: string }>("Target.attachToTarget", { targetId, flatten: true });
    await this.send("Runtime.enable", {}, attached.sessionId);
    await this.send("Page.navigate", { url: address }, attached.sessionId);
    return new Tab(this, { target: targetId, session: attached.sessionId });
  }

  /** @throws Error with what Chromium says */
  async send<T>(method: string, params: object, session?: string): Promise<T> {
    const id = ++this.#sent;
    const answer = await new Promise<Answer>((resolve) => {
      this.#waiting.set(id, resolve);
      this.#socket.send(JSON.stringify({ id, method, params, sessionId: session }));
    });
    if (answer.error) throw new Error(`${method}: ${answer.error.message}`);
    return answer.result as T;
  }

  #heard(answer: Answer): void {
    const thrown = answer.method === "Runtime.exceptionThrown" && answer.params?.exceptionDetails;
    if (thrown) this.troubles.push(thrown.exception?.description ?? thrown.text);
    if (answer.id === undefined) return;
    this.#waiting.get(answer.id)?.(answer);
    this.#waiting.delete(answer.id);
  }

  /** Its helpers outlive Chromium's first process by a moment and write into the profile until they end: "close" waits for all that hold its
   *  stderr, "exit" would not. */
  async close(): Promise<void> {
    const ended = once(this.#process, "close");
    this.#socket.close();
    this.#process.kill();
    await ended;
    rmSync(this.#profile, { recursive: true, force: true });
  }
}

export class Tab {
  readonly #window: Window;
  readonly #target: string;
  readonly #session: string;

  constructor(window: Window, { target, session }: { target: string; session: string }) {
    this.#window = window;
    this.#target = target;
    this.#session = session;
  }

  async toFront(): Promise<void> {
    await this.#window.send("Target.activateTarget", { targetId: this.#target });
  }

  /** Until an expression is true in the page.
   *  @throws Error when it is not in 60 s, with what the page says; at the first exception in any tab */
  async until(expression: string): Promise<void> {
    const deadline = performance.now() + 60_000;
    while (!(await this.evaluate<boolean>(expression))) {
      const said = `${this.#window.troubles.join("\n")}\n${await this.evaluate("document.body.innerText")}`;
      if (this.#window.troubles.length > 0 || performance.now() > deadline)
        throw new Error(`not ${expression}: ${said}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** An expression's value in the page, of what JSON can say. */
  async evaluate<T>(expression: string): Promise<T> {
    const asked = { expression, returnByValue: true, awaitPromise: true };
    const { result } = await this.#window.send<{ result: { value: T } }>("Runtime.evaluate", asked, this.#session);
    return result.value;
  }
}

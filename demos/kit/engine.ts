// The worker of a page, in which everything heavy runs: started, called, and told of when it breaks.

import * as Comlink from "comlink";

/** A page's worker, called as if it were here. */
export interface Engine<T> {
  readonly remote: Comlink.Remote<T>;
  /** Resolves when it has crashed, to a sentence that says so; never while it works. */
  readonly crashed: Promise<string>;
  /** Ends it at once: what it was computing is lost. */
  end(): void;
}

/** Starts worker.js of this page's folder. */
export function startEngine<T>(name: string): Engine<T> {
  const worker = new Worker(new URL("worker.js", document.baseURI), { type: "module", name });
  const crashed = new Promise<string>((resolve) => {
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      resolve(
        event.message
          ? `The thread that computes has stopped: ${event.message.replace(/^Uncaught (\w*Error: )?/, "")}.`
          : "The thread that computes could not be started: this page's files may have changed; reload it.",
      );
    });
  });
  return { remote: Comlink.wrap<T>(worker), crashed, end: () => worker.terminate() };
}

/** What went wrong, in words; whatever was thrown. */
export const wordsOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

// Keeps what native code writes straight to file descriptor 2 off the user's terminal: Dawn warns there about limits of
// software drivers, and offers no switch. JavaScript cannot redirect a descriptor, but a closed one's number is given to the next file opened.

import { closeSync, openSync } from "node:fs";

/** Runs `work` with descriptor 2 on /dev/null. Where the descriptor cannot be opened again (not Linux, or a socket), just runs it. */
export async function withQuietDriver<T>(work: () => Promise<T>): Promise<T> {
  let saved: number;
  try {
    // Appending: a second description of a regular file would start at its beginning.
    saved = openSync("/proc/self/fd/2", "a");
  } catch {
    return work();
  }
  replaceStderr("/dev/null");
  try {
    return await work();
  } finally {
    replaceStderr(`/proc/self/fd/${saved}`);
    closeSync(saved);
  }
}

function replaceStderr(path: string): void {
  closeSync(2);
  openSync(path, "a");
}

// What a page has no need of, and Node has: whether this is Node, its collector, and an event loop that sleeps. Imports nothing, so that a
// page may carry it.

export const inNode = (): boolean => typeof globalThis.process?.versions?.node === "string";

let collect: (() => void) | undefined;

export function collectBy(work: () => void): void {
  collect = work;
}

/** Frees what Dawn keeps for objects that nothing refers to any more: bind groups have no destroy(), and V8, which sees small objects
 *  only, is in no hurry. Does nothing in a page. */
export const collectGarbage = (): void => collect?.();

/** Waits in progress that a sleeping event loop serves better. */
let waits = 0;
let sleeping = false;
/** when the first of them began */
let since = 0;
const word = typeof SharedArrayBuffer === "undefined" ? new Int32Array(1) : new Int32Array(new SharedArrayBuffer(4));
/** Milliseconds the event loop sleeps at a time: as long as the wait has taken so far, within these. */
const [shortest, longest] = [0.1, 0.5];

/** Awaits an adapter that computes on this machine's own cores. In Node, Dawn asks a device whether it is done in every turn of the event
 *  loop, which takes one of these cores whole; here each turn ends with a short sleep. In a page nothing of the kind is needed. */
export async function giveWay<T>(done: Promise<T>): Promise<T> {
  if (!inNode()) return done;
  if (waits++ === 0) since = performance.now();
  if (!sleeping) {
    sleeping = true;
    setImmediate(sleep);
  }
  try {
    return await done;
  } finally {
    waits--;
  }
}

function sleep(): void {
  sleeping = waits > 0;
  if (!sleeping) return;
  Atomics.wait(word, 0, 0, Math.min(Math.max(performance.now() - since, shortest), longest));
  setImmediate(sleep);
}

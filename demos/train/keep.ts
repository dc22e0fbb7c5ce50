// The last runs that this browser keeps, in IndexedDB: of each its checkpoint, what it said of its learning, and its text, so that it can go
// on after a reload; of one that is over also its record, so that it can be looked at. A checkpoint takes the place of the run's one before, in one transaction: whatever fails, one of them is whole.
// Tabs share the storage: a run has a name, and the thread that runs it holds the lock of that name.

import type { History, Kept, RunRecord, TextFacts } from "./news.ts";

export interface KeptRun {
  about: Kept;
  /** a file as `shardgrad train --save` writes it */
  checkpoint: Uint8Array;
  history: History;
}

export interface KeptText {
  facts: TextFacts;
  text: string;
}

const databaseName = "shardgrad-train";
const store = "runs";
const parts = ["about", "run", "text", "record"] as const;
type Part = (typeof parts)[number];
const key = (id: string, part: Part): [string, string] => [part, id];
/** Keys of one part, of whatever run. */
const allOf = (part: Part): IDBKeyRange => IDBKeyRange.bound([part], [part, []]);

/** A run of each of a few tabs, and one or two of before. */
const mostRuns = 4;

const opened = (): Promise<IDBDatabase> =>
  new Promise((resolve, reject) => {
    const request = indexedDB.open(databaseName, 2);
    request.onupgradeneeded = () => {
      const { result: database } = request;
      // The version before kept one run for all tabs.
      for (const old of database.objectStoreNames) database.deleteObjectStore(old);
      database.createObjectStore(store);
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
    request.onblocked = () =>
      reject(new Error("another tab holds this browser's storage with an older version of this page: close it"));
  });

/** Runs `work` in one transaction; resolves once it is on the disk.
 *  @throws DOMException QuotaExceededError where it is full: nothing has changed then */
async function transaction<T>(mode: IDBTransactionMode, work: (runs: IDBObjectStore) => IDBRequest<T> | undefined) {
  const database = await opened();
  try {
    return await new Promise<T | undefined>((resolve, reject) => {
      const under = database.transaction(store, mode, { durability: "strict" });
      const request = work(under.objectStore(store));
      under.oncomplete = () => resolve(request?.result);
      under.onabort = () => reject(under.error ?? request?.error ?? new Error("the browser broke off the writing"));
    });
  } finally {
    database.close();
  }
}

const get = async <T>(id: string, part: Part): Promise<T | undefined> =>
  (await transaction("readonly", (runs) => runs.get(key(id, part)) as IDBRequest<T | undefined>)) ?? undefined;

/** What is kept of all runs, the newest first, without reading their checkpoints. */
async function keptRuns(): Promise<Kept[]> {
  const all = (await transaction<Kept[]>("readonly", (runs) => runs.getAll(allOf("about")))) ?? [];
  return all.toSorted((a, b) => b.savedAtMs - a.savedAtMs);
}

/** Keeps a run's checkpoint; runs of long ago give way, and where the storage is full all that no tab runs do.
 *  @param text left out where the run's text is kept already
 *  @throws DOMException QuotaExceededError where there is no room even so: nothing has changed then */
export async function keepRun(run: KeptRun, text?: KeptText): Promise<void> {
  const { id } = run.about;
  const running = await lockedNow();
  const others = (await keptRuns()).map((each) => each.id).filter((each) => each !== id && !running.has(each));
  const keep = (dropped: readonly string[]): Promise<unknown> =>
    transaction("readwrite", (runs) => {
      for (const each of dropped) dropRun(runs, each);
      if (text) runs.put(text, key(id, "text"));
      // Of the checkpoint before.
      runs.delete(key(id, "record"));
      runs.put(run, key(id, "run"));
      return runs.put(run.about, key(id, "about"));
    });
  try {
    await keep(others.slice(mostRuns - 1));
  } catch (error) {
    if (!(isFull(error) && others.length > 0)) throw error;
    await keep(others);
  }
}

/** Keeps what is shown of a run that is over, beside its checkpoint; nothing where that has been forgotten.
 *  @throws DOMException QuotaExceededError where there is no room: nothing has changed then */
export async function keepRecord(id: string, record: RunRecord): Promise<void> {
  await transaction("readwrite", (runs) => {
    const asked = runs.getKey(key(id, "about"));
    asked.onsuccess = () => asked.result && runs.put(record, key(id, "record"));
    return asked;
  });
}

export const isFull = (error: unknown): boolean => error instanceof DOMException && error.name === "QuotaExceededError";

/** What a tab is offered: its own run, else the newest that no other tab runs.
 *  @param own the run that this tab kept last */
export async function keptAbout(own: string | undefined): Promise<Kept | undefined> {
  const [all, running] = [await keptRuns(), await lockedNow()];
  return all.find(({ id }) => id === own) ?? all.find(({ id }) => !running.has(id));
}

/** @returns its record where it is over, and no other tab has gone on with it since */
export async function keptRun(id: string): Promise<(KeptRun & { text: KeptText; record?: RunRecord }) | undefined> {
  const [run, text] = [await get<KeptRun>(id, "run"), await get<KeptText>(id, "text")];
  if (!run || !text) return undefined;
  const record = await get<RunRecord>(id, "record");
  return { ...run, text, record: record?.finished?.steps === run.about.step ? record : undefined };
}

export async function forgetRun(id: string): Promise<void> {
  await transaction("readwrite", (runs) => {
    dropRun(runs, id);
    return undefined;
  });
}

function dropRun(runs: IDBObjectStore, id: string): void {
  for (const part of parts) runs.delete(key(id, part));
}

const lockPrefix = "shardgrad-train run ";

/** Runs that some tab has under way. Pages that came over http from elsewhere have no locks: none is known of there. */
async function lockedNow(): Promise<ReadonlySet<string>> {
  if (!("locks" in navigator)) return new Set();
  const { held = [] } = await navigator.locks.query();
  const names = held.flatMap(({ name }) => (name?.startsWith(lockPrefix) ? [name.slice(lockPrefix.length)] : []));
  return new Set(names);
}

/** Holds a run's lock until it is given back; nothing where another tab has it. */
export function lockRun(id: string): Promise<(() => void) | undefined> {
  if (!("locks" in navigator)) return Promise.resolve(() => undefined);
  return new Promise((resolve, reject) => {
    const asked = navigator.locks.request(lockPrefix + id, { ifAvailable: true }, (lock) => {
      if (!lock) return resolve(undefined);
      return new Promise<void>((release) => resolve(release));
    });
    asked.catch(reject);
  });
}

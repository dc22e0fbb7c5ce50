// The last run that this browser keeps, in IndexedDB: its checkpoint, what it said of its learning, and its text, so that it can go on after
// a reload. A run that is kept takes the place of the one before, in one transaction: whatever fails, one of them is whole.

import type { History, Kept, TextFacts } from "./news.ts";

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
const store = "last run";
type Key = "about" | "run" | "text";

const opened = (): Promise<IDBDatabase> =>
  new Promise((resolve, reject) => {
    const request = indexedDB.open(databaseName, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(store);
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

const get = async <T>(key: Key): Promise<T | undefined> =>
  (await transaction("readonly", (runs) => runs.get(key) as IDBRequest<T | undefined>)) ?? undefined;

/** @param text left out where the run's text is kept already */
export async function keepRun(run: KeptRun, text?: KeptText): Promise<void> {
  await transaction("readwrite", (runs) => {
    if (text) runs.put(text, "text" satisfies Key);
    runs.put(run, "run" satisfies Key);
    return runs.put(run.about, "about" satisfies Key);
  });
}

/** What is kept, without reading all of it. */
export const keptAbout = (): Promise<Kept | undefined> => get<Kept>("about");

export async function keptRun(): Promise<(KeptRun & { text: KeptText }) | undefined> {
  const [run, text] = [await get<KeptRun>("run"), await get<KeptText>("text")];
  return run && text && { ...run, text };
}

export async function forgetRun(): Promise<void> {
  await transaction("readwrite", (runs) => {
    runs.clear();
    return undefined;
  });
}

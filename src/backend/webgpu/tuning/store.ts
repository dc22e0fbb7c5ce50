// Where tables of choices outlive a process: a file in the user's cache folder, or IndexedDB in a page.

import { inNode } from "../../node.ts";
import { hashOf, isTable, type TuningTable } from "./table.ts";

/** The table of one adapter. */
export interface TableStore {
  /** where it is, for people */
  readonly place: string;
  /** undefined when there is none yet. @throws when it cannot be read, or is no table */
  load(): Promise<TuningTable | undefined>;
  /** @throws when it cannot be written */
  save(table: TuningTable): Promise<void>;
}

/** The place for tables of an adapter; undefined where nothing can be kept. */
export async function openStore(adapter: string): Promise<TableStore | undefined> {
  const name = `tuning-${(await hashOf(adapter)).slice(0, 16)}`;
  if (inNode()) return fileStore(name);
  return globalThis.indexedDB ? databaseStore(name) : undefined;
}

function checked(value: unknown): TuningTable {
  if (!isTable(value)) throw new Error("it holds something else");
  return value;
}

/** XDG_CACHE_HOME/shardgrad/NAME.json, by default in ~/.cache. */
async function fileStore(name: string): Promise<TableStore> {
  const [{ mkdir, readFile, rename, rm, writeFile }, { homedir }, { isAbsolute, join }] = await Promise.all([
    import("node:fs/promises"),
    import("node:os"),
    import("node:path"),
  ]);
  const { env, pid } = globalThis.process;
  // The specification of XDG_CACHE_HOME has relative paths ignored.
  const cache = isAbsolute(env.XDG_CACHE_HOME ?? "") ? env.XDG_CACHE_HOME! : join(homedir(), ".cache");
  const folder = join(cache, "shardgrad");
  const place = join(folder, `${name}.json`);
  return {
    place,
    async load() {
      const text = await readFile(place, "utf8").catch((error: NodeJS.ErrnoException) => {
        if (error.code === "ENOENT") return undefined;
        throw error;
      });
      return text === undefined ? undefined : checked(JSON.parse(text));
    },
    async save(table) {
      await mkdir(folder, { recursive: true });
      // Another process may read it, or write its own, at the same time: it finds one whole file or the other.
      const own = `${place}.${pid}-${Math.random().toString(36).slice(2)}`;
      try {
        await writeFile(own, `${JSON.stringify(table, undefined, 2)}\n`);
        await rename(own, place);
      } catch (error) {
        await rm(own, { force: true });
        throw error;
      }
    },
  };
}

const databaseName = "shardgrad";
const storeName = "tuning";

function databaseStore(name: string): TableStore {
  const within = async <T>(mode: IDBTransactionMode, work: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> => {
    const opening = indexedDB.open(databaseName, 1);
    opening.onupgradeneeded = () => void opening.result.createObjectStore(storeName);
    const database = await settled(opening);
    try {
      return await settled(work(database.transaction(storeName, mode).objectStore(storeName)));
    } finally {
      database.close();
    }
  };
  return {
    place: `IndexedDB ${databaseName}/${storeName}/${name}`,
    async load() {
      const value: unknown = await within("readonly", (store) => store.get(name));
      return value === undefined ? undefined : checked(value);
    },
    async save(table) {
      await within("readwrite", (store) => store.put(table, name));
    },
  };
}

const settled = <T>(request: IDBRequest<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
